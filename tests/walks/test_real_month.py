"""A month of a network operator's real dispatches on real charging, under every product that needs no nomination.

From the calendar to paid invoices: duplicates and overlaps told, requests instructed, settled, invoiced, released,
verified, packed, and put right by a late reading. `make test TESTS=tests/walks/test_real_month.py WORKERS=0` prints
the figures of docs/real-month.md.
"""

import io
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db import transaction

from aggregator.core.meter_energy import ReadingValues
from aggregator.models import EVSE, ControlAct, Enrolment, Finding, Organisation
from aggregator.services.ingest_readings import ingest_readings
from markets.core.catalogue import CATALOGUE
from markets.models import (
    FlexEvent,
    Instruction,
    Invoice,
    InvoiceLine,
    LedgerClaim,
    LedgerDisplacement,
    Product,
    SettlementRun,
    Statement,
    StatementLine,
    StatementReason,
)
from markets.services.releases import do_release_statements
from markets.services.settlement import instruct_event
from tests.factories import make_organisation
from tests.walks import real_month
from tests.walks.real_month import CALLS, DSRSPS, RealMonth

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.real_data,
    pytest.mark.xdist_group("real_month"),
    pytest.mark.timeout(900),  # the first one waits for the month
]

SETTLED_AT, CLOSED_AT = datetime(2025, 2, 5, tzinfo=UTC), datetime(2025, 2, 16, tzinfo=UTC)
CORRECTED_AT, RESTATED_AT = datetime(2025, 3, 1, tzinfo=UTC), datetime(2025, 3, 10, tzinfo=UTC)
PUT_RIGHT = "spen-piclo"
N_CALL = 106
HOLIDAYS = {date(2024, 12, 25), date(2024, 12, 26), date(2025, 1, 1)}
KEY = ["fu_id", "product", "dispatch_type", "start_time_utc", "end_time_utc"]
WINDOWS = ["start_time_utc", "end_time_utc"]


@dataclass(frozen=True)
class Walk:
    """What the month came to before the late reading, what was said, and its invoices; the late reading is in."""

    month: RealMonth
    verified: tuple[int, str]
    first: dict[tuple[str, str], Invoice]
    restated: dict[tuple[str, str], Invoice]
    verified_again: tuple[int, str]
    pack: bytes


@pytest.fixture(scope="module")
def walk(django_db_setup, django_db_blocker, real_data: Path, tmp_path_factory) -> Iterator[Walk]:
    folder = tmp_path_factory.mktemp("real_month")
    month = real_month.read_month(real_data)
    was = django_settings.SIGNING_KEY_FILE, django_settings.SIGNING_KEY_IS_GENERATED
    django_settings.SIGNING_KEY_FILE, django_settings.SIGNING_KEY_IS_GENERATED = folder / "signing_key.pem", True
    with django_db_blocker.unblock(), transaction.atomic():
        yield run_all(month, folder)
        transaction.set_rollback(True)
    django_settings.SIGNING_KEY_FILE, django_settings.SIGNING_KEY_IS_GENERATED = was


def run_all(month: RealMonth, folder: Path) -> Walk:
    real_month.load(month, folder)
    for run, events in real_month.dispatch_days():
        for event in events:
            instruct_event(event=event, run=run)
    call_command("settle_month", f"{real_month.MONTH:%Y-%m}", "--as-of", SETTLED_AT.isoformat(), "--workers", "1")
    first = invoices(CALLS, CLOSED_AT)
    for settlement in standing():
        release(settlement)
    verified, pack = verify(), pack_of(folder)
    correct()
    restated = invoices([PUT_RIGHT], RESTATED_AT, "--restate")
    return Walk(month, verified, first, restated, verify(), pack)


def invoices(codes, now: datetime, *words: str) -> dict[tuple[str, str], Invoice]:
    """Issue a month's invoices through the command; returns the newest, by product and DSRSP."""
    for code in codes:
        call_command("issue_invoices", code, "--month", "2025-01", "--now", now.isoformat(), *words)
    newest = Invoice.objects.across_tenants().filter(superseded_by=None).select_related("organisation")
    return {(one.product_code, one.organisation.code): one for one in newest}


def standing():
    """Settlements that no later one supersedes."""
    return SettlementRun.objects.filter(superseded_by=None).select_related("event__signal", "event__product")


def release(settlement: SettlementRun) -> None:
    act = ControlAct(
        kind="release_statements",
        organisation=make_organisation("market", "market_operator"),
        subject=str(settlement.pk),
        payload={"settlement": settlement.pk},
        figures={},
        exceeded=[],
        reason="the month's figures are agreed",
        state="done",
        asked_as="person:somebody",
        asked_at=CLOSED_AT,
        expires_at=CLOSED_AT + timedelta(days=1),
    )
    act.save()
    do_release_statements(act=act, now=CLOSED_AT)


