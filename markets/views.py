"""The pages: who asks, one service call, one template."""

from http import HTTPStatus

from django.contrib.auth.mixins import LoginRequiredMixin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache

from aggregator.core.display import stamp
from aggregator.models import Membership
from aggregator.queries import memberships_of
from markets.services.health import SystemHealth, system_health
from markets.services.overview import describe_cycle

NO_MEMBERSHIP = "You are logged in, but act for no organisation yet. Ask your administrator for a membership."
NOT_A_MEMBER = "You don't act for the organisation you asked for."


@method_decorator(never_cache, name="dispatch")
class Overview(LoginRequiredMixin, View):
    """The last cycle, or the one named by ``?cycle=``, at the node named by ``?node=``."""

    def get(self, request: HttpRequest) -> HttpResponse:
        memberships = list(memberships_of(request.user))
        chosen = _chosen(memberships, request.GET.get("as", ""))
        asked = request.GET.get("cycle", "")
        page = describe_cycle(
            organisation=chosen.organisation,
            cycle_pk=_cycle_pk(asked) if asked else None,
            node_code=request.GET.get("node", ""),
        )
        if page is None and asked:
            raise Http404("There is no such cycle, or it is not yours to see.")
        context = {
            "page": page,
            "asked_cycle": asked,
            "viewer": {
                "person": request.user.get_username(),
                "organisation": chosen.organisation.name,
                "code": chosen.organisation.code,
                "role": chosen.get_role_display(),
                "others": [m.organisation.code for m in memberships if m != chosen],
            },
            "shown_at": stamp(timezone.now()),
        }
        return render(request, "markets/overview.html", context)


def _chosen(memberships: list[Membership], asked: str) -> Membership:
    if not memberships:
        raise PermissionDenied(NO_MEMBERSHIP)
    found = [one for one in memberships if asked in ("", one.organisation.code)]
    if not found:
        raise PermissionDenied(NOT_A_MEMBER)
    return found[0]


def _cycle_pk(asked: str) -> int:
    if not (asked.isascii() and asked.isdigit() and len(asked) <= 15):
        raise Http404("A cycle is named by its number.")
    return int(asked)


@method_decorator(never_cache, name="dispatch")
class Health(View):
    """State of the whole for a monitor: 200 when well, 503 when not; says nothing a stranger could use."""

    def get(self, request: HttpRequest) -> JsonResponse:  # noqa: ARG002 - Django's signature
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
