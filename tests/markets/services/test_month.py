from dataclasses import replace
from datetime import date, datetime, time, timedelta

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, ProgrammingError, connection, transaction

from aggregator.core.errors import FlexError
from aggregator.core.meter_energy import ReadingValues
from aggregator.core.timegrid import TimeGrid, utc
from aggregator.models import EVSE, Finding
from aggregator.services.ingest_readings import ingest_readings
from markets.arrays.settled_days import load_settled_days
from markets.arrays.settlement import event_grid
from markets.core.evse_volume import NO_VALUE
from markets.models import FlexEvent, Instruction, LedgerClaim, Product, SettledDay, SettlementRun, Statement
from markets.queries import as_known_at
from markets.services import verification
from markets.services.month import settle_month
from markets.services.settlement import newest_instructed_run, settle_event
from markets.services.verification import verify_settlement, verify_statements
from tests.factories import LONG_AGO, make_enrolment, make_evse
from tests.markets.ledger_builders import primacy_rule
from tests.markets.services.test_settlement import DAY, dispatch
from tests.walks.small_area import SmallArea, call, make_small_area

pytestmark = pytest.mark.django_db

AS_OF = utc(date(2026, 2, 1), time(12))
LATER = AS_OF + timedelta(days=10)
MONTH = date(2026, 1, 1)
# Evenings in the middle of the history, one over midnight into a Saturday, and a long one.
CALLS = (
    (date(2026, 1, 6), time(17), timedelta(hours=2)),
    (date(2026, 1, 8), time(16, 30), timedelta(hours=3)),
    (date(2026, 1, 9), time(22), timedelta(hours=4)),
    (date(2026, 1, 12), time(7), timedelta(hours=14)),
    (date(2026, 1, 14), time(17, 30), timedelta(minutes=30)),
)


def month_of_calls() -> tuple[SmallArea, list[FlexEvent]]:
    """The street, called on five days: each DSRSP is to take 3 kW off its baseline each time."""
    area = make_small_area(DAY)
    run = dispatch(area)
    events = []
    for number, (day, at, length) in enumerate(CALLS):
        event = call(replace(area, day=day), utc(day, at), utc(day, at) + length, reference=f"MONTH-{number}")
        n_period = event_grid(event.signal).n_period
        for dsrsp in area.dsrsps:
            kw = dict.fromkeys(("instructed_kw", "expected_baseline_kw", "planned_kw"), [3.0 + number / 3] * n_period)
            Instruction(event=event, organisation=dsrsp, run=run, **kw).save()
        events.append(event)
    return area, events


def read(evse: EVSE, starts_at: datetime, energy_kwh: list[float], received_at: datetime) -> None:
    meter = evse.meter
    starts = TimeGrid(starts_at, len(energy_kwh)).period_starts()
    ingest_readings(
        organisation=meter.organisation,
        source="correction",
        sha256=f"{meter.code}{starts_at}{energy_kwh}{received_at}".encode().hex()[-64:],
        received_at=received_at,
        values=ReadingValues(np.full(len(energy_kwh), meter.pk), starts, np.array(energy_kwh)),
    )


def all_of(settlements: list[SettlementRun]) -> list[object]:
    """Everything stored of some settlements, without keys of rows."""
    found: list[object] = []
    for settlement in settlements:
        statements = Statement.objects.across_tenants().filter(settlement_run=settlement)
        days = SettledDay.objects.across_tenants().filter(settlement_run=settlement)
        found += [settlement.event_id, settlement.version, settlement.input_sha256]
        found += [
            (row.organisation_id, bytes(row.content), row.payment_gbp) for row in statements.order_by("organisation")
        ]
        found += list(days.order_by("evse", "settlement_date").values_list("evse", "organisation", "settlement_date"))
        found += list(days.order_by("evse", "settlement_date").values_list("baseline_quanta", "metered_quanta"))
        found += list(days.order_by("evse", "settlement_date").values_list("first_period", "delivered_quanta"))
    return found


def event_by_event(events: list[FlexEvent], as_of: datetime) -> list[SettlementRun]:
    return [settle_event(event=event, run=newest_instructed_run(event=event), as_of=as_of) for event in events]


