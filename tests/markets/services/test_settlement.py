from datetime import date, time, timedelta
from decimal import Decimal

import numpy as np
import pytest
from django.db import ProgrammingError, transaction
from django.db.models import ProtectedError

from aggregator.arrays.readings import load_energy_kwh
from aggregator.core.meter_energy import ReadingValues
from aggregator.core.timegrid import TimeGrid, charging_day, utc
from aggregator.models import Finding, MeterDay
from aggregator.services.forecasts import forecast_area
from aggregator.services.ingest_readings import ingest_readings
from dispatch.core.assemble import RunParameters
from dispatch.models import DispatchRun
from dispatch.services.delivery import deliver_day
from dispatch.services.runs import run_dispatch
from markets.core.statement_file import parse_statement
from markets.models import FlexEvent, Instruction, SettlementRun, Statement, StatementLine
from markets.services.cycle import day_ahead
from markets.services.settlement import (
    EventNotOver,
    NothingInstructed,
    instruct_event,
    newest_instructed_run,
    settle_event,
)
from tests.factories import make_enrolment
from tests.walks.small_area import TARIFF, SmallArea, call, make_small_area

pytestmark = pytest.mark.django_db

DAY = date(2026, 1, 15)
GRID = charging_day(DAY)
STARTS_AT, ENDS_AT = utc(DAY, time(17)), utc(DAY, time(19))
AS_OF = GRID.ends_at + timedelta(hours=2)
LATER = GRID.ends_at + timedelta(days=5)

# What three homes of a DSRSP draw from 17:00 when each charges at 7.36 kW as it comes, worked by hand in kWh:
# amber's plug in at 17:00, 17:10 and 17:20 for 6, 8 and 10 kWh, blue's at 17:05, 17:15 and 17:25 for 7, 9 and 11.
BASELINE_KWH = {
    "amber": [3.68 + 7.36 / 3 + 7.36 / 6, 2.32 + 3.68 + 3.68, 8 - 3.68 - 7.36 / 3 + 3.68, 10 - 7.36 - 7.36 / 6],
    "blue": [7.36 * 45 / 60, 3 * 3.68, 7 - 3.68 - 7.36 * 25 / 60 + 9 - 3.68 - 1.84 + 3.68, 11 - 7.36 - 7.36 / 12],
}
# Needed are 25.76, 41.44, 25.92 and 8.88 kW less the target of 5; each gets its part, rounded down to 0.1 kW.
INSTRUCTED_KW = {"amber": [11.8, 17.0, 8.9, 1.2], "blue": [8.8, 19.4, 11.9, 2.6]}
# 19.45 and 21.35 kWh at 300 GBP/MWh are 5.835 and 6.405 GBP: halves go up.
PAID_GBP = {"amber": Decimal("5.84"), "blue": Decimal("6.41")}


def dispatch(area: SmallArea, unserved_gbp_per_kwh: float = 2.0) -> DispatchRun:
    forecast = forecast_area(area_code=area.feeder.code, day=DAY, as_of=day_ahead(DAY))
    parameters = RunParameters(method="greedy", unserved_gbp_per_kwh=unserved_gbp_per_kwh)
    return run_dispatch(forecast=forecast, as_of=day_ahead(DAY), tariff_code=TARIFF, parameters=parameters)


def evening() -> tuple[SmallArea, FlexEvent, DispatchRun]:
    """The street, called to 5 kW from 17:00 to 19:00, dispatched, instructed and delivered."""
    area = make_small_area(DAY)
    event = call(area, STARTS_AT, ENDS_AT)
    run = dispatch(area)
    instruct_event(event=event, run=run)
    deliver_day(run=run, as_of=LATER)
    return area, event, run


def _event_kwh(area: SmallArea, home: int) -> np.ndarray:
    """What a home's meter is known to have read in the event's four half-hours."""
    energy = load_energy_kwh(meter_pks=np.array([area.evses[home].meter_id]), first_day=DAY, last_day=DAY, as_of=AS_OF)
    return energy.on_grid(TimeGrid(STARTS_AT, 4))[0]


def read(area: SmallArea, home: int, energy_kwh: list[float | None], *, late: timedelta, first: int = 0) -> None:
    """A reading of one home's meter from the event's half-hour ``first`` on, that came ``late`` after the day."""
    said = [(at, value) for at, value in enumerate(energy_kwh) if value is not None]
    meter = area.evses[home].meter
    starts = np.datetime64(STARTS_AT.replace(tzinfo=None), "s") + np.array(
        [np.timedelta64((first + at) * 1800, "s") for at, _ in said]
    )
    ingest_readings(
        organisation=meter.organisation,
        source="late",
        sha256=f"{home}{late}{energy_kwh}".encode().hex().ljust(64, "0")[:64],
        received_at=GRID.ends_at + late,
        values=ReadingValues(np.full(len(said), meter.pk), starts, np.array([value for _, value in said])),
    )


