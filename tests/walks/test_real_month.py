"""A month of a network operator's real dispatches on real charging, under every product of the catalogue and one more.

From the calendar to paid invoices: duplicates and overlaps told, baselines nominated, requests instructed, settled,
invoiced, released, packed, put right by a late reading and verified; and all of it settled a second way.
`make test TESTS=tests/walks/test_real_month.py WORKERS=0` prints the figures of docs/real-month.md.
"""

import io
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pandas as pd
import pytest
from django.conf import settings as django_settings
from django.db import transaction

from aggregator.models import Enrolment, Finding
from markets.core.catalogue import CATALOGUE
from markets.models import (
    FlexEvent,
    Instruction,
    InvoiceLine,
    LedgerClaim,
    LedgerDisplacement,
    Nomination,
    Product,
    SettledDay,
    SettlementRun,
    Statement,
    StatementLine,
    StatementReason,
)
from tests.walks import real_month_second as second
from tests.walks.real_month import CALLS, DSRSPS, WINDOWS, asked, read_month
from tests.walks.real_month_load import COMPARED, CONTRACT_KW
from tests.walks.real_month_nominations import FORGOTTEN, LATE, LATE_FACTOR, NOMINATED, SUNDAYS
from tests.walks.real_month_run import PUT_RIGHT, Walk, late_event, report, run_all, standing

pytestmark = [
    pytest.mark.long,
    pytest.mark.django_db,
    pytest.mark.real_data,
    pytest.mark.xdist_group("real_month"),
    pytest.mark.timeout(900),  # the first one waits for the month
]

N_CALL, N_DUPLICATE = 179, 46
KEY = ["fu_id", "product", "dispatch_type", "start_time_utc", "end_time_utc"]
SERVED_IN_TURN = ("enwl-operational", "enwl-variable", "enwl-peak-reduction")


@pytest.fixture(scope="module")
def walk(django_db_setup, django_db_blocker, real_data: Path, tmp_path_factory) -> Iterator[Walk]:
    folder = tmp_path_factory.mktemp("real_month")
    month = read_month(real_data)
    was = django_settings.SIGNING_KEY_FILE, django_settings.SIGNING_KEY_IS_GENERATED
    django_settings.SIGNING_KEY_FILE, django_settings.SIGNING_KEY_IS_GENERATED = folder / "signing_key.pem", True
    with django_db_blocker.unblock(), transaction.atomic():
        yield run_all(month, folder)
        transaction.set_rollback(True)
    django_settings.SIGNING_KEY_FILE, django_settings.SIGNING_KEY_IS_GENERATED = was


def calls_on(code: str, dsrsp: str) -> list[tuple[second.Call, Statement]]:
    """Each call of a product on a DSRSP as the second settlement takes it, with the statement first published."""
    found = []
    for event in (
        FlexEvent.objects.filter(product__code=code).select_related("signal").order_by("signal__starts_at", "pk")
    ):
        of_event = Statement.objects.across_tenants().filter(settlement_run__event=event, organisation__code=dsrsp)
        statement = of_event.order_by("settlement_run__version")[0]
        told = Instruction.objects.across_tenants().get(event=event, organisation__code=dsrsp)
        starts = pd.date_range(event.signal.starts_at, event.signal.ends_at, freq="30min", inclusive="left")
        claims = LedgerClaim.objects.across_tenants().filter(
            settlement=statement.settlement_run_id, organisation__code=dsrsp
        )
        taken = {claim.starts_at: (claim.void_kwh, claim.penalised_kwh) for claim in claims}
        void, penalised = zip(*(taken.get(at.to_pydatetime(), (Decimal(0), Decimal(0))) for at in starts), strict=True)
        call = second.Call(
            code=code,
            dsrsp=dsrsp,
            starts=tuple(starts),
            ordered=tuple(round(kw * second.QUANTA / 2) for kw in told.instructed_kw),
            price_gbp_per_mwh=event.price_gbp_per_mwh,
            void=tuple(int(kwh * second.QUANTA) for kwh in void),
            penalised=tuple(int(kwh * second.QUANTA) for kwh in penalised),
        )
        found.append((call, statement))
    return found


