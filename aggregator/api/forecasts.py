"""What was expected to be plugged in: the forecast, the DSRSP's own EVSEs in it, and its own groups."""

from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from rest_framework import serializers

from aggregator.core.permissions import Action
from aggregator.core.small_numbers import SMALLEST_GROUP
from aggregator.models import AvailabilityForecast, EvseForecast, GroupForecast, Organisation
from aggregator.queries import evse_forecasts_seen_by, forecasts_seen_by, group_forecasts_seen_by
from aggregator.rest.fields import Choice, Code, Day, Facts, OffsetDateTime, PublicId, make_id
from aggregator.rest.serializers import Row
from aggregator.rest.views import DetailView, ListQuery, ListView
from aggregator.rest.windows import LONDON, Interval, interval

PERIOD = timedelta(minutes=30)


class ForecastRow(Interval, Row):
    """A forecast of one charging day (London noon to noon)."""

    example = {
        "id": "forecast_1",
        "area": "NR-0001",
        "charging_day": "2026-11-22",
        "starts_at": "2026-11-22T12:00:00Z",
        "ends_at": "2026-11-23T12:00:00Z",
        "n_period": 48,
        "as_of": "2026-11-22T11:00:00Z",
        "method": "climatology",
        "rule": {"min_probability": 0.1},
        "quantiles": [0.1, 0.5, 0.9],
        "n_session_known": None,
    }

    id = serializers.CharField()
    area = serializers.CharField(help_text="code of the node it covers")
    charging_day = serializers.CharField()
    n_period = serializers.IntegerField(help_text="half-hours: 46, 48 or 50")
    as_of = serializers.CharField(help_text="what was known then")
    method = serializers.CharField()
    rule = Facts()
    quantiles = serializers.ListField(child=serializers.FloatField())
    n_session_known = serializers.IntegerField(
        allow_null=True, help_text="sessions it was made from; null below 5, and to a DSRSP, whose own they are not all"
    )


class ForecastQuery(ListQuery):
    charging_day = Day(required=False)
    area = Code(required=False, help_text="code of the node it covers")


class Forecasts(ListView):
    """Availability forecasts, newest first."""

    actions = {"GET": Action.SEE_FORECASTS}
    row, filters = ForecastRow, ForecastQuery
    orders = {"newest": ("-as_of", "-pk"), "oldest": ("as_of", "pk")}

    def seen(self, asked: dict[str, Any]) -> QuerySet[AvailabilityForecast]:
        forecasts = forecasts_seen_by(self.viewer.organisation)
        if "area" in asked:
            forecasts = forecasts.filter(area__code=asked.pop("area"))
        return forecasts.filter(**asked)

    def show(self, rows: list[AvailabilityForecast]) -> list[dict[str, Any]]:
        return [_forecast(row, self.viewer.organisation) for row in rows]


class ForecastDetail(DetailView):
    """One availability forecast."""

    actions = {"GET": Action.SEE_FORECASTS}
    row, id_prefix = ForecastRow, "forecast"

    def find(self, *, to_change: bool = False) -> AvailabilityForecast:
        return get_object_or_404(forecasts_seen_by(self.viewer.organisation), pk=self.pk())

    def show(self, thing: AvailabilityForecast) -> dict[str, Any]:
        return _forecast(thing, self.viewer.organisation)


def _forecast(forecast: AvailabilityForecast, organisation: Organisation) -> dict[str, Any]:
    is_told = organisation.kind != Organisation.Kind.DSRSP and forecast.n_session_known >= SMALLEST_GROUP
    return {
        "id": make_id("forecast", forecast.pk),
        "area": forecast.area.code,
        "charging_day": forecast.charging_day.isoformat(),
        **interval(forecast.starts_at, forecast.starts_at + forecast.n_period * PERIOD, None),
        "n_period": forecast.n_period,
        "as_of": OffsetDateTime().to_representation(forecast.as_of),
        "method": forecast.method,
        "rule": forecast.rule,
        "quantiles": forecast.quantiles,
        "n_session_known": forecast.n_session_known if is_told else None,
    }