def published(settlement: SettlementRun) -> list[tuple[object, ...]]:
    rows = Statement.objects.across_tenants().filter(settlement_run=settlement).order_by("organisation__code")
    return [
        (row.pk, bytes(row.content), row.sha256, row.payment_gbp, *row.lines.order_by("starts_at").values_list())
        for row in rows
    ]


def statement(settlement: SettlementRun, code: str) -> Statement:
    return Statement.objects.across_tenants().get(settlement_run=settlement, organisation__code=code)


class TestInstructEvent:
    @pytest.mark.parametrize("code", ["amber", "blue"])
    def test_shares_the_need_out_by_hand(self, code):
        _, event, run = evening()
        told = Instruction.objects.across_tenants().get(event=event, run=run, organisation__code=code)
        assert told.instructed_kw == pytest.approx(INSTRUCTED_KW[code])
        assert told.expected_baseline_kw == pytest.approx([2 * kwh for kwh in BASELINE_KWH[code]], abs=2e-4)
        assert told.planned_kw == [0.0] * 4

    @pytest.mark.parametrize(
        ("target_kw", "instructed_kw"),
        [(5.0, [14.7, 19.3, 11.0, 2.8]), (20.0, [5.7, 19.3, 5.9, 0.0])],
        ids=["all-it-has", "what-is-needed"],
    )
    def test_gives_all_that_is_needed_to_a_dsrsp_that_is_called_alone(self, target_kw, instructed_kw):
        """The zone's 25.76, 41.44, 25.92 and 8.88 kW less the target, and no more than amber's own."""
        area, _, run = evening()
        alone = call(area, STARTS_AT, ENDS_AT, reference="CALL-2", target_kw=target_kw, dsrsp=area.dsrsps[0])
        (told,) = instruct_event(event=alone, run=run)
        assert told.organisation.code == "amber"
        assert told.instructed_kw == pytest.approx(instructed_kw)

    def test_changes_nothing_when_it_is_asked_again(self):
        _, event, run = evening()
        told = list(Instruction.objects.across_tenants().values())
        assert [row.pk for row in instruct_event(event=event, run=run)] == [row["id"] for row in told]
        assert list(Instruction.objects.across_tenants().values()) == told

    def test_reads_nothing_that_was_received_after_the_run(self):
        area = make_small_area(DAY)
        event = call(area, STARTS_AT, ENDS_AT)
        run = dispatch(area)
        for back in range(2, 40):
            read(area, 0, [0.0] * 4, late=timedelta(hours=1), first=-48 * back)
        told = {row.organisation.code: row for row in instruct_event(event=event, run=run)}
        assert told["amber"].expected_baseline_kw == pytest.approx([2 * kwh for kwh in BASELINE_KWH["amber"]], abs=2e-4)

    def test_instructs_nobody_where_the_target_is_met_anyway(self):
        area = make_small_area(DAY)
        event = call(area, STARTS_AT, ENDS_AT, target_kw=60.0)
        told = instruct_event(event=event, run=dispatch(area))
        assert [row.instructed_kw for row in told] == [[0.0] * 4] * 2

    def test_instructs_whom_an_evse_is_enrolled_with_when_the_event_starts(self):
        area = make_small_area(DAY)
        enrolment = area.evses[0].enrolments.across_tenants().get()
        enrolment.ends_at = STARTS_AT
        enrolment.save()
        make_enrolment(area.evses[0], area.dsrsps[1], STARTS_AT)
        event = call(area, STARTS_AT, ENDS_AT)

        told = {row.organisation.code: row for row in instruct_event(event=event, run=dispatch(area))}

        home = np.array([3.68, 2.32, 0.0, 0.0])
        expected = {
            code: 2 * (np.array(BASELINE_KWH[code]) + sign * home) for code, sign in (("amber", -1), ("blue", 1))
        }
        for code in ("amber", "blue"):
            assert told[code].expected_baseline_kw == pytest.approx(expected[code].tolist(), abs=2e-4)


