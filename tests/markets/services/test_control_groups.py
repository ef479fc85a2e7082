"""Control groups: drawn, kept out of a product's events, settled by, sealed."""

import hashlib
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import numpy as np
import pytest
from django.core.management import call_command
from django.db import DatabaseError, transaction

from aggregator.core.meter_energy import ReadingValues
from aggregator.core.timegrid import TimeGrid, charging_day, utc
from aggregator.models import Event, Finding
from aggregator.services.ingest_readings import ingest_readings
from dispatch.models import Setpoint, SparedEvse
from dispatch.services.delivery import deliver_day
from dispatch.services.targets import receive_target
from markets.core.control_group import ControlGroupRefused
from markets.models import ControlGroup, ControlGroupMember, Instruction, Product, SettledDay, Statement, StatementLine
from markets.services.control_evidence import control_group_inputs
from markets.services.control_groups import UnknownControlEvse, draw_control_group
from markets.services.cycle import day_ahead
from markets.services.events import open_event
from markets.services.month import settle_month
from markets.services.settlement import instruct_event, settle_event
from markets.services.verification import verify_settlement
from tests.markets.services.test_settlement import dispatch
from tests.markets.tampering import release
from tests.walks.small_area import make_small_area

pytestmark = pytest.mark.django_db

DAY = date(2026, 1, 15)
DRAWN_AT = datetime(2026, 1, 10, 9, tzinfo=UTC)
LATER = charging_day(DAY).ends_at + timedelta(days=5)
# gb-rules' worked figures, as kW of one EVSE: in the window before and in the event.
CALLED_KW, SPARED_KW = (2.00, 0.60), (1.90, 2.05)


@pytest.fixture
def area():
    """Six homes of one street: 0, 2 and 4 are amber's, 1, 3 and 5 blue's."""
    return make_small_area(DAY)


def make_product(area, *, method: str = "control-group-difference", **terms) -> Product:
    parameters = {"min_evses": 1, **terms.pop("baseline_parameters", {})}
    return Product.objects.create(
        code="compared",
        name="Compared",
        buyer=area.dno,
        valid_from=datetime(2020, 1, 1, tzinfo=UTC),
        baseline_method=method,
        baseline_parameters=parameters,
        **terms,
    )


def draw(area, **changes) -> ControlGroup:
    stated = {
        "organisation": area.dsrsps[0],
        "product": "compared",
        "node": area.feeder.code,
        "valid_from": date(2026, 1, 11),
        "now": DRAWN_AT,
        **changes,
    }
    if "evses" not in stated:
        stated = {"n_evse": 1, "seed": 7, **stated}
    return draw_control_group(**stated)


def call(area, *, day: date = DAY, reference: str = "CALL-1", hours: tuple[int, int] = (17, 19)):
    signal = receive_target(
        reference=reference,
        node_code=area.feeder.code,
        starts_at=utc(day, time(hours[0])),
        ends_at=utc(day, time(hours[1])),
        direction="turn_down",
        kind="response",
        target_kw=5.0,
        shortfall_gbp_per_kwh=1.0,
        issued_by=area.dno,
        received_at=day_ahead(DAY) - timedelta(hours=3),
    )
    return open_event(signal=signal, product_code="compared", price_gbp_per_mwh=Decimal("300.00"))


def meter(area, kw_of: dict, *, received_at: datetime = LATER - timedelta(days=1), source: str = "event") -> None:
    """Readings of some homes: one power from 12:00 to 17:00, another from 17:00 to 19:00; None is not read."""
    grid = TimeGrid(utc(DAY, time(12)), 14)
    is_event = grid.period_starts() >= np.datetime64("2026-01-15T17:00")
    for dsrsp in area.dsrsps:
        own = [home for home in kw_of if area.dsrsps[home % 2] == dsrsp]
        for home in own:
            before_kw, in_event_kw = kw_of[home]
            kwh = np.where(is_event, np.nan if in_event_kw is None else in_event_kw, before_kw) / 2
            known = ~np.isnan(kwh)
            ingest_readings(
                organisation=dsrsp,
                source=f"{source} {home}",
                sha256=hashlib.sha256(f"{source} {home}".encode()).hexdigest(),
                received_at=received_at,
                values=ReadingValues(
                    np.full(int(known.sum()), area.evses[home].meter_id), grid.period_starts()[known], kwh[known]
                ),
            )


def homes(area, pks) -> set[int]:
    return {index for index, evse in enumerate(area.evses) if evse.pk in set(pks)}