def verify() -> tuple[int, str]:
    said = io.StringIO()
    try:
        call_command("verify_statement", "--all", stdout=said)
    except SystemExit as end:
        return int(end.code or 0), said.getvalue()
    return 0, said.getvalue()


def pack_of(folder: Path) -> bytes:
    statement = Statement.objects.across_tenants().filter(settlement_run__in=standing()).order_by("-payment_gbp")[0]
    call_command("evidence_pack", str(statement.pk), str(folder / "pack.zip"), stdout=io.StringIO())
    return (folder / "pack.zip").read_bytes()


def late_event() -> FlexEvent:
    """The last call of the product that is put right."""
    return FlexEvent.objects.filter(product__code=PUT_RIGHT).order_by("signal__starts_at").last()


def correct() -> None:
    """One EVSE's meter turns out to have read 2 kWh more in each of the first two half-hours of a call."""
    starts = np.datetime64(late_event().signal.starts_at.replace(tzinfo=None), "s")
    evses = EVSE.objects.across_tenants().filter(node__code="spen-month", enrolments__dsrsp__code=DSRSPS[0])
    ingest_readings(
        organisation=Organisation.objects.get(code=DSRSPS[0]),
        source="late correction",
        sha256="c" * 64,
        received_at=CORRECTED_AT,
        values=ReadingValues(
            np.full(2, evses.order_by("pk").first().meter_id),
            starts + np.array([0, 1800], dtype="timedelta64[s]"),
            np.array([3.0, 3.0]),
        ),
    )


def called_days(month: RealMonth) -> set[date]:
    """London days on which anybody was called: both DSRSPs have EVSEs in every zone."""
    days: set[date] = set()
    for rows in month.calls.values():
        asked = rows[rows["utilisation_mw_req"].astype(float) > 0]
        for start, end in asked[WINDOWS].itertuples(index=False):
            periods = pd.date_range(start, end, freq="30min", inclusive="left").tz_convert("Europe/London")
            days |= set(periods.date)
    return days


def second_settlement(month: RealMonth, start: str, end: str, dsrsp: str, called: set[date]) -> dict[str, Decimal]:
    """A call on mid 8-in-10 without adjustment, 5 % grace and 3 for 1, in pandas: no code of the product's own.

    On a day that is no working day it is the middle two of four such days.
    """
    homes = month.operator.index[(month.operator == PUT_RIGHT.split("-")[0]) & (month.dsrsp == dsrsp)]
    fleet = month.energy_kwh[homes].sum(axis=1)  # London keeps to UTC from November to March
    periods = pd.date_range(start, end, freq="30min", inclusive="left")

    def is_working(day: date) -> bool:
        return day.weekday() < 5 and day not in HOLIDAYS

    event_day = periods[0].date()
    back = [event_day - timedelta(days=at) for at in range(1, 61)]
    alike = [day for day in back if is_working(day) == is_working(event_day) and day not in called]
    days = alike[: 10 if is_working(event_day) else 4]
    table = np.array([fleet[periods - pd.Timedelta(days=(event_day - day).days)].to_numpy() for day in days])
    kept = table[np.argsort(table.sum(axis=1), kind="stable")[1:-1]]
    baseline = [Decimal(str(round(value, 4))) for value in kept.mean(axis=0)]
    metered = [Decimal(str(round(value, 4))) for value in fleet[periods]]
    delivered = sum(baseline, Decimal(0)) - sum(metered, Decimal(0))
    told = Instruction.objects.across_tenants().get(
        event__product__code=PUT_RIGHT, event__signal__starts_at=periods[0], organisation__code=dsrsp
    )
    ordered = sum((Decimal(str(round(kw * 0.5, 4))) for kw in told.instructed_kw), Decimal(0))
    price = FlexEvent.objects.get(pk=told.event_id).price_gbp_per_mwh
    share = min(delivered / ordered, Decimal(1)) if ordered else Decimal(0)
    factor = max(1 - 3 * max(Decimal("0.95") - share, Decimal(0)), Decimal(0)) if share >= Decimal("0.63") else 0
    payment = (ordered / 1000 * price * factor).quantize(Decimal("0.01"), ROUND_HALF_UP)
    return {"baseline": sum(baseline, Decimal(0)), "delivered": delivered, "payment": payment}


