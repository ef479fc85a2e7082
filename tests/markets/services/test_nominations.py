"""Nominated baselines: handed in, known at a time, settled by, sealed."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import numpy as np
import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction

from aggregator.core.timegrid import charging_day, utc
from aggregator.models import Event, Finding
from dispatch.services.delivery import deliver_day
from dispatch.services.targets import receive_target
from markets.arrays.baseline_facts import load_baseline_facts
from markets.arrays.settlement import event_grid, load_portfolios
from markets.core.evse_volume import NO_VALUE, EvseVolume
from markets.core.nominations import InvalidNomination, NominatedDay
from markets.models import Nomination, Product, SettlementSeal, Statement, StatementLine, StatementReason
from markets.services.cycle import day_ahead
from markets.services.events import open_event
from markets.services.nominations import NominationRefused, submit_nominations
from markets.services.rules import baseline_method
from markets.services.settlement import instruct_event, settle_event
from markets.services.verification import verify_settlement
from tests.markets.services.test_settlement import dispatch
from tests.markets.tampering import release
from tests.walks.small_area import make_small_area

pytestmark = pytest.mark.django_db

DAY = date(2026, 1, 15)
DEADLINE = datetime(2026, 1, 14, 12, tzinfo=UTC)
ONE_HOUR, ONE_SECOND = timedelta(hours=1), timedelta(seconds=1)
LATER = charging_day(DAY).ends_at + timedelta(days=5)


@pytest.fixture
def area():
    return make_small_area(DAY)


def make_product(area, **terms) -> Product:
    return Product.objects.create(
        code="nominated",
        name="Nominated",
        buyer=area.dno,
        valid_from=datetime(2020, 1, 1, tzinfo=UTC),
        **{"baseline_method": "nomination", **terms},
    )


def nominate(area, dsrsp, *, kw: float = 6.0, at: datetime = DEADLINE - ONE_HOUR, day: date = DAY, **changes):
    stated = {"product": "nominated", "node": area.feeder.code, "now": at, **changes}
    days = stated.pop("days", [NominatedDay(day, np.full(48, kw))])
    return submit_nominations(organisation=dsrsp, days=days, **stated)


def called(area):
    """An event from 17:00 to 19:00 under the product, instructed and delivered."""
    signal = receive_target(
        reference="CALL-1",
        node_code=area.feeder.code,
        starts_at=utc(DAY, time(17)),
        ends_at=utc(DAY, time(19)),
        direction="turn_down",
        kind="response",
        target_kw=5.0,
        shortfall_gbp_per_kwh=1.0,
        issued_by=area.dno,
        received_at=day_ahead(DAY) - timedelta(hours=3),
    )
    event = open_event(signal=signal, product_code="nominated", price_gbp_per_mwh=Decimal("300.00"))
    run = dispatch(area)
    told = instruct_event(event=event, run=run)
    deliver_day(run=run, as_of=LATER)
    return event, run, told


def baselines(settlement, dsrsp) -> set[Decimal | None]:
    lines = StatementLine.objects.filter(
        statement__in=Statement.objects.across_tenants().filter(settlement_run=settlement, organisation=dsrsp)
    )
    return {line.baseline_kwh for line in lines}


class TestSubmitNominations:
    def test_stores_what_was_handed_in_and_tells_the_log(self, area):
        make_product(area)
        amber = area.dsrsps[0]

        handed = nominate(area, amber, kw=6.0)

        (row,) = Nomination.objects.for_tenant(amber)
        assert handed.rows == (row,)
        assert (row.settlement_date, row.power_kw, row.node) == (DAY, [6.0] * 48, area.feeder)
        assert row.submitted_at == row.recorded_at == DEADLINE - ONE_HOUR
        assert (handed.n_same, handed.late) == (0, ())
        assert Event.objects.for_tenant(amber).filter(action="nomination.submit").count() == 1

    def test_stores_nothing_that_stands_already(self, area):
        make_product(area)
        amber = area.dsrsps[0]
        nominate(area, amber, kw=6.0)

        again = nominate(area, amber, kw=6.0, at=DEADLINE + ONE_HOUR)
        other = nominate(area, amber, kw=5.0, at=DEADLINE - ONE_SECOND)

        assert (again.n_same, other.n_same) == (1, 0)
        assert Nomination.objects.for_tenant(amber).count() == 2

    @pytest.mark.parametrize(("at", "is_late"), [(DEADLINE - ONE_SECOND, False), (DEADLINE, True)])
    def test_is_late_from_noon_on_the_day_before(self, area, at, is_late):
        make_product(area)
        assert nominate(area, area.dsrsps[0], at=at).late == ((DAY,) if is_late else ())

    def test_holds_the_deadline_of_london_and_of_the_product(self, area):
        """In summer noon is 11:00 UTC; a product may say 17:00, two days before."""
        make_product(area)
        summer = date(2026, 7, 15)
        noon = datetime(2026, 7, 14, 11, tzinfo=UTC)
        assert nominate(area, area.dsrsps[0], at=noon - ONE_SECOND, day=summer).late == ()
        assert nominate(area, area.dsrsps[0], kw=5.0, at=noon, day=summer).late == (summer,)
        Product.objects.create(
            code="early",
            name="Early",
            buyer=area.dno,
            valid_from=datetime(2020, 1, 1, tzinfo=UTC),
            baseline_method="nomination",
            baseline_parameters={"deadline": "17:00", "days_before": 2},
        )
        at = datetime(2026, 7, 13, 16, tzinfo=UTC)
        assert nominate(area, area.dsrsps[0], at=at - ONE_SECOND, day=summer, product="early").late == ()
        assert nominate(area, area.dsrsps[0], kw=5.0, at=at, day=summer, product="early").late == (summer,)

    def test_refuses_more_than_the_evses_there_are_rated_at(self, area):
        """Three homes of 7.36 kW: 22.08 kW, drawn or given back."""
        make_product(area)
        assert nominate(area, area.dsrsps[0], kw=22.08).rows
        for kw in (22.09, -22.09):
            with pytest.raises(NominationRefused, match=r"22\.08 kW") as error:
                nominate(area, area.dsrsps[0], kw=kw)
            assert error.value.details["field"] == "power_kw"

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"product": "su"}, "product"),
            ({"product": "nothing"}, "product"),
            ({"day": date(2026, 1, 13)}, "settlement_date"),
            ({"day": date(2027, 3, 1)}, "settlement_date"),
            ({"submitted_at": DEADLINE}, "submitted_at"),
            ({"days": []}, "days"),
            ({"days": [NominatedDay(DAY, np.zeros(48))] * 2}, "days"),
        ],
    )
    def test_refuses_and_changes_nothing(self, area, changes, field):
        make_product(area)
        with pytest.raises(NominationRefused) as error:
            nominate(area, area.dsrsps[0], **changes)
        assert error.value.details["field"] == field
        assert not Nomination.objects.across_tenants().exists()

    def test_is_only_ever_added_to(self, area):
        make_product(area)
        nominate(area, area.dsrsps[0])
        for change in ("UPDATE markets_nomination SET power_kw = '{}'", "DELETE FROM markets_nomination"):
            with (
                pytest.raises(DatabaseError, match="permission denied"),
                transaction.atomic(),
                connection.cursor() as cursor,
            ):
                cursor.execute(change)


class TestSettleEvent:
    def test_settles_by_what_was_nominated(self, area):
        """6 kW nominated are 3 kWh a half-hour; blue nominated nothing, so nothing of it was delivered."""
        make_product(area)
        amber, blue = area.dsrsps
        nominate(area, amber, kw=6.0)

        event, run, told = called(area)
        settlement = settle_event(event=event, run=run, as_of=LATER)

        expected = {one.organisation: set(one.expected_baseline_kw) for one in told}
        assert expected == {amber: {6.0}, blue: {0.0}}
        assert baselines(settlement, amber) == {Decimal("3.0000")}
        assert Statement.objects.for_tenant(blue).get(settlement_run=settlement).payment_gbp == 0
        assert [one.organisation for one in Finding.objects.across_tenants().filter(code="baseline.none")] == [blue]

    def test_takes_the_share_of_a_meter_with_a_gap_off_what_was_nominated(self, area):
        """One of amber's three equal EVSEs has a gap and is left out of metered energy: 3 kWh a half-hour become 2."""
        make_product(area)
        nominate(area, area.dsrsps[0], kw=6.0)
        event, _, _ = called(area)
        portfolios = load_portfolios(event=event)
        metered = np.full((len(portfolios.evse_pks), 4), 5_000, dtype=np.int32)
        metered[np.flatnonzero(portfolios.unit == 0)[0], 2] = NO_VALUE
        read = EvseVolume(event_grid(event.signal), np.zeros_like(metered), metered)

        method = baseline_method(event.product)
        facts = load_baseline_facts(event=event, method=method, portfolios=portfolios, evses=read, as_of=LATER)

        assert facts.nominations.energy_kwh == pytest.approx(np.full((1, 4), 2.0))
        assert facts.n_evse.tolist() == [2, 3]

    @pytest.mark.parametrize(("late", "baseline"), [("previous", Decimal("3.0000")), ("ineligible", None)])
    def test_does_with_a_late_one_what_the_product_says(self, area, late, baseline):
        make_product(area, baseline_parameters={"late": late})
        amber = area.dsrsps[0]
        nominate(area, amber, kw=6.0)
        nominate(area, amber, kw=8.0, at=DEADLINE)

        event, run, _ = called(area)
        settlement = settle_event(event=event, run=run, as_of=LATER)

        assert baselines(settlement, amber) == {baseline}
        assert Finding.objects.for_tenant(amber).filter(code="baseline.late_nomination").count() == 1

    def test_knows_what_was_stored_by_then_and_no_more(self, area):
        """What was handed in in time and stored after the first settlement moves the next one, with its reason."""
        make_product(area)
        amber = area.dsrsps[0]
        nominate(area, amber, kw=6.0)
        event, run, _ = called(area)
        first = settle_event(event=event, run=run, as_of=LATER)
        nominate(area, amber, kw=8.0, at=LATER + ONE_HOUR, submitted_at=DEADLINE - ONE_SECOND)

        assert settle_event(event=event, run=run, as_of=LATER) == first
        second = settle_event(event=event, run=run, as_of=LATER + 2 * ONE_HOUR)

        assert (baselines(first, amber), baselines(second, amber)) == ({Decimal("3.0000")}, {Decimal("4.0000")})
        reasons = StatementReason.objects.for_tenant(amber).filter(statement__settlement_run=second)
        assert "baseline_input" in {reason.code for reason in reasons}

    def test_holds_for_its_own_zone_and_product_alone(self, area):
        make_product(area)
        amber = area.dsrsps[0]
        Product.objects.create(
            code="other",
            name="Other",
            buyer=area.dno,
            valid_from=datetime(2020, 1, 1, tzinfo=UTC),
            baseline_method="nomination",
        )
        nominate(area, amber, kw=6.0, node="street-A")
        nominate(area, amber, kw=6.0, product="other")

        event, run, _ = called(area)
        assert baselines(settle_event(event=event, run=run, as_of=LATER), amber) == {None}