def called(area, **terms):
    """An event with home 4 as amber's control group and home 5 as blue's, metered by the worked figures."""
    make_product(area, **terms)
    for dsrsp, home in zip(area.dsrsps, (4, 5), strict=True):
        draw(area, organisation=dsrsp, evses=[area.evses[home].pseudonym])
    event = call(area)
    run = dispatch(area)
    instruct_event(event=event, run=run)
    return event, run


WORKED = {0: CALLED_KW, 1: CALLED_KW, 2: CALLED_KW, 3: CALLED_KW, 4: SPARED_KW, 5: SPARED_KW}


class TestDrawControlGroup:
    def test_draws_the_same_evses_for_the_same_seed(self, area):
        make_product(area)
        one = draw(area, n_evse=2, seed=11)
        drawn = homes(area, one.members.across_tenants().values_list("evse", flat=True))

        assert len(drawn) == 2
        assert drawn < {0, 2, 4}
        assert draw(area, n_evse=2, seed=11).pk == one.pk  # said again
        assert (one.seed, one.n_evse, one.n_turn) == (11, 2, 1)
        assert Event.objects.across_tenants().filter(action="control_group.record").count() == 1

    def test_takes_turns(self, area):
        make_product(area)
        group = draw(area, n_evse=1, n_turn=3, rotates="daily")

        turns = ControlGroupMember.objects.across_tenants().filter(group=group).order_by("turn")
        assert [one.turn for one in turns] == [0, 1, 2]
        assert homes(area, [one.evse_id for one in turns]) == {0, 2, 4}
        spared = []
        for ahead in range(4):
            call(area, day=DAY + timedelta(days=ahead), reference=f"CALL-{ahead}")
            rows = SparedEvse.objects.across_tenants().filter(signal__reference=f"CALL-{ahead}")
            spared.append([row.evse_id for row in rows])
        # 15 January is day 4 of the group: turn 4 % 3.
        wanted = [turns[turn].evse_id for turn in (1, 2, 0, 1)]
        assert spared == [[pk] for pk in wanted]

    def test_refuses_what_cannot_be_meant(self, area):
        make_product(area)
        for changes, message in (
            ({"product": "su"}, "needs no control group"),
            ({"product": "none"}, "there is no product"),
            ({"valid_from": date(2026, 1, 10)}, "expected a later day"),
            ({"valid_until": date(2026, 1, 10)}, "no earlier than the first"),
            ({"n_evse": 3}, "some must be left"),
            ({"n_evse": None, "seed": None}, "either a number"),
            ({"n_evse": None}, "a number of EVSEs and a seed"),
            ({"evses": [area.evses[0].pseudonym], "rotates": "daily", "n_turn": 2}, "does not rotate"),
        ):
            with pytest.raises(ControlGroupRefused, match=message):
                draw(area, **changes)
        with pytest.raises(UnknownControlEvse, match=area.evses[1].pseudonym):
            draw(area, evses=[area.evses[0].pseudonym, area.evses[1].pseudonym])
        assert not ControlGroup.objects.across_tenants().exists()


class TestCommand:
    def test_draws(self, area, capsys):
        make_product(area)
        tomorrow = datetime.now(tz=UTC).date() + timedelta(days=2)
        asked = ("amber", "compared", "street", "--from", tomorrow.isoformat())
        call_command("draw_control_group", *asked, "--n-evse", "1", "--turns", "3", "--rotates", "weekly")
        group = ControlGroup.objects.for_tenant(area.dsrsps[0]).get()
        said = capsys.readouterr().out
        assert f"1 EVSEs at a time, 3 sets in turn (weekly), drawn with seed {group.seed}; for compared" in said

        call_command("draw_control_group", *asked, "--evse", area.evses[2].pseudonym)
        assert "1 EVSEs at a time, named;" in capsys.readouterr().out


class TestSpareControlGroups:
    def test_fixes_the_group_known_when_the_request_was_received(self, area):
        make_product(area)
        draw(area, evses=[area.evses[4].pseudonym])
        draw(area, evses=[area.evses[2].pseudonym], now=DRAWN_AT + timedelta(days=1), valid_from=date(2026, 1, 14))
        event = call(area)
        draw(area, evses=[area.evses[0].pseudonym], now=DRAWN_AT + timedelta(days=3), valid_from=DAY)

        rows = SparedEvse.objects.across_tenants().filter(signal=event.signal)
        assert homes(area, [row.evse_id for row in rows]) == {2}

    def test_spares_nobody_once_the_group_has_ended(self, area):
        make_product(area)
        draw(area, valid_until=DAY - timedelta(days=1))
        call(area)

        assert not SparedEvse.objects.across_tenants().exists()

    def test_spares_nobody_of_a_product_with_another_baseline(self, area):
        make_product(area)
        draw(area)
        Product.objects.create(
            code="compared",
            version=2,
            name="No longer compared",
            buyer=area.dno,
            valid_from=DRAWN_AT,
            supersedes=Product.objects.get(code="compared"),
        )
        call(area)

        assert not SparedEvse.objects.across_tenants().exists()