def bands_in_force() -> pd.DataFrame:
    """Each band of energy that is paid, by EVSE and half-hour, in 0.0001 kWh."""
    claims = LedgerClaim.objects.across_tenants().filter(settlement__in=standing())
    rows = claims.values_list("direction", "starts_at", "evses", "band_from", "band_to", "settlement__event__product")
    bands = [
        (direction, starts_at, evse, low, high, product)
        for direction, starts_at, evses, lows, highs, product in rows
        for evse, low, high in zip(evses, lows, highs, strict=True)
    ]
    return pd.DataFrame(bands, columns=["direction", "starts_at", "evse", "low", "high", "product"])


class TestRealMonth:
    def test_takes_the_calendar_with_its_duplicates_and_overlaps(self, walk: Walk):
        rows = pd.concat(walk.month.calls.values())
        found = Finding.objects.across_tenants().filter(source__startswith="dispatches:")

        assert FlexEvent.objects.count() == len(asked(rows).drop_duplicates(KEY)) == N_CALL
        assert found.filter(code="dispatches.duplicate").count() == rows.duplicated(KEY).sum() == N_DUPLICATE
        assert found.filter(code="dispatches.overlap").count() > 0

    def test_calls_every_product_of_the_catalogue(self, walk: Walk):
        settled = Product.objects.filter(events__settlement_runs__isnull=False)

        assert set(settled.values_list("code", flat=True)) == {one.code for one in CATALOGUE} | {COMPARED} == set(CALLS)
        assert set(settled.values_list("family", flat=True)) == set(Product.Family.values)
        assert set(settled.values_list("baseline_method", flat=True)) == {
            "mid-8-in-10",
            "mid-8-in-10-sda",
            "fixed-reference",
            "nomination",
            "control-group-difference",
        }

    def test_pays_for_what_was_delivered_under_each(self, walk: Walk):
        for code in CALLS:
            paid = [invoice.amount_gbp for (product, _), invoice in walk.first.items() if product == code]
            assert len(paid) == len(DSRSPS)
            assert sum(paid) > 0, code

    def test_pays_no_kwh_twice(self, walk: Walk):
        """From the ledger's rows: within an EVSE's half-hour no band begins before the one below it ends."""
        bands = bands_in_force().sort_values(["direction", "starts_at", "evse", "low", "high"])
        cell = ["direction", "starts_at", "evse"]
        below = bands.groupby(cell)["high"].shift().fillna(0)
        claims = LedgerClaim.objects.across_tenants().filter(settlement__in=standing())
        shared = bands.groupby(cell)["product"].nunique()

        assert (bands["low"] >= below).all()
        assert (bands["high"] > bands["low"]).all()
        assert (bands["high"] - bands["low"]).sum() == sum(one.payable_kwh for one in claims) * 10_000
        assert (shared > 1).sum() > 0
        assert LedgerDisplacement.objects.filter(claim__in=[one.pk for one in claims]).exists()

    @pytest.mark.parametrize("code", list(CALLS))
    def test_comes_to_the_same_a_second_way(self, walk: Walk, code: str):
        """Baseline, delivered energy and payment of every call on every product: the energies to a quantum a
        half-hour, where a mean lies between two, the money to the penny."""
        terms, rows = second.TERMS[code], asked(walk.month.calls[code]).drop_duplicates(KEY)
        for dsrsp in DSRSPS:
            pairs = calls_on(code, dsrsp)
            said = [
                (pd.Timestamp(start), pd.Timestamp(end), terms.price_gbp_per_mwh or Decimal(price))
                for start, end, price in rows[[*WINDOWS, "utilisation_price"]].itertuples(index=False)
            ]
            step = pd.Timedelta(minutes=30)
            called = [(one.starts[0], one.starts[-1] + step, one.price_gbp_per_mwh) for one, _ in pairs]
            assert Counter(called) == Counter(said)
            for call, statement in pairs:
                again, lines = second.settle(walk.month, call), StatementLine.objects.filter(statement=statement)
                where, most = (code, dsrsp, call.starts[0]), len(call.starts)
                baseline = sum(line.baseline_kwh or 0 for line in lines) * second.QUANTA
                delivered = sum(line.delivered_kwh for line in lines) * second.QUANTA
                assert abs(baseline - again.baseline) <= most, where
                assert abs(delivered - again.delivered) <= most, where
                assert statement.payment_gbp == again.payment_gbp, where

    @pytest.mark.parametrize("dsrsp", DSRSPS)
    def test_displaces_what_the_ledger_comes_to_a_second_way(self, walk: Walk, dsrsp: str):
        """Three products on one feeder, by a reference for each EVSE: what each is paid follows from meters alone."""
        pairs = [pair for code in SERVED_IN_TURN for pair in calls_on(code, dsrsp)]
        displaced = second.served(walk.month, [call for call, _ in pairs])

        assert [sum(one) for one in displaced] == [sum(call.void) for call, _ in pairs]
        assert all(sum(call.penalised) == 0 for call, _ in pairs)
        reduced = [at for at, taken in enumerate(displaced) if sum(taken)]
        assert {pairs[at][0].code for at in reduced} == {"enwl-peak-reduction"}
        for at in reduced:
            call, statement = pairs[at]
            again = second.settle(walk.month, second.replace_void(call, displaced[at]))
            assert statement.payment_gbp == again.payment_gbp
            alone = second.settle(walk.month, second.replace_void(call, [0] * len(call.starts)))
            assert again.payment_gbp < alone.payment_gbp

    def test_invoices_what_the_statements_say(self, walk: Walk):
        for (code, dsrsp), invoice in walk.first.items():
            lines = InvoiceLine.objects.across_tenants().filter(invoice=invoice)
            assert sum(line.amount_gbp for line in lines) == invoice.amount_gbp == invoice.delta_gbp
            if Product.objects.get(code=code).availability_gbp_per_mw_h is None:
                of_month = Statement.objects.across_tenants().filter(pk__in=invoice.statement_pks)
                assert sum(one.payment_gbp for one in of_month) == invoice.amount_gbp, (code, dsrsp)

    @pytest.mark.parametrize("dsrsp", DSRSPS)
    def test_pays_for_power_held_ready_by_hours_and_performance(self, walk: Walk, dsrsp: str):
        """5 kW over two hours of 23 weekdays at 5 GBP/MW/h is 1.15 GBP, times the month's performance: the mean of its
        calls' factors, weighted by what was due; each call is a line of the same invoice."""
        invoice = walk.first["nged-dynamic", dsrsp]
        lines = InvoiceLine.objects.across_tenants().filter(invoice=invoice)
        calls = [second.settle(walk.month, call) for call, _ in calls_on("nged-dynamic", dsrsp)]
        weekdays = [day for day in pd.date_range("2025-01-01", "2025-01-31") if day.weekday() < 5]
        due = sum(call.ordered for call in calls)
        performance = sum((call.factor * call.ordered for call in calls), Fraction(0)) / due
        held_gbp = Fraction(CONTRACT_KW) / 1000 * 2 * len(weekdays) * 5 * performance

        (availability,) = lines.filter(kind="availability")
        assert availability.amount_gbp == second.pence(held_gbp) > 0
        assert invoice.amount_gbp == availability.amount_gbp + sum(call.payment_gbp for call in calls)
        assert set(
            InvoiceLine.objects.across_tenants()
            .filter(kind="availability")
            .values_list("invoice__product_code", flat=True)
        ) == {"nged-dynamic"}

    def test_settles_by_what_was_nominated_in_time(self, walk: Walk):
        """A correction three hours after the deadline is kept, told and counts for nothing."""
        handed = Nomination.objects.across_tenants().filter(product__code=LATE.product, settlement_date=LATE.day)
        in_time, late = handed.filter(organisation__code=LATE.dsrsp).order_by("submitted_at")
        on_day = [pair for pair in calls_on(LATE.product, LATE.dsrsp) if pair[0].starts[0].date() == LATE.day]
        noted = Finding.objects.across_tenants().filter(code="baseline.late_nomination")

        assert on_day
        for call, statement in on_day:
            first = call.starts[0].hour * 2 + call.starts[0].minute // 30
            lines = StatementLine.objects.filter(statement=statement).order_by("ends_at")
            stated_kw = in_time.power_kw[first : first + len(call.starts)]
            assert [float(line.baseline_kwh) * 2 for line in lines] == pytest.approx(stated_kw)
            assert late.power_kw[first] == pytest.approx(LATE_FACTOR * stated_kw[0])
        assert noted.count() == len(on_day)
        assert set(noted.values_list("organisation__code", flat=True)) == {LATE.dsrsp}

    def test_pays_nobody_who_nominated_nothing(self, walk: Walk):
        """Without a baseline nothing is instructed and nothing delivered; the other DSRSP is settled as ever."""
        days = {FORGOTTEN.day}
        of_week = {
            dsrsp: [pair for pair in calls_on(FORGOTTEN.product, dsrsp) if pair[0].starts[0].date() in days]
            for dsrsp in DSRSPS
        }
        forgot, other = of_week[FORGOTTEN.dsrsp], of_week[DSRSPS[1]]
        noted = Finding.objects.across_tenants().filter(code="baseline.none")

        assert len(forgot) == len(other) > 0
        assert {sum(call.ordered) for call, _ in forgot} == {0}
        assert {statement.payment_gbp for _, statement in forgot} == {Decimal("0.00")}
        of_other = StatementLine.objects.filter(statement__in=[statement for _, statement in other])
        assert not of_other.filter(baseline_kwh=None).exists()
        assert noted.count() == len(forgot)
        assert set(noted.values_list("organisation__code", flat=True)) == {FORGOTTEN.dsrsp}

    def test_calls_nobody_of_a_control_group(self, walk: Walk):
        settled = SettledDay.objects.across_tenants().filter(settlement_run__event__product__code=COMPARED)
        called = set(settled.values_list("evse__pseudonym", flat=True))
        on_feeder = set(walk.month.operator.index[walk.month.operator == COMPARED.split("-")[0]])

        assert called == {f"evse_{home}" for home in on_feeder - walk.month.control}

    def test_takes_nominations_for_every_day_but_those_forgotten(self, walk: Walk):
        n_handed = len(SUNDAYS) * 7 * len(DSRSPS) * len(NOMINATED) - 7 + 1
        assert Nomination.objects.across_tenants().count() == n_handed

    def test_settles_each_call_once(self, walk: Walk):
        """One pass is enough: whoever goes first in the ledger was settled first."""
        runs = SettlementRun.objects.exclude(event__product__code=PUT_RIGHT)
        assert set(runs.values_list("code", "version")) == {("MONTHLY", 1)}
        assert not Finding.objects.across_tenants().filter(code="ledger.paid_before").exists()

    def test_verifies_before_and_after_the_late_reading(self, walk: Walk):
        assert walk.verified[0] == 0, walk.verified[1]
        assert f"{2 * N_CALL + 2} statements in {N_CALL + 1} settlements" in walk.verified[1]
        assert " 0 differences" in walk.verified[1]

    def test_packs_evidence_that_verifies_with_python_alone(self, walk: Walk, tmp_path: Path):
        (tmp_path / "pack.zip").write_bytes(walk.pack)
        with zipfile.ZipFile(io.BytesIO(walk.pack)) as archive:
            (tmp_path / "verify.py").write_bytes(archive.read("verify.py"))
        command = [sys.executable, "-I", "-S", "verify.py", "pack.zip"]
        found = subprocess.run(command, cwd=tmp_path, env={}, capture_output=True, text=True, check=False)

        assert (found.stderr, found.returncode) == ("", 0)

    def test_pays_the_difference_a_late_reading_makes(self, walk: Walk):
        """Line by line with its reason: only the one event of one DSRSP differs, and the delta is its difference."""
        event = late_event()
        runs = list(SettlementRun.objects.filter(event=event).order_by("version"))
        before, after = (
            Statement.objects.across_tenants().get(settlement_run=run, organisation__code=DSRSPS[0])
            for run in runs[-2:]
        )
        invoice, first = (of[PUT_RIGHT, DSRSPS[0]] for of in (walk.restated, walk.first))
        changed = InvoiceLine.objects.across_tenants().filter(invoice=invoice).exclude(delta_gbp=0)
        told = StatementReason.objects.across_tenants().filter(statement=after)

        assert (invoice.version, invoice.supersedes) == (2, first)
        assert [line.reference for line in changed] == [event.signal.reference]
        assert invoice.delta_gbp == after.payment_gbp - before.payment_gbp < 0
        assert "2 readings of 1 meter corrected" in changed[0].reason
        assert set(told.exclude(starts_at=None).values_list("starts_at", flat=True)) == {
            event.signal.starts_at,
            event.signal.starts_at + timedelta(minutes=30),
        }
        assert walk.restated[PUT_RIGHT, DSRSPS[1]] == walk.first[PUT_RIGHT, DSRSPS[1]]

    def test_reports_the_month(self, walk: Walk, capsys):
        with capsys.disabled():
            print(report(walk))  # noqa: T201

        assert Enrolment.objects.across_tenants().count() == len(walk.month.operator)