def differently_and_back(events: list[FlexEvent], as_of: datetime, **how: int) -> tuple[list[object], list[object]]:
    """What a month makes and what its events make one by one, each from the same state."""
    made = []
    for settle in (
        lambda: list(settle_month(month=MONTH, as_of=as_of, **how).settlements),
        lambda: event_by_event(events, as_of),
    ):
        with transaction.atomic():
            made.append(all_of(settle()))
            transaction.set_rollback(True)
    return made[0], made[1]


class TestSettleMonth:
    @pytest.mark.parametrize("n_meter_a_block", [1, 4, 100])
    def test_makes_what_its_events_make_one_by_one(self, n_meter_a_block):
        _, events = month_of_calls()
        month, singly = differently_and_back(events, AS_OF, n_meter_a_block=n_meter_a_block)
        assert len(month) > 5 * (3 + 2 + 3 * 6)
        assert month == singly

    def test_does_so_with_gaps_corrections_and_a_changed_enrolment(self):
        area, events = month_of_calls()
        read(area.evses[1], utc(CALLS[0][0], time(17)), [0.0, 1.2345], AS_OF - timedelta(days=1))
        read(area.evses[2], utc(CALLS[1][0], time(15)), [7.0] * 8, AS_OF + timedelta(days=1))
        enrolment = area.evses[0].enrolments.across_tenants().get()
        enrolment.ends_at = utc(date(2026, 1, 9), time(12))
        enrolment.save()
        make_enrolment(area.evses[0], area.dsrsps[1], enrolment.ends_at)
        month, singly = differently_and_back(events, AS_OF, n_meter_a_block=2)
        assert month == singly
        later, singly_later = differently_and_back(events, LATER, n_meter_a_block=2)
        assert later == singly_later
        assert later != month

    def test_pays_the_same_pennies_where_a_meter_is_silent_in_an_event(self):
        area, events = month_of_calls()
        silent = make_evse("silent", node=area.evses[0].node, dsrsp=area.dsrsps[0])
        # read before and after one event, but not in all of it
        for day in (date(2026, 1, 5), date(2026, 1, 7)):
            read(silent, utc(day, time(0)), [0.25] * 48, AS_OF)
        month, singly = differently_and_back(events, AS_OF, n_meter_a_block=3)
        assert month == singly
        settled = settle_month(month=MONTH, as_of=AS_OF).settlements[0]
        row = SettledDay.objects.across_tenants().get(settlement_run=settled, evse=silent)
        assert row.baseline_quanta == row.metered_quanta == row.delivered_quanta == [None] * 4

    def test_settles_again_only_what_changed(self):
        area, _ = month_of_calls()
        first = settle_month(month=MONTH, as_of=AS_OF).settlements
        assert [one.version for one in first] == [1] * 5
        assert settle_month(month=MONTH, as_of=AS_OF).settlements == first
        kept = all_of(list(first))
        read(area.evses[1], utc(CALLS[4][0], time(17, 30)), [0.5], AS_OF + timedelta(hours=1))
        again = settle_month(month=MONTH, as_of=LATER).settlements
        assert [one.version for one in again] == [1, 1, 1, 1, 2]
        assert all_of(list(first)) == kept

    def test_settles_first_whom_the_ledger_serves_first(self):
        """A call that began earlier goes behind: it is not paid what the other is due, in one pass and for good."""
        area = make_small_area(DAY)
        run, day = dispatch(area), date(2026, 1, 8)
        Product(code="ou", name="On call", family="operational_utilisation", buyer=area.dno, valid_from=LONG_AGO).save()
        primacy_rule("operational_utilisation", "scheduled_utilisation", displaced_party_settlement="void")
        behind = call(replace(area, day=day), utc(day, time(17)), utc(day, time(19)), reference="BEHIND")
        first = call(
            replace(area, day=day), utc(day, time(18)), utc(day, time(19)), reference="FIRST", product_code="ou"
        )
        for event, kw in ((behind, 9.0), (first, 6.0)):
            n_period = event_grid(event.signal).n_period
            for dsrsp in area.dsrsps:
                powers = dict.fromkeys(("instructed_kw", "expected_baseline_kw", "planned_kw"), [kw] * n_period)
                Instruction(event=event, organisation=dsrsp, run=run, **powers).save()
        for evse in area.evses:
            read(evse, utc(day, time(17)), [0.0] * 4, AS_OF - timedelta(days=1))

        settled = settle_month(month=MONTH, as_of=AS_OF).settlements

        claims = {at: LedgerClaim.objects.across_tenants().filter(settlement=one) for at, one in enumerate(settled)}
        assert [one.event for one in settled] == [behind, first]
        assert sum(claim.payable_kwh for claim in claims[1]) == sum(claim.claimed_kwh for claim in claims[1]) > 0
        assert sum(claim.void_kwh for claim in claims[0]) > 0
        assert not Finding.objects.across_tenants().filter(code="ledger.paid_before").exists()

    def test_names_its_runs(self):
        month_of_calls()
        settled = settle_month(month=MONTH, as_of=AS_OF, run_code="MONTHLY").settlements
        assert {(one.code, one.version) for one in settled} == {("MONTHLY", 1)}
        assert settle_month(month=MONTH, as_of=AS_OF, run_code="MONTHLY").settlements == settled

    def test_leaves_the_transaction_around_it_as_it_was(self):
        """Later statements of one that settles a month are planned as ever: without seqscans each was compiled anew."""
        names = ("enable_seqscan", "work_mem", "max_parallel_workers_per_gather", "jit")

        def settings() -> list[str]:
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT {', '.join(f'current_setting({name!r})' for name in names)}")
                return list(cursor.fetchone())

        month_of_calls()
        before = settings()
        settle_month(month=MONTH, as_of=AS_OF)
        assert settings() == before

    def test_leaves_out_what_is_not_over_and_what_nobody_was_told(self):
        area, events = month_of_calls()
        call(area, utc(date(2026, 1, 20), time(17)), utc(date(2026, 1, 20), time(18)), reference="UNTOLD")
        settled = settle_month(month=MONTH, as_of=utc(date(2026, 1, 12), time(12)))
        assert settled.not_over == ("MONTH-3", "MONTH-4", "UNTOLD")
        assert [one.event for one in settled.settlements] == events[:3]
        assert settle_month(month=MONTH, as_of=AS_OF).not_instructed == ("UNTOLD",)

    def test_settles_no_other_month(self):
        month_of_calls()
        assert settle_month(month=date(2025, 12, 1), as_of=AS_OF).settlements == ()


