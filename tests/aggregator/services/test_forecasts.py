from datetime import date, datetime, timedelta

import pytest

from aggregator.arrays.forecasts import load_expectation
from aggregator.core.availability import PlanningRule
from aggregator.core.network_area import UnknownNode
from aggregator.core.timegrid import charging_day
from aggregator.models import AvailabilityForecast, ChargingSession, EvseForecast, Finding, GroupForecast
from aggregator.services.forecasts import ForecastTooLate, forecast_area
from markets.services.cycle import day_ahead
from tests.factories import make_enrolment, make_feeder, make_organisation
from tests.walks.small_area import SmallArea, make_batch, make_small_area

pytestmark = pytest.mark.django_db

DAY = date(2026, 1, 15)
AS_OF = day_ahead(DAY)
GRID = charging_day(DAY)
SECOND = timedelta(seconds=1)


def forecast(as_of: datetime = AS_OF, rule: PlanningRule | None = None) -> AvailabilityForecast:
    return forecast_area(area_code="street", day=DAY, as_of=as_of, rule=rule)


def rows_of(stored: AvailabilityForecast) -> list[object]:
    """Everything a forecast says, without its keys."""
    own = [EvseForecast.objects.across_tenants(), GroupForecast.objects.across_tenants()]
    said = [
        sorted(
            (
                tuple(str(row[name]) for name in sorted(row) if name not in ("id", "forecast_id"))
                for row in rows.filter(forecast=stored).values()
            ),
        )
        for rows in own
    ]
    return [stored.input_sha256, stored.n_session_known, stored.as_of, stored.n_period, stored.rule, *said]


def late_session(area: SmallArea, received_at: datetime, *, days_back: int = 3, ref: str = "late") -> ChargingSession:
    """A session of days ago that reaches us only at ``received_at``."""
    plug_in_at = GRID.starts_at - timedelta(days=days_back) + timedelta(hours=2)
    session = ChargingSession(
        evse=area.evses[0],
        organisation=area.dsrsps[0],
        session_ref=ref,
        plug_in_at=plug_in_at,
        plug_out_at=plug_in_at + timedelta(hours=1),
        energy_kwh=50.0,
        received_at=received_at,
        batch=make_batch(area.dno),
    )
    session.save()
    return session


class TestForecastArea:
    def test_expects_the_habit_of_each_home(self):
        area = make_small_area(DAY)

        stored = forecast()

        found = EvseForecast.objects.across_tenants().filter(forecast=stored).select_related("evse")
        assert found.count() == 6
        for row in found:
            index = int(row.evse.pseudonym[-1])
            assert row.energy_kwh == pytest.approx(6.0 + index)
            assert row.organisation_id == area.dsrsps[index % 2].pk
            assert row.plug_in_h[2] == pytest.approx(5 + 5 * index / 60)
            assert row.plug_out_h[2] == pytest.approx(19.5)
            assert (row.start_period, row.end_period) == (10 if index == 0 else 11, 39)

    def test_gives_the_stored_one_back_when_asked_again(self):
        make_small_area(DAY)
        first = forecast()
        before = rows_of(first)

        again = forecast()

        assert again.pk == first.pk
        assert AvailabilityForecast.objects.count() == 1
        assert rows_of(again) == before

    def test_sees_nothing_that_was_received_later(self):
        area = make_small_area(DAY)
        before = rows_of(forecast())
        AvailabilityForecast.objects.all().delete()

        late_session(area, AS_OF + SECOND)
        after = rows_of(forecast())

        assert after == before

    def test_sees_what_was_received_just_then(self):
        area = make_small_area(DAY)
        first = forecast()

        late_session(area, AS_OF)
        second = forecast()

        assert second.pk != first.pk
        assert second.n_session_known == first.n_session_known + 1
        assert second.input_sha256 != first.input_sha256

    def test_never_sees_the_day_itself(self):
        """The evening forecast is in the table already, received the next morning."""
        area = make_small_area(DAY)
        assert ChargingSession.objects.across_tenants().filter(plug_in_at__gte=GRID.starts_at).count() == 6
        before = rows_of(forecast())
        AvailabilityForecast.objects.all().delete()
        ChargingSession.objects.across_tenants().filter(plug_in_at__gte=GRID.starts_at).delete()

        assert rows_of(forecast()) == before
        assert area.evses

    def test_keeps_forecasts_of_two_rules_apart(self):
        make_small_area(DAY)
        assert forecast().pk != forecast(rule=PlanningRule(energy_quantile=0.5)).pk

    def test_states_its_rule_whole(self):
        make_small_area(DAY)
        rule = PlanningRule(min_sessions=3)
        assert PlanningRule(**forecast(rule=rule).rule) == rule

    @pytest.mark.parametrize("late", [SECOND, timedelta(hours=5)])
    def test_refuses_to_forecast_what_has_begun(self, late):
        make_small_area(DAY)
        with pytest.raises(ForecastTooLate) as refused:
            forecast(GRID.starts_at + late)
        assert refused.value.code == "forecast.too_late"
        assert not AvailabilityForecast.objects.exists()

    def test_may_be_made_until_the_day_begins(self):
        make_small_area(DAY)
        assert forecast(GRID.starts_at).as_of == GRID.starts_at

    def test_refuses_an_unknown_area(self):
        with pytest.raises(UnknownNode):
            forecast_area(area_code="nowhere", day=DAY, as_of=AS_OF)

    def test_expects_nobody_of_an_empty_fleet(self):
        make_feeder("street")
        stored = forecast()
        assert (load_expectation(forecast=stored).n_planned, stored.n_session_known) == (0, 0)
        assert not GroupForecast.objects.across_tenants().exists()

    def test_names_a_fleet_of_which_no_session_is_known(self):
        area = make_small_area(DAY)
        ChargingSession.objects.across_tenants().delete()

        stored = forecast()

        assert load_expectation(forecast=stored).n_planned == 0
        note = Finding.objects.across_tenants().get(source=f"forecast:{stored.pk}")
        assert (note.code, note.details["n_evse"]) == ("availability.no_history", len(area.evses))
        assert note.noticed_at == AS_OF

    def test_notes_a_finding_once(self):
        make_small_area(DAY)
        ChargingSession.objects.across_tenants().delete()
        forecast()
        forecast()
        assert Finding.objects.across_tenants().count() == 1

    @pytest.mark.parametrize(
        ("switched_at", "owner"),
        [(GRID.starts_at, "blue"), (GRID.starts_at + SECOND, "amber"), (GRID.starts_at - timedelta(days=20), "blue")],
    )
    def test_forecasts_for_whom_the_evse_is_enrolled_with_when_the_day_starts(self, switched_at, owner):
        area = make_small_area(DAY)
        enrolment = area.evses[0].enrolments.across_tenants().get()
        enrolment.ends_at = switched_at
        enrolment.save()
        make_enrolment(area.evses[0], make_organisation("blue"), switched_at)

        stored = forecast()

        row = EvseForecast.objects.across_tenants().get(forecast=stored, evse=area.evses[0])
        assert row.organisation.code == owner
        assert row.energy_kwh == pytest.approx(6.0)  # the consumer's history comes along

    def test_leaves_out_an_evse_that_left(self):
        area = make_small_area(DAY)
        enrolment = area.evses[0].enrolments.across_tenants().get()
        enrolment.ends_at = GRID.starts_at
        enrolment.save()

        stored = forecast()

        assert load_expectation(forecast=stored).n_planned == 5
        assert sum(row.n_evse for row in GroupForecast.objects.across_tenants().filter(forecast=stored)) == 5