def first_statement(start: str, dsrsp: str) -> Statement:
    statements = Statement.objects.across_tenants().filter(
        settlement_run__event__product__code=PUT_RIGHT,
        settlement_run__event__signal__starts_at=start,
        organisation__code=dsrsp,
    )
    return statements.order_by("settlement_run__version").first()


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
        asked = rows[rows["utilisation_mw_req"].astype(float) > 0]
        found = Finding.objects.across_tenants().filter(source__startswith="dispatches:")

        assert FlexEvent.objects.count() == len(asked.drop_duplicates(KEY)) == N_CALL
        assert found.filter(code="dispatches.duplicate").count() == rows.duplicated(KEY).sum() == 23
        assert found.filter(code="dispatches.overlap").count() > 0

    def test_calls_every_product_of_the_catalogue_that_needs_no_nomination(self, walk: Walk):
        nominated = {one.code for one in CATALOGUE if one.terms.get("baseline_method") == "nomination"}
        settled = Product.objects.filter(events__settlement_runs__isnull=False)

        assert set(settled.values_list("code", flat=True)) == {one.code for one in CATALOGUE} - nominated
        assert set(settled.values_list("family", flat=True)) == set(Product.Family.values)
        assert set(settled.values_list("baseline_method", flat=True)) == {
            "mid-8-in-10",
            "mid-8-in-10-sda",
            "fixed-reference",
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
        assert LedgerDisplacement.objects.filter(claim__in=claims).count() > 0

    def test_comes_to_what_pandas_makes_of_it(self, walk: Walk):
        """Baseline, delivered energy and payment of each call on one product, to the penny."""
        called = called_days(walk.month)
        for start, end in walk.month.calls[PUT_RIGHT][WINDOWS].itertuples(index=False):
            for dsrsp in DSRSPS:
                second = second_settlement(walk.month, start, end, dsrsp, called)
                statement = first_statement(start, dsrsp)
                lines = list(StatementLine.objects.filter(statement=statement))
                where = (start, dsrsp)
                assert float(sum(line.baseline_kwh for line in lines)) == pytest.approx(
                    float(second["baseline"]), abs=0.0006
                ), where
                assert float(sum(line.delivered_kwh for line in lines)) == pytest.approx(
                    float(second["delivered"]), abs=0.0006
                ), where
                assert statement.payment_gbp == second["payment"], where

    def test_invoices_what_the_statements_say(self, walk: Walk):
        for (code, dsrsp), invoice in walk.first.items():
            lines = InvoiceLine.objects.across_tenants().filter(invoice=invoice)
            assert sum(line.amount_gbp for line in lines) == invoice.amount_gbp == invoice.delta_gbp
            if Product.objects.get(code=code).availability_gbp_per_mw_h is None:
                of_month = Statement.objects.across_tenants().filter(pk__in=invoice.statement_pks)
                assert sum(one.payment_gbp for one in of_month) == invoice.amount_gbp, (code, dsrsp)

    def test_pays_for_power_held_ready(self, walk: Walk):
        """5 kW over two hours of 23 weekdays at 5 GBP/MW/h is 1.15 GBP at most."""
        lines = InvoiceLine.objects.across_tenants().filter(kind="availability")

        assert {line.invoice.product_code for line in lines} == {"nged-dynamic"}
        assert len(lines) == len(DSRSPS)
        assert all(0 <= line.amount_gbp <= Decimal("1.15") for line in lines)

    def test_verifies_before_and_after_the_late_reading(self, walk: Walk):
        assert walk.verified[0] == 0, walk.verified[1]
        assert " 0 differences" in walk.verified[1]
        assert walk.verified_again[0] == 0, walk.verified_again[1]

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


def report(walk: Walk) -> str:
    """By product: family, baseline, calls, energy instructed, delivered, displaced, and what is invoiced."""
    rows = []
    for code in CALLS:
        product = Product.objects.get(code=code)
        of_it = standing().filter(event__product=product)
        lines = StatementLine.objects.filter(statement__settlement_run__in=of_it)
        claims = LedgerClaim.objects.across_tenants().filter(settlement__in=of_it)
        asked = sum(line.instructed_kwh for line in lines)
        delivered = sum(line.delivered_kwh for line in lines)
        displaced = sum(claim.claimed_kwh - claim.payable_kwh for claim in claims)
        paid = sum(invoice.amount_gbp for (name, _), invoice in walk.first.items() if name == code)
        rows.append(
            f"| {code} | {product.family} | {product.baseline_method} | {of_it.count()} | {asked:.1f} | "
            f"{delivered:.1f} | {displaced:.1f} | {paid} |"
        )
    total = sum(invoice.amount_gbp for invoice in walk.first.values())
    delta = walk.restated[PUT_RIGHT, DSRSPS[0]].delta_gbp
    codes = Finding.objects.across_tenants().filter(source__startswith="dispatches:").values_list("code", flat=True)
    found = {code: list(codes).count(code) for code in sorted(set(codes))}
    words = (f"invoiced {total} GBP, late reading {delta} GBP", walk.verified[1], walk.verified_again[1], str(found))
    return "\n".join(["", *rows, *words])