class TestSettledDays:
    def test_read_back_as_they_were_stored(self):
        month_of_calls()
        for settlement in settle_month(month=MONTH, as_of=AS_OF).settlements:
            stored = load_settled_days(settlement=settlement)
            rows = SettledDay.objects.across_tenants().filter(settlement_run=settlement).order_by("settlement_date")
            assert len(stored.evse_pks) == 6
            for at, pk in enumerate(stored.evse_pks.tolist()):
                own = list(rows.filter(evse=pk))
                baseline = [value for row in own for value in row.baseline_quanta]
                assert [NO_VALUE if value is None else value for value in baseline] == (
                    stored.volume.baseline_quanta[at].tolist()
                )
                delivered = [value for row in own for value in row.delivered_quanta]
                assert delivered == stored.delivered_quanta[at].tolist()

    def test_say_the_settlement_periods_of_each_date(self):
        month_of_calls()
        night = settle_month(month=MONTH, as_of=AS_OF).settlements[2]
        rows = SettledDay.objects.across_tenants().filter(settlement_run=night).order_by("settlement_date")
        found = {(row.settlement_date, row.first_period, len(row.metered_quanta)) for row in rows}
        assert found == {(date(2026, 1, 9), 45, 4), (date(2026, 1, 10), 1, 4)}

    def test_can_be_neither_changed_nor_removed(self):
        month_of_calls()
        settle_month(month=MONTH, as_of=AS_OF)
        rows = SettledDay.objects.across_tenants()
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            rows.update(first_period=1)
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            rows.all()._raw_delete(rows.db)

    @pytest.mark.parametrize("name", ["settlement_run_id", "evse_id", "organisation_id"])
    def test_name_rows_that_exist(self, name):
        month_of_calls()
        settle_month(month=MONTH, as_of=AS_OF)
        row = SettledDay.objects.across_tenants().first()
        assert row is not None
        row.settlement_date = date(2026, 3, 1)
        setattr(row, name, 999_999_999)
        with pytest.raises(IntegrityError, match=f"{name} 999999999"):
            row.save(force_insert=True)

    def test_hold_as_many_of_each_energy(self):
        month_of_calls()
        settle_month(month=MONTH, as_of=AS_OF)
        row = SettledDay.objects.across_tenants().first()
        assert row is not None
        row.settlement_date, row.metered_quanta = date(2026, 3, 1), [1]
        with pytest.raises(IntegrityError, match="settled_day_shape"):
            row.save(force_insert=True)


