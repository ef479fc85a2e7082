"""A DSRSP's own EVSEs, as a list and as a file."""

from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from aggregator.core.permissions import Action
from aggregator.models import EVSE
from aggregator.queries import csms_seen_by
from aggregator.services.own_fleet_list import FleetFilter, fleet_row, own_evses
from aggregator.site.csv_answer import Cell, csv_answer
from aggregator.site.filters import choice_filter, text_filter
from aggregator.site.paging import page_of
from aggregator.site.views import PageView

CSV_HEADER = (
    "pseudonym",
    "csms",
    "evse_id",
    "node",
    "rated_kw",
    "phases",
    "scenario",
    "meter_id",
    "services",
    "enrolled_from",
    "enrolled_to",
    "last_plug_in_at",
)
ROWS_AT_ONCE = 2_000


class Fleet(PageView):
    """``?q=`` part of an id, ``?node=``, ``?csms=``, ``?scenario=``, ``?page=``."""

    action = Action.SEE_FLEET

    def get(self, request: HttpRequest) -> HttpResponse:
        now = timezone.now()
        organisation = self.viewer.organisation
        wanted = fleet_filter(request)
        page = page_of(request, own_evses(organisation=organisation, at=now, wanted=wanted))
        context: dict[str, Any] = {
            "page": page,
            "rows": [fleet_row(evse, at=now) for evse in page.rows],
            "wanted": wanted,
            "is_filtered": wanted != FleetFilter(),
            "csmses": list(csms_seen_by(organisation).order_by("code").values_list("code", flat=True)),
            "scenarios": EVSE.Scenario.choices,
            "query": request.GET.urlencode(),
            "may_register": self.viewer.may(Action.REGISTER_FLEET),
        }
        return self.page("aggregator/fleet.html", context)


class FleetFile(PageView):
    """The same list with the same filters, whole, as CSV."""

    action = Action.SEE_FLEET

    def get(self, request: HttpRequest) -> HttpResponse:
        now = timezone.now()
        organisation = self.viewer.organisation
        evses = own_evses(organisation=organisation, at=now, wanted=fleet_filter(request))

        def rows() -> Iterator[tuple[Cell, ...]]:
            for evse in evses.iterator(chunk_size=ROWS_AT_ONCE):
                row = fleet_row(evse, at=now)
                yield (
                    *(row.pseudonym, row.csms, row.csms_ref, row.node, row.rated_kw, row.phases, row.scenario),
                    *(row.meter, row.services, row.enrolled_from, row.enrolled_to, row.last_plug_in_at),
                )

        return csv_answer(f"fleet_{organisation.code}_{now:%Y%m%d}.csv", CSV_HEADER, rows())


def fleet_filter(request: HttpRequest) -> FleetFilter:
    return FleetFilter(
        text=text_filter(request, "q"),
        node=text_filter(request, "node"),
        csms=text_filter(request, "csms"),
        scenario=choice_filter(request, "scenario", set(EVSE.Scenario.values)),
    )
