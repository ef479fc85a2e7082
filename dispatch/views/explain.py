"""Why an EVSE was told what it was told in a run."""

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse

from aggregator.core.display import span_text
from aggregator.core.permissions import Action
from aggregator.core.timegrid import LONDON
from aggregator.site.views import PageView
from dispatch.core.explain import Reason
from dispatch.core.explanation import ExplainedPeriod
from dispatch.services.explain import explain_setpoint
from dispatch.views.runs import run_or_404

AWAY = frozenset({Reason.NOT_PLUGGED_IN.value})
NOTHING_SAID = "no_limit_binds"


class ExplainSetpoint(PageView):
    """A row a period; periods in which nothing is plugged in come together while the ceiling stays the same."""

    action = Action.SEE_SETPOINTS

    def get(self, request: HttpRequest, run: int, evse: str) -> HttpResponse:  # noqa: ARG002 - Django's signature
        found_run = run_or_404(self, run)
        found = explain_setpoint(run=found_run, pseudonym=evse, organisation=self.viewer.organisation)
        if found is None:
            raise Http404("This run set nothing for such an EVSE, or it is not yours to see.")
        context = {
            "found": found,
            "day": span_text(found.grid.starts_at, found.grid.ends_at),
            "is_short": found.unserved is not None and found.unserved.verdict == "limits",
            "lines": _lines(found.periods),
            "with_told": any(one.told_kw is not None for one in found.periods),
            "may_see_fleet": self.viewer.may(Action.SEE_FLEET),
            "may_see_network": self.viewer.may(Action.SEE_NETWORK),
        }
        return self.page("dispatch/explanation.html", context)


def _lines(periods: Sequence[ExplainedPeriod]) -> list[dict[str, Any]]:
    """Rows of the table: each period, or several away under one ceiling."""
    found = []
    for key, together in groupby(enumerate(periods), key=lambda indexed: _together(*indexed)):
        rows = [one for _, one in together]
        found.append(
            {
                "when": f"{_clock(rows[0].starts_at)} to {rows[-1].ends_at.astimezone(LONDON):%H:%M %Z}",
                "utc": f"{rows[0].starts_at:%Y-%m-%d %H:%MZ} to {rows[-1].ends_at:%H:%MZ}",
                "is_away": key[0] == -1,
                "is_quiet": key[0] == -1 or rows[0].reason == NOTHING_SAID,
                "one": rows[0],
            }
        )
    return found


def _together(index: int, one: ExplainedPeriod) -> tuple[object, ...]:
    return (-1, one.setpoint_kw, one.told_kw, one.note) if one.reason in AWAY else (index,)


def _clock(at: datetime) -> str:
    return f"{at.astimezone(LONDON):%a %H:%M}"