class TestSettleEvent:
    def test_pays_by_hand(self):
        _, event, run = evening()
        settlement = settle_event(event=event, run=run, as_of=AS_OF)
        for code in ("amber", "blue"):
            row = statement(settlement, code)
            assert row.payment_gbp == PAID_GBP[code]
            assert float(row.instructed_kwh) == pytest.approx(sum(INSTRUCTED_KW[code]) / 2)
            assert float(row.delivered_kwh) == pytest.approx(sum(BASELINE_KWH[code]), abs=2e-4)
            assert row.performance_factor == 1.0
            assert row.n_baseline_days == 10
            for line, baseline_kwh, instructed_kw in zip(
                row.lines.order_by("starts_at"), BASELINE_KWH[code], INSTRUCTED_KW[code], strict=True
            ):
                assert float(line.baseline_kwh) == pytest.approx(baseline_kwh, abs=5.1e-5)
                assert float(line.instructed_kwh) == pytest.approx(instructed_kw / 2)
                assert (line.metered_kwh, line.n_meters_missing) == (0, 0)
                assert line.ends_at - line.starts_at == timedelta(minutes=30)
            assert [line.period for line in row.lines.order_by("starts_at")] == [35, 36, 37, 38]

    def test_publishes_the_file_it_fingerprints(self):
        _, event, run = evening()
        row = statement(settle_event(event=event, run=run, as_of=AS_OF), "amber")
        parsed = parse_statement(bytes(row.content))
        (line,) = parsed.lines
        assert (line.net_settlement_gbp, line.order_reference, line.unit_ref) == (PAID_GBP["amber"], "CALL-1", "amber")
        assert parsed.header.tenant == "amber"
        assert b"blue" not in bytes(row.content)

    def test_gives_the_published_run_back_when_asked_again(self):
        _, event, run = evening()
        first = settle_event(event=event, run=run, as_of=AS_OF)
        before = published(first)
        n_finding = Finding.objects.across_tenants().count()

        for as_of in (AS_OF, AS_OF + timedelta(days=1)):
            assert settle_event(event=event, run=run, as_of=as_of) == first

        assert published(first) == before
        assert SettlementRun.objects.count() == 1
        assert Finding.objects.across_tenants().count() == n_finding

    def test_makes_a_late_reading_a_second_version_and_leaves_the_first_alone(self):
        """Home 0 drew 6 kWh in the event after all: 18 of 19.45 kWh lose 3 times what they miss beyond the grace."""
        area, event, run = evening()
        first = settle_event(event=event, run=run, as_of=AS_OF)
        before = published(first)
        read(area, 0, [3.0, 3.0, None, None], late=timedelta(days=2))

        second = settle_event(event=event, run=run, as_of=GRID.ends_at + timedelta(days=3))

        assert (second.version, second.supersedes, second.code) == (2, first, "RERUN-1")
        assert (first.version, first.supersedes, first.code) == (1, None, "PRELIM")
        assert published(SettlementRun.objects.get(pk=first.pk)) == before
        row = statement(second, "amber")
        delivered_kwh = sum(BASELINE_KWH["amber"]) - 6
        factor = 1 - 3 * (0.95 - delivered_kwh / 19.45)
        assert row.performance_factor == pytest.approx(factor, abs=1e-4)
        assert float(row.payment_gbp) == pytest.approx(round(19.45 * 0.3 * factor, 2))
        assert row.payment_gbp == Decimal("5.41")
        assert statement(second, "blue").payment_gbp == PAID_GBP["blue"]

    def test_makes_a_correction_taken_back_a_third_version(self):
        """Old inputs at a later time are not the old version: the one in force was settled from others."""
        area, event, run = evening()
        first = settle_event(event=event, run=run, as_of=AS_OF)
        was = [float(value) for value in _event_kwh(area, 0)]
        read(area, 0, [3.0, 3.0, None, None], late=timedelta(days=2))
        second = settle_event(event=event, run=run, as_of=GRID.ends_at + timedelta(days=3))
        read(area, 0, was, late=timedelta(days=4))

        third = settle_event(event=event, run=run, as_of=LATER)

        assert (third.version, third.supersedes) == (3, second)
        assert third.input_sha256 == first.input_sha256
        assert statement(third, "amber").payment_gbp == statement(first, "amber").payment_gbp
        assert settle_event(event=event, run=run, as_of=LATER) == third

    def test_still_answers_what_was_known_before_the_late_reading(self):
        area, event, run = evening()
        first = settle_event(event=event, run=run, as_of=AS_OF)
        read(area, 0, [3.0, 3.0, None, None], late=timedelta(days=2))
        settle_event(event=event, run=run, as_of=GRID.ends_at + timedelta(days=3))

        assert settle_event(event=event, run=run, as_of=AS_OF) == first
        assert SettlementRun.objects.count() == 2

    def test_chains_its_versions(self):
        area, event, run = evening()
        for day in range(3):
            if day:
                read(area, 0, [day * 0.5, None, None, None], late=timedelta(days=day))
            settle_event(event=event, run=run, as_of=GRID.ends_at + timedelta(days=day, hours=2))
        versions = list(SettlementRun.objects.order_by("version"))
        assert [run.version for run in versions] == [1, 2, 3]
        assert [run.supersedes for run in versions] == [None, *versions[:2]]

    @pytest.mark.parametrize("early", [timedelta(seconds=1), timedelta(days=1)])
    def test_refuses_an_event_that_is_not_over(self, early):
        _, event, run = evening()
        with pytest.raises(EventNotOver) as refused:
            settle_event(event=event, run=run, as_of=ENDS_AT - early)
        assert refused.value.code == "settlement.event_not_over"
        assert not SettlementRun.objects.exists()

    def test_pays_nothing_while_no_reading_is_known(self):
        _, event, run = evening()
        settlement = settle_event(event=event, run=run, as_of=ENDS_AT)
        for code in ("amber", "blue"):
            row = statement(settlement, code)
            assert row.payment_gbp == Decimal("0.00")
            assert {line.metered_kwh for line in row.lines.all()} == {None}
            assert {line.n_meters_missing for line in row.lines.all()} == {3}
        codes = set(Finding.objects.across_tenants().values_list("code", flat=True))
        assert "settlement.meters_left_out" in codes

    def test_leaves_a_meter_with_a_gap_out_of_both_sides(self):
        area, event, run = evening()
        rows = MeterDay.objects.across_tenants().filter(meter=area.evses[0].meter)
        assert rows.exists()
        # Settled before the delivered readings count, with the other five meters read by hand.
        for home in range(1, 6):
            read(area, home, [0.0] * 4, late=timedelta(minutes=-60))
        settlement = settle_event(event=event, run=run, as_of=GRID.ends_at)
        row = statement(settlement, "amber")
        without_home_0 = sum(BASELINE_KWH["amber"]) - 6
        assert float(row.delivered_kwh) == pytest.approx(without_home_0, abs=2e-4)
        assert {line.n_meters_missing for line in row.lines.all()} == {1}
        note = Finding.objects.across_tenants().get(code="settlement.meters_left_out")
        assert (note.subject, note.details) == ("amber", {"n_meter": 1})

    def test_refuses_an_event_nobody_was_instructed_for(self):
        area = make_small_area(DAY)
        event = call(area, STARTS_AT, ENDS_AT)
        run = dispatch(area)
        deliver_day(run=run, as_of=LATER)
        with pytest.raises(NothingInstructed) as refused:
            settle_event(event=event, run=run, as_of=AS_OF)
        assert refused.value.code == "settlement.nothing_instructed"
        with pytest.raises(NothingInstructed):
            newest_instructed_run(event=event)

    def test_settles_under_the_newest_instructed_run(self):
        area, event, run = evening()
        assert newest_instructed_run(event=event) == run
        second = dispatch(area, unserved_gbp_per_kwh=3.0)
        assert newest_instructed_run(event=event) == run
        instruct_event(event=event, run=second)
        assert newest_instructed_run(event=event) == second

    def test_settles_a_switched_evse_with_whom_it_was_in_the_event(self):
        area = make_small_area(DAY)
        enrolment = area.evses[0].enrolments.across_tenants().get()
        enrolment.ends_at = STARTS_AT
        enrolment.save()
        make_enrolment(area.evses[0], area.dsrsps[1], STARTS_AT)
        event = call(area, STARTS_AT, ENDS_AT)
        run = dispatch(area)
        instruct_event(event=event, run=run)
        deliver_day(run=run, as_of=LATER)

        settlement = settle_event(event=event, run=run, as_of=AS_OF)

        for code, moved_kwh in (("amber", -6.0), ("blue", 6.0)):
            delivered_kwh = sum(BASELINE_KWH[code]) + moved_kwh
            assert float(statement(settlement, code).delivered_kwh) == pytest.approx(delivered_kwh, abs=2e-4)

    @pytest.mark.parametrize("model", [SettlementRun, Statement, StatementLine, Instruction])
    def test_is_never_changed_or_removed_once_published(self, model):
        _, event, run = evening()
        settlement = settle_event(event=event, run=run, as_of=AS_OF)
        before = published(settlement)
        manager = model._default_manager
        rows = manager.across_tenants() if hasattr(manager, "across_tenants") else manager.all()
        assert rows.exists()
        for change in (
            lambda: rows.update(id=rows.first().pk),
            lambda: rows.first().save(),
            lambda: rows.first().delete(),
            rows.delete,
        ):
            with pytest.raises((ProgrammingError, ProtectedError)), transaction.atomic():
                change()
        assert published(settlement) == before

    def test_stores_nothing_when_writing_fails_half_way(self, monkeypatch):
        _, event, run = evening()

        def broken(**_kwargs: object) -> None:
            raise RuntimeError("the disk is full")

        monkeypatch.setattr("markets.services.settlement.store_findings", broken)
        with pytest.raises(RuntimeError, match="disk"):
            settle_event(event=event, run=run, as_of=AS_OF)
        assert not SettlementRun.objects.exists()
        assert not Statement.objects.across_tenants().exists()