class TestVerifySettlement:
    def test_finds_a_nomination_that_was_slipped_in(self, area):
        make_product(area)
        amber = area.dsrsps[0]
        (row,) = nominate(area, amber, kw=6.0).rows
        event, run, _ = called(area)
        settlement = settle_event(event=event, run=run, as_of=LATER)
        release(settlement)
        settlement.refresh_from_db()
        assert verify_settlement(settlement) == []
        sealed = SettlementSeal.objects.filter(settlement_run=settlement, kind="baseline")
        assert [(seal.part, seal.n_row) for seal in sealed] == [(f"markets_nomination id {row.pk}", 1)]

        at = DEADLINE - ONE_SECOND
        Nomination(
            organisation=amber,
            product=row.product,
            node=row.node,
            settlement_date=DAY,
            power_kw=[20.0] * 48,
            submitted_at=at,
            recorded_at=at,
        ).save()

        found = {(one.line, one.figure) for one in verify_settlement(settlement)}
        assert ("input given", "sha256") in found
        assert ("2026-01-15 period 35", "baseline_kwh") in found


class TestNominate:
    def test_hands_in_a_file(self, area, tmp_path, capsys):
        make_product(area)
        path = tmp_path / "amber.csv"
        path.write_text("settlement_date,settlement_period,power_kw\n2099-01-14,35,6.5\n")
        with pytest.raises(NominationRefused, match="2099-01-14"):
            call_command("nominate", "amber", "nominated", "street", path)
        path.write_text("date,kw\n")
        with pytest.raises(InvalidNomination, match="line 1"):
            call_command("nominate", "amber", "nominated", "street", path)

        tomorrow = datetime.now(tz=UTC).date() + timedelta(days=2)
        path.write_text(f"settlement_date,settlement_period,power_kw\n{tomorrow},35,6.5\n")
        call_command("nominate", "amber", "nominated", "street", path)

        (row,) = Nomination.objects.for_tenant(area.dsrsps[0])
        assert (row.settlement_date, row.power_kw[34]) == (tomorrow, 6.5)
        assert "1 settlement dates; 1 nominated, 0 as they stood, 0 after" in capsys.readouterr().out

    def test_takes_what_was_handed_in_earlier(self, area, tmp_path):
        make_product(area)
        path = tmp_path / "amber.csv"
        path.write_text("settlement_date,settlement_period,power_kw\n2026-01-15,35,6.5\n")
        call_command("nominate", "amber", "nominated", "street", path, submitted_at=DEADLINE - ONE_HOUR)
        row = Nomination.objects.for_tenant(area.dsrsps[0]).get()
        assert row.submitted_at == DEADLINE - ONE_HOUR < row.recorded_at