class TestCommand:
    def test_says_what_it_settled(self, capsys):
        month_of_calls()
        call_command("settle_month", "2026-01", "--as-of", AS_OF.isoformat(), "--workers", "1", "--block", "2")
        assert capsys.readouterr().out.startswith("5 events of 2026-01: ")

    def test_wants_a_month(self):
        with pytest.raises(CommandError, match="a month as 2026-01 is needed"):
            call_command("settle_month", "2026", "--as-of", AS_OF.isoformat())


@pytest.mark.django_db(transaction=True)
class TestWorkers:
    def test_make_the_same(self):
        _, events = month_of_calls()
        settled = settle_month(month=MONTH, as_of=AS_OF, n_worker=2, n_meter_a_block=2).settlements
        assert [one.event for one in settled] == events
        again = settle_month(month=MONTH, as_of=AS_OF, n_worker=1).settlements
        assert again == settled  # the same inputs, so the same published runs
        assert event_by_event(events, AS_OF) == list(settled)


class TestAsKnownAt:
    def test_gives_the_newest_run_that_looked_no_later(self):
        area, _ = month_of_calls()
        first = settle_month(month=MONTH, as_of=AS_OF).settlements
        read(area.evses[1], utc(CALLS[4][0], time(17, 30)), [0.5], AS_OF + timedelta(hours=1))
        again = settle_month(month=MONTH, as_of=LATER).settlements
        owner = area.evses[1].meter.organisation
        days = SettledDay.objects.for_tenant(owner).filter(evse=area.evses[1])

        def known(at):
            return set(as_known_at(days, at).values_list("settlement_run", flat=True))

        assert known(AS_OF - timedelta(seconds=1)) == set()
        assert known(AS_OF) == {one.pk for one in first}
        assert known(LATER) == {one.pk for one in again} == {*(one.pk for one in first[:4]), again[4].pk}
        changed = as_known_at(days, LATER).get(settlement_run=again[4])
        assert changed.metered_quanta == [5_000]
        assert not SettledDay.objects.for_tenant(area.dsrsps[0]).filter(evse=area.evses[1]).exists()


def refuse_to_read(**_asked: object) -> None:
    raise FlexError("not this way")


class TestVerifyStatements:
    def test_finds_in_one_pass_what_it_finds_one_by_one(self, monkeypatch):
        area, _ = month_of_calls()
        settle_month(month=MONTH, as_of=AS_OF)
        with monkeypatch.context() as only_one_pass:
            only_one_pass.setattr("markets.services.settlement_load.read_event", refuse_to_read)
            assert verify_statements().differences == ()
        read(area.evses[1], utc(CALLS[0][0], time(17)), [0.0, 1.2345], AS_OF - timedelta(days=1))
        singly = [other for run in SettlementRun.objects.order_by("pk") for other in verify_settlement(run)]
        assert len({other.statement for other in singly}) > 2
        assert list(verify_statements().differences) == singly
        monkeypatch.setattr(verification, "read_events", refuse_to_read)
        assert list(verify_statements().differences) == singly
