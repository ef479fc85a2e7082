"""The pages: who asks, one service call, one template."""

from http import HTTPStatus

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache

from aggregator.core.permissions import Action
from aggregator.models import as_platform
from aggregator.site.views import PUBLIC, PageView
from markets.services.control_tiles import control_tiles
from markets.services.health import SystemHealth, system_health
from markets.services.overview import describe_cycle


class Overview(PageView):
    """The last cycle, or the one named by ``?cycle=``, at the node named by ``?node=``, and what is under control."""

    action = Action.SEE_OVERVIEW

    def get(self, request: HttpRequest) -> HttpResponse:
        asked = request.GET.get("cycle", "")
        page = describe_cycle(
            organisation=self.viewer.organisation,
            cycle_pk=_cycle_pk(asked) if asked else None,
            node_code=request.GET.get("node", ""),
        )
        if page is None and asked:
            raise Http404("There is no such cycle, or it is not yours to see.")
        control = control_tiles(
            organisation=self.viewer.organisation,
            with_acts=self.viewer.may(Action.SEE_CONTROL_ACTS),
            now=timezone.now(),
        )
        context = {
            "page": page,
            "asked_cycle": asked,
            "control": control,
            "may_see_network": self.viewer.may(Action.SEE_NETWORK),
            "may_see_runs": self.viewer.may(Action.SEE_RUNS),
        }
        return self.page("markets/overview.html", context)


def _cycle_pk(asked: str) -> int:
    if not (asked.isascii() and asked.isdigit() and len(asked) <= 15):
        raise Http404("A cycle is named by its number.")
    return int(asked)


@method_decorator(never_cache, name="dispatch")
class Health(View):
    """State of the whole for a monitor: 200 when well, 503 when not; says nothing a stranger could use."""

    action = PUBLIC

    def get(self, request: HttpRequest) -> JsonResponse:  # noqa: ARG002 - Django's signature
        with as_platform():  # it says nothing of any tenant
            found = system_health(now=timezone.now())
        status = HTTPStatus.OK if found.is_well else HTTPStatus.SERVICE_UNAVAILABLE
        return JsonResponse(_as_json(found), status=status)


def _as_json(found: SystemHealth) -> dict[str, object]:
    cycle = found.last_cycle
    return {
        "status": "well" if found.is_well else "unwell",
        "database": "well" if found.is_database_well else "unwell",
        "jobs": "well" if found.are_jobs_well else "unwell",
        "last_cycle": cycle
        and {
            "charging_day": cycle.charging_day.isoformat(),
            "state": cycle.state,
            "finished_at": cycle.finished_at and cycle.finished_at.isoformat(),
        },
    }
