"""The baseline laboratory: every method on days of the viewer's fleet on which nothing was asked."""

from datetime import time
from math import isfinite
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from aggregator.core.permissions import Action
from aggregator.rest.fields import Choice, Code, Day, Whole
from aggregator.rest.serializers import Query, Row
from aggregator.rest.views import ApiView
from markets.core.baseline_lab import FlagRate, LabResult, MethodScore
from markets.core.baseline_methods import METHODS
from markets.services.baseline_lab import MOST_DAYS, MOST_PERIODS, LabAsked, days_to_show, run_baseline_lab

CLOCK = tuple(f"{half // 2:02}:{half % 2 * 30:02}" for half in range(48))
LEVEL_HELP = "fleet: baseline of the fleet's sum; evse: baselines of single EVSEs"


def said(value: float | None) -> float | None:
    """A figure with four decimals; None for what is none."""
    return None if value is None or not isfinite(value) else round(value, 4)


class Figure(serializers.FloatField):
    """A figure with four decimals, null where there is none."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_null=True, **kwargs)

    def get_attribute(self, instance: Any) -> float | None:
        return said(super().get_attribute(instance))


class MethodScoreRow(Row):
    """One method against what was metered; powers are means of a half-hour per EVSE."""

    example = {
        "method": "bl01",
        "title": "BL01, most recent days",
        "level": "fleet",
        "n_compared": 56,
        "n_without": 0,
        "metered_kw": 0.51,
        "bias_kw": 0.012,
        "rmse_kw": 0.17,
        "low_kw": -0.21,
        "high_kw": 0.25,
        "bias_share": 0.0235,
        "rmse_share": 0.3333,
    }

    method = serializers.CharField()
    title = serializers.SerializerMethodField(help_text="the method's name for people")
    level = serializers.ChoiceField(choices=("fleet", "evse"), help_text=LEVEL_HELP)
    n_compared = serializers.IntegerField(help_text="half-hours with a baseline and a reading")
    n_without = serializers.IntegerField(help_text="half-hours read that have no baseline")
    metered_kw = Figure()
    bias_kw = Figure(help_text="mean of baseline minus metered")
    rmse_kw = Figure(help_text="root of its mean square")
    low_kw = Figure(help_text="a tenth of the differences lie below")
    high_kw = Figure(help_text="a tenth of the differences lie above")
    bias_share = Figure(help_text="bias as a share of what was metered; null where that was nothing")
    rmse_share = Figure()

    @extend_schema_field(serializers.CharField())
    def get_title(self, score: MethodScore) -> str:
        return METHODS[score.method].label


class ZeroDaysRow(Row):
    """How many of an EVSE's like days have no energy in the window at all."""

    example = {
        "mean_share": 0.81,
        "low_share": 0.62,
        "median_share": 0.85,
        "high_share": 1.0,
        "mostly_zero_share": 0.88,
        "metered_zero_share": 0.82,
    }

    mean_share = Figure(help_text="of all EVSEs, days tested and like days")
    low_share = Figure(help_text="a tenth of the EVSEs lie below")
    median_share = Figure(help_text="half of the EVSEs lie below")
    high_share = Figure(help_text="a tenth of the EVSEs lie above")
    mostly_zero_share = Figure(help_text="baselines of one EVSE that stand on more zero days than others")
    metered_zero_share = Figure(help_text="days tested on which an EVSE drew nothing in the window")


class FlagRateRow(Row):
    """Flags of the gaming test on days without an event: false alarms, every one."""

    example = {"level": "fleet", "alpha": 0.01, "n_tested": 14, "n_flagged": 0, "rate": 0.0}

    level = serializers.ChoiceField(choices=("fleet", "evse"), help_text=LEVEL_HELP)
    alpha = serializers.FloatField(help_text="rate of false alarms wanted")
    n_tested = serializers.IntegerField()
    n_flagged = serializers.IntegerField()
    rate = serializers.SerializerMethodField(help_text="null where nothing could be tested")

    @extend_schema_field(serializers.FloatField(allow_null=True))
    def get_rate(self, flags: FlagRate) -> float | None:
        return said(flags.rate)


class BaselineLabRow(Row):
    """Every method on the days asked for that had no event."""

    example = {
        "days": ["2026-01-13", "2026-01-14"],
        "n_evse": 120,
        "n_evse_tested": 120,
        "scores": [MethodScoreRow.example],
        "zero_days": ZeroDaysRow.example,
        "false_flags": [FlagRateRow.example],
    }

    days = serializers.ListField(child=Day())
    n_evse = serializers.IntegerField(help_text="in the fleet")
    n_evse_tested = serializers.IntegerField(help_text="of which baselined one by one")
    scores = MethodScoreRow(many=True)
    zero_days = ZeroDaysRow()
    false_flags = FlagRateRow(many=True, source="flags")


class BaselineLabQuery(Query):
    node = Code(required=False, help_text="only EVSEs at and below it; a DNO tests on its whole network")
    starts = Choice(choices=CLOCK, default="17:00", help_text="London time at which the window starts")
    n_period = Whole(min_value=1, max_value=MOST_PERIODS, default=4, help_text="half-hours; it ends by midnight")

    def get_fields(self) -> dict[str, Any]:
        found: dict[str, Any] = super().get_fields()
        found["from"] = Day(required=False, help_text="first day; two weeks before the last reading if not given")
        found["to"] = Day(
            required=False, help_text=f"last day, {MOST_DAYS} days at most; the last reading's if not given"
        )
        return found


class BaselineLab(ApiView):
    """The baseline laboratory of the viewer's fleet."""

    actions = {"GET": Action.SEE_READINGS}
    queries = {"GET": BaselineLabQuery}
    answers = {"GET": (200, BaselineLabRow)}

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Compare every baseline method with what was metered.

        On a day without an event the right baseline is what was metered. Nothing is stored.
        """
        now, organisation = timezone.now(), self.viewer.organisation
        first, last = days_to_show(
            organisation=organisation, now=now, first=self.asked.get("from"), last=self.asked.get("to")
        )
        asked = LabAsked(
            first=first,
            last=last,
            starts=time.fromisoformat(self.asked["starts"]),
            n_period=self.asked["n_period"],
            node=self.asked.get("node", ""),
        )
        result: LabResult = run_baseline_lab(organisation=organisation, asked=asked, as_of=now)
        return Response(BaselineLabRow.show(result))
