"""The baseline laboratory: what each method would have said of days on which nothing was asked."""

from datetime import time
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from aggregator.core.errors import FlexError
from aggregator.core.permissions import Action
from aggregator.models import Organisation
from aggregator.site.filters import choice_filter, day_filter, text_filter
from aggregator.site.views import PageView
from markets.core.baseline_lab import LabResult
from markets.core.lab_chart import draw_lab
from markets.services.baseline_lab import MOST_DAYS, LabAsked, days_to_show, lab_lines, run_baseline_lab
from markets.services.settled_findings import called_events

CLOCK = tuple(f"{half // 2:02}:{half % 2 * 30:02}" for half in range(48))
LENGTHS = tuple(str(n) for n in range(1, 17))
FROM, LENGTH = "17:00", "4"
SQUEEZES = ("asset-capacity",)


class BaselineLab(PageView):
    """``?from=`` and ``?to=`` days, ``?starts=`` London time, ``?n_period=``, ``?node=``; without days only a form."""

    action = Action.SEE_READINGS

    def get(self, request: HttpRequest) -> HttpResponse:
        now, organisation = timezone.now(), self.viewer.organisation
        asked_from, asked_to = day_filter(request, "from"), day_filter(request, "to")
        first, last = days_to_show(organisation=organisation, now=now, first=asked_from, last=asked_to)
        starts = choice_filter(request, "starts", set(CLOCK)) or FROM
        n_period = choice_filter(request, "n_period", set(LENGTHS)) or LENGTH
        node = text_filter(request, "node")
        context: dict[str, Any] = {
            "first": first.isoformat(),
            "last": last.isoformat(),
            "starts": starts,
            "n_period": n_period,
            "node": node,
            "clock": CLOCK,
            "lengths": [(length, f"{int(length) / 2:g} h") for length in LENGTHS],
            "most_days": MOST_DAYS,
            "may_choose_node": organisation.kind == Organisation.Kind.DSRSP,
        }
        if asked_from is None:
            return self.page("markets/baseline_lab.html", context)
        try:
            asked = LabAsked(first, last, starts=time.fromisoformat(starts), n_period=int(n_period), node=node)
            context["called"] = called_events(organisation=organisation, first=asked.first, last=asked.last)
            result = run_baseline_lab(organisation=organisation, asked=asked, as_of=now)
        except FlexError as error:
            return self.page("markets/baseline_lab.html", {**context, "error": error.message}, status=422)
        return self.page("markets/baseline_lab.html", {**context, **shown(result)})


def shown(result: LabResult) -> dict[str, Any]:
    """A result as the page draws it."""
    by_level = {level: [score for score in result.scores if score.level == level] for level in ("fleet", "evse")}
    zero = result.zero_days
    return {
        "result": result,
        "metered_kw": by_level["fleet"][0].metered_kw,
        "lines": lab_lines(result),
        "charts": [
            ("fleet", "The fleet as one sum", draw_lab(by_level["fleet"], left_out=SQUEEZES)),
            ("evse", "EVSEs one by one", draw_lab(by_level["evse"], left_out=SQUEEZES)),
        ],
        "zero_bins": [
            (f"{10 * index} to {10 * (index + 1)} %", int(n)) for index, n in enumerate(zero.n_evse_by_share.tolist())
        ],
        "percent": {
            "mean": 100 * zero.mean_share,
            "median": 100 * zero.median_share,
            "mostly": 100 * zero.mostly_zero_share,
            "metered": 100 * zero.metered_zero_share,
        },
    }
