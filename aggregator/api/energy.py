"""What was charged, what it costs, and what meters read."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from aggregator.arrays.series import load_energy_series, load_price_series
from aggregator.core.half_hours import HalfHours
from aggregator.core.permissions import Action
from aggregator.models import ChargingSession, Meter, Tariff
from aggregator.queries import evses_seen_by, meters_seen_by, sessions_seen_by, tariffs_seen_by
from aggregator.rest.fields import Code, OffsetDateTime, PublicId, Text
from aggregator.rest.problems import broken_rule
from aggregator.rest.serializers import Row
from aggregator.rest.views import ApiView, DetailView, ListView
from aggregator.rest.windows import Interval, SpanQuery, WindowQuery, interval

HALF_HOUR = timedelta(minutes=30)


class SessionRow(Interval, Row):
    """One EV at one EVSE, from plug-in to plug-out."""

    example = {
        "id": "ses_1",
        "evse": "evse_2f6c0b",
        "session_ref": "A-1001",
        "connector": "",
        "starts_at": "2026-11-21T18:04:00Z",
        "ends_at": "2026-11-22T07:10:00Z",
        "energy_kwh": 21.4,
        "received_at": "2026-11-22T07:15:00Z",
    }

    id = serializers.CharField()
    evse = serializers.CharField()
    session_ref = serializers.CharField(help_text="its id at its source")
    connector = serializers.CharField()
    energy_kwh = serializers.FloatField(help_text="drawn in the session; import positive")
    received_at = serializers.CharField(help_text="when it became known")


class SessionQuery(WindowQuery):
    evse = Code(max_length=60, required=False)


class Sessions(ListView):
    """Charging sessions that began in a span of time, while the EVSE was with the DSRSP."""

    actions = {"GET": Action.SEE_SESSIONS}
    row, filters = SessionRow, SessionQuery
    orders = {"oldest": ("plug_in_at", "pk"), "newest": ("-plug_in_at", "-pk")}

    def seen(self, asked: dict[str, Any]) -> QuerySet[ChargingSession]:
        sessions = sessions_seen_by(self.viewer.organisation)
        if "evse" in asked:
            sessions = sessions.filter(evse__pseudonym=asked["evse"])
        return sessions.filter(plug_in_at__gte=asked["from"], plug_in_at__lt=asked["to"])

    def show(self, rows: list[ChargingSession]) -> list[dict[str, Any]]:
        return [_session(row, self.asked.get("tz")) for row in rows]


class SessionDetail(DetailView):
    """One charging session."""

    actions = {"GET": Action.SEE_SESSIONS}
    row, id_prefix = SessionRow, "ses"

    def find(self, *, to_change: bool = False) -> ChargingSession:
        return get_object_or_404(sessions_seen_by(self.viewer.organisation), pk=self.pk())

    def show(self, thing: ChargingSession) -> dict[str, Any]:
        return _session(thing, None)


def _session(session: ChargingSession, tz: str | None) -> dict[str, Any]:
    return {
        "id": PublicId("ses").to_representation(session.pk),
        "evse": session.evse.pseudonym,
        "session_ref": session.session_ref,
        "connector": session.connector,
        **interval(session.plug_in_at, session.plug_out_at, tz),
        "energy_kwh": session.energy_kwh,
        "received_at": OffsetDateTime().to_representation(session.received_at),
    }


class TariffRow(Row):
    """A tariff whose prices are known."""

    example = {"code": "night", "name": "Night saver", "source": "prices.csv"}

    code = serializers.CharField()
    name = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]


class Tariffs(ListView):
    """Tariffs."""

    actions = {"GET": Action.SEE_TARIFFS}
    row = TariffRow
    orders = {"code": ("code",)}

    def seen(self, asked: dict[str, Any]) -> QuerySet[Tariff]:
        return tariffs_seen_by(self.viewer.organisation)


class TariffDetail(DetailView):
    """One tariff."""

    actions = {"GET": Action.SEE_TARIFFS}
    row = TariffRow

    def find(self, *, to_change: bool = False) -> Tariff:
        return get_object_or_404(tariffs_seen_by(self.viewer.organisation), code=self.kwargs["code"])


class SeriesQuery(SpanQuery):
    """A series as it was known at a time."""

    as_of = OffsetDateTime(required=False, help_text="what was known then; left out, what is known now")


class PriceRow(Interval):
    price_gbp_per_kwh = serializers.FloatField()


class PricesRow(Row):
    """A tariff's prices over a span; half-hours whose price is not known are left out."""

    example = {
        "tariff": "night",
        "results": [
            {"starts_at": "2026-11-22T00:00:00Z", "ends_at": "2026-11-22T00:30:00Z", "price_gbp_per_kwh": 0.092}
        ],
    }

    tariff = serializers.CharField()
    results = PriceRow(many=True)