class TestSettle:
    @pytest.mark.parametrize(
        ("method", "baseline_kwh"),
        # 2.05 + (2.00 - 1.90) = 2.15 kW, and 2.05 x 2.00 / 1.90 = 2.15789 kW, of two homes for half an hour.
        [("control-group-difference", "2.1500"), ("control-group-ratio", "2.1579")],
    )
    def test_settles_the_others_against_the_group(self, area, method, baseline_kwh):
        event, run = called(area, method=method)
        meter(area, WORKED)
        settlement = settle_event(event=event, run=run, as_of=LATER)

        lines = StatementLine.objects.filter(statement__settlement_run=settlement)
        assert {line.baseline_kwh for line in lines} == {Decimal(baseline_kwh)}
        assert {line.metered_kwh for line in lines} == {Decimal("0.6000")}
        assert {line.delivered_kwh for line in lines} == {Decimal(baseline_kwh) - Decimal("0.6")}
        settled = SettledDay.objects.across_tenants().filter(settlement_run=settlement)
        assert homes(area, settled.values_list("evse", flat=True)) == {0, 1, 2, 3}
        assert not Finding.objects.across_tenants().filter(code__startswith="baseline.").exists()
        settlement.refresh_from_db()
        assert verify_settlement(settlement) == []

    def test_names_the_group_and_what_it_drew_in_the_evidence(self, area):
        event, run = called(area)
        meter(area, WORKED)
        settlement = settle_event(event=event, run=run, as_of=LATER)
        statement = Statement.objects.across_tenants().get(settlement_run=settlement, organisation=area.dsrsps[0])
        found = control_group_inputs(statement=statement)["control_group"]

        assert (found["evses"], found["n_counting"]) == ([area.evses[4].pseudonym], 1)
        assert found["event"]["energy_kwh"] == ["1.0250"] * 4
        assert found["adjustment"]["energy_kwh"] == ["0.9500"] * 6

    def test_settles_a_month_as_it_settles_the_event(self, area):
        event, run = called(area)
        meter(area, WORKED)
        of_month = settle_month(month=DAY, as_of=LATER)

        assert settle_event(event=event, run=run, as_of=LATER) == of_month.settlements[0]

    def test_scales_the_group_to_the_evses_called(self, area):
        """One home of each is not read in the event: the other one alone is compared."""
        event, run = called(area)
        meter(area, {**WORKED, 2: (2.00, None), 3: (2.00, None)})
        settlement = settle_event(event=event, run=run, as_of=LATER)

        lines = StatementLine.objects.filter(statement__settlement_run=settlement)
        assert {line.baseline_kwh for line in lines} == {Decimal("1.0750")}
        assert {line.metered_kwh for line in lines} == {Decimal("0.3000")}

    def test_gives_no_baseline_where_the_group_was_not_read(self, area):
        event, run = called(area)
        meter(area, {**WORKED, 4: (1.90, None)})
        settlement = settle_event(event=event, run=run, as_of=LATER)

        amber = Statement.objects.across_tenants().get(settlement_run=settlement, organisation=area.dsrsps[0])
        assert amber.payment_gbp == 0
        assert amber.delivered_kwh == 0
        found = Finding.objects.across_tenants().filter(organisation=area.dsrsps[0], code__startswith="baseline.")
        assert sorted(found.values_list("code", flat=True)) == ["baseline.control_group_too_small", "baseline.none"]
        blue = Statement.objects.across_tenants().get(settlement_run=settlement, organisation=area.dsrsps[1])
        assert blue.delivered_kwh == Decimal("6.2000")

    def test_pays_nothing_to_a_dsrsp_without_a_group(self, area):
        make_product(area)
        draw(area, evses=[area.evses[4].pseudonym])
        event, run = call(area), dispatch(area)
        instruct_event(event=event, run=run)
        meter(area, WORKED)
        settlement = settle_event(event=event, run=run, as_of=LATER)

        blue = Statement.objects.across_tenants().get(settlement_run=settlement, organisation=area.dsrsps[1])
        assert blue.delivered_kwh == 0
        amber = Statement.objects.across_tenants().get(settlement_run=settlement, organisation=area.dsrsps[0])
        assert amber.delivered_kwh == Decimal("6.2000")

    def test_does_not_mind_in_which_order_readings_arrived(self, area):
        event, run = called(area)
        wrong = dict.fromkeys(WORKED, (9.0, 9.0))
        first, last = LATER - timedelta(days=2), LATER - timedelta(days=1)
        meter(area, WORKED, received_at=last, source="late")
        meter(area, wrong, received_at=first, source="early")  # stored later, received before: superseded
        settlement = settle_event(event=event, run=run, as_of=LATER)

        lines = StatementLine.objects.filter(statement__settlement_run=settlement)
        assert {line.baseline_kwh for line in lines} == {Decimal("2.1500")}

    def test_a_later_reading_of_the_group_is_a_new_run_with_its_reason(self, area):
        event, run = called(area)
        meter(area, WORKED, received_at=LATER - timedelta(days=2))
        before = settle_event(event=event, run=run, as_of=LATER - timedelta(days=1))
        meter(area, {4: (1.90, 2.25)}, received_at=LATER - timedelta(hours=1), source="corrected")
        after = settle_event(event=event, run=run, as_of=LATER)

        assert after.supersedes == before
        amber = Statement.objects.across_tenants().get(settlement_run=after, organisation=area.dsrsps[0])
        assert amber.delivered_kwh == Decimal("7.0000")  # four half-hours of 2.35 - 0.60
        assert amber.reasons.across_tenants().filter(code="reading_corrected").exists()
        for settlement in (before, after):
            settlement.refresh_from_db()
            assert verify_settlement(settlement) == []

    def test_finds_an_evse_slipped_into_the_group_after_the_release(self, area):
        event, run = called(area)
        meter(area, WORKED)
        settlement = settle_event(event=event, run=run, as_of=LATER)
        release(settlement)
        settlement.refresh_from_db()
        assert verify_settlement(settlement) == []
        SparedEvse(signal=event.signal, evse=area.evses[2], organisation=area.dsrsps[0]).save()

        found = verify_settlement(settlement)
        assert {one.line for one in found} >= {"input portfolio", "input given"}
        assert any(f"dispatch_sparedevse signal_id {event.signal_id}" in one.line for one in found)

    def test_what_was_fixed_stays(self, area):
        make_product(area)
        draw(area)
        call(area)

        for rows in (SparedEvse, ControlGroup, ControlGroupMember):
            with pytest.raises(DatabaseError), transaction.atomic():
                rows.objects.across_tenants().all().delete()