class EvseForecastRow(Interval, Row):
    """The session one EVSE is expected to start, and the window it is planned in."""

    example = {
        "evse": "evse_2f6c0b",
        "starts_at": "2026-11-22T18:00:00Z",
        "ends_at": "2026-11-23T07:00:00Z",
        "energy_kwh": 18.2,
        "probability": 0.81,
        "plug_in_h": [4.5, 6.0, 8.5],
        "plug_out_h": [17.0, 19.0, 20.5],
        "energy_quantiles_kwh": [6.1, 15.0, 31.0],
    }

    evse = serializers.CharField()
    energy_kwh = serializers.FloatField(help_text="planned in the window; import positive")
    probability = serializers.FloatField(help_text="of plugging in at all that charging day")
    plug_in_h = serializers.ListField(
        child=serializers.FloatField(), help_text="hours after local noon at the forecast's quantiles"
    )
    plug_out_h = serializers.ListField(child=serializers.FloatField())
    energy_quantiles_kwh = serializers.ListField(child=serializers.FloatField())


class TzQuery(ListQuery):
    tz = Choice(choices=[LONDON], required=False, help_text="adds each time as local text")


class EvseForecasts(ListView):
    """What a forecast expects of the DSRSP's own EVSEs."""

    actions = {"GET": Action.SEE_FLEET}
    row, filters = EvseForecastRow, TzQuery
    id_prefix = "forecast"
    orders = {"evse": ("evse__pseudonym", "pk")}

    def seen(self, asked: dict[str, Any]) -> QuerySet[EvseForecast]:
        organisation = self.viewer.organisation
        forecast = get_object_or_404(forecasts_seen_by(organisation), pk=self.pk())
        return evse_forecasts_seen_by(organisation).filter(forecast=forecast).select_related("forecast", "evse")

    def show(self, rows: list[EvseForecast]) -> list[dict[str, Any]]:
        return [_evse_forecast(row, self.asked.get("tz")) for row in rows]


def _evse_forecast(row: EvseForecast, tz: str | None) -> dict[str, Any]:
    first = row.forecast.starts_at
    return {
        "evse": row.evse.pseudonym,
        **interval(first + row.start_period * PERIOD, first + row.end_period * PERIOD, tz),
        "energy_kwh": row.energy_kwh,
        "probability": row.probability,
        "plug_in_h": row.plug_in_h,
        "plug_out_h": row.plug_out_h,
        "energy_quantiles_kwh": row.energy_quantiles_kwh,
    }


class GroupForecastRow(Row):
    """Quantiles of the number plugged in, for EVSEs that are alike: one DSRSP's, in one charging scenario."""

    example = {
        "id": "group_1",
        "group": "off_street_residential",
        "n_evse": 40,
        "quantiles": [0.1, 0.5, 0.9],
        "plugged_in": [[3.0, 3.5], [6.0, 6.5], [9.0, 9.5]],
    }

    id = PublicId("group", source="pk")
    group = serializers.SerializerMethodField()
    n_evse = serializers.IntegerField()
    quantiles = serializers.ListField(child=serializers.FloatField())
    plugged_in = serializers.ListField(
        child=serializers.ListField(child=serializers.FloatField()),
        help_text="by quantile, then half-hour from the forecast's start",
    )

    def get_group(self, row: GroupForecast) -> str:
        return row.group.split("/")[-1]


class GroupForecasts(ListView):
    """How many are expected to be plugged in, of the DSRSP's own groups of 5 EVSEs or more."""

    actions = {"GET": Action.SEE_FORECASTS}
    row = GroupForecastRow
    id_prefix = "forecast"
    orders = {"group": ("group", "pk")}

    def seen(self, asked: dict[str, Any]) -> QuerySet[GroupForecast]:
        organisation = self.viewer.organisation
        forecast = get_object_or_404(forecasts_seen_by(organisation), pk=self.pk())
        groups = group_forecasts_seen_by(organisation).filter(forecast=forecast)
        return groups.filter(n_evse__gte=SMALLEST_GROUP)