class Prices(ApiView):
    """A tariff's price in each half-hour of a span of time."""

    actions = {"GET": Action.SEE_TARIFFS}
    queries = {"GET": SeriesQuery}
    answers = {"GET": (200, PricesRow)}

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        tariff = get_object_or_404(tariffs_seen_by(self.viewer.organisation), code=self.kwargs["code"])
        known = load_price_series(tariff=tariff, **_span(self.asked))
        return Response({"tariff": tariff.code, "results": list(_shown(known, self.asked, "price_gbp_per_kwh"))})


class ReadingQuery(SeriesQuery):
    meter = Text(max_length=80, required=False, help_text="code of a meter; this or evse")
    evse = Code(max_length=60, required=False, help_text="id of an EVSE, for its asset meter")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("meter" in attrs) == ("evse" in attrs):
            raise broken_rule("reading.one_meter", "/meter", "Name a meter or an EVSE, and not both.", place="query")
        return super().validate(attrs)


class ReadingRow(Interval):
    energy_kwh = serializers.FloatField(help_text="import positive")


class ReadingsRow(Row):
    """A meter's readings over a span; half-hours that are not known are left out."""

    example = {
        "meter": "cpo-one-0001",
        "results": [{"starts_at": "2026-11-21T18:00:00Z", "ends_at": "2026-11-21T18:30:00Z", "energy_kwh": 3.4}],
    }

    meter = serializers.CharField()
    results = ReadingRow(many=True)


class Readings(ApiView):
    """What one meter read in each half-hour of a span of time.

    Of a meter that changed hands, the days it was the organisation's own.
    """

    actions = {"GET": Action.SEE_READINGS}
    queries = {"GET": ReadingQuery}
    answers = {"GET": (200, ReadingsRow)}

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        meter = self._meter()
        known = load_energy_series(meter_pk=meter.pk, **_span(self.asked))
        return Response({"meter": meter.code, "results": list(_shown(known, self.asked, "energy_kwh"))})

    def _meter(self) -> Meter:
        meters = meters_seen_by(self.viewer.organisation)
        if "meter" in self.asked:
            return get_object_or_404(meters, code=self.asked["meter"])
        evses = evses_seen_by(self.viewer.organisation, at=timezone.now()).filter(pseudonym=self.asked["evse"])
        return get_object_or_404(meters, evse__in=evses.values("pk"))


def _span(asked: dict[str, Any]) -> dict[str, datetime]:
    return {"starts_at": asked["from"], "ends_at": asked["to"], "as_of": asked.get("as_of", timezone.now())}


def _shown(known: HalfHours, asked: dict[str, Any], name: str) -> Iterator[dict[str, Any]]:
    """The half-hours that lie in the span and are known, as plain JSON values."""
    for at, value in zip(known.starts_at.astype("datetime64[s]").tolist(), known.values.tolist(), strict=True):
        starts_at = at.replace(tzinfo=UTC)
        yield {**interval(starts_at, starts_at + HALF_HOUR, asked.get("tz")), name: value}