class TestDispatch:
    def test_plans_the_group_as_if_it_had_not_been_called(self, area):
        """Called in the cheap hours of the night, all homes would move; those of the group stay where they were."""
        make_product(area)
        for dsrsp, home in zip(area.dsrsps, (4, 5), strict=True):
            draw(area, organisation=dsrsp, evses=[area.evses[home].pseudonym])
        before = planned(area, dispatch(area))
        call(area, day=DAY + timedelta(days=1), hours=(0, 5))
        run = dispatch(area)
        after = planned(area, run)

        np.testing.assert_array_equal(after[4:], before[4:])
        assert after[4:].any()
        assert (after[:4] != before[:4]).any()
        assert run.method.endswith("sparing")

    def test_dispatches_the_day_anew_without_moving_the_group(self, area):
        """Delivered under the request, the group's homes are metered what they are without one."""
        make_product(area)
        for dsrsp, home in zip(area.dsrsps, (4, 5), strict=True):
            draw(area, organisation=dsrsp, evses=[area.evses[home].pseudonym])
        call(area, day=DAY + timedelta(days=1), hours=(0, 5))
        run = dispatch(area)
        delivered = deliver_day(run=run, as_of=LATER)

        order = {pk: at for at, pk in enumerate(delivered.fleet.evse_pks.tolist())}
        night_kwh = delivered.delivery.energy_kwh[:, 24:34].sum(axis=1)
        kept = [night_kwh[order[area.evses[home].pk]] for home in (4, 5)]
        moved = [night_kwh[order[area.evses[home].pk]] for home in range(4)]
        assert min(kept) > 9.0  # 10 and 11 kWh, all of it at the cheap price
        assert sum(moved) < 15.0  # of the 30 kWh that the other four need in a night


def planned(area, run) -> np.ndarray:
    """(n_home, n_period) amperes planned."""
    rows = Setpoint.objects.across_tenants().filter(run=run)
    of_evse = {row.evse_id: row.planned_a for row in rows}
    return np.array([of_evse[evse.pk] for evse in area.evses])


class TestInstruct:
    def test_never_counts_an_evse_of_the_group(self, area):
        event, run = called(area)

        told = {one.organisation: one for one in Instruction.objects.across_tenants().filter(event=event)}
        for dsrsp in area.dsrsps:
            two = np.array(told[dsrsp].expected_baseline_kw)
            assert (two > 0).any()
            assert (np.array(told[dsrsp].instructed_kw) <= two).all()
        assert run.pk
