"""Requests for dispatch: the list, and one with what came of it."""

from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone

from aggregator.core.permissions import Action
from aggregator.models import ControlAct
from aggregator.queries import control_acts_seen_by
from aggregator.services.control_act_pages import ActLine, act_lines
from aggregator.site.filters import asked_only, day_filter, local_day, text_filter
from aggregator.site.paging import page_of
from aggregator.site.views import PageView
from dispatch.queries import targets_seen_by
from markets.services.request_pages import request_lines, request_page
from markets.services.settled_findings import gaming_flags

ROWS_A_PAGE = 25
KIND = "request_dispatch"


class Requests(PageView):
    """``?q=`` part of a reference, ``?node=``, ``?day=`` of the window, ``?page=``; the latest window first."""

    action = Action.SEE_REQUESTS

    def get(self, request: HttpRequest) -> HttpResponse:
        now, organisation = timezone.now(), self.viewer.organisation
        text, node, day = text_filter(request, "q"), text_filter(request, "node"), day_filter(request)
        found = targets_seen_by(organisation).filter(**asked_only({"reference__icontains": text, "node__code": node}))
        if day:
            starts_at, ends_at = local_day(day)
            found = found.filter(starts_at__lt=ends_at, ends_at__gt=starts_at)
        page = page_of(request, found.order_by("-starts_at", "-pk"), n=ROWS_A_PAGE)
        context = {
            "page": page,
            "rows": request_lines(signals=page.rows, organisation=organisation, now=now),
            "waiting": self._waiting(),
            "text": text,
            "node": node,
            "day": day.isoformat() if day else "",
            "may_request": self.viewer.may(Action.REQUEST_DISPATCH),
        }
        return self.page("markets/requests.html", context)

    def _waiting(self) -> list[ActLine]:
        if not self.viewer.may(Action.SEE_CONTROL_ACTS):
            return []
        now = timezone.now()
        acts = control_acts_seen_by(self.viewer.organisation)
        return act_lines(list(acts.filter(kind=KIND, state=ControlAct.State.PENDING, expires_at__gt=now)), now=now)


class RequestPageView(PageView):
    """One request: what was asked, which runs plan for it, what was settled."""

    action = Action.SEE_REQUESTS

    def get(self, request: HttpRequest, reference: str) -> HttpResponse:  # noqa: ARG002 - Django's signature
        now, organisation = timezone.now(), self.viewer.organisation
        may_see_statements = self.viewer.may(Action.SEE_STATEMENTS)
        found = request_page(
            reference=reference, organisation=organisation, with_statements=may_see_statements, now=now
        )
        if found is None:
            raise Http404("There is no such request, or it is not yours to see.")
        standing = {one.settlement for one in found.statements if one.state != "superseded"}
        context = {
            "request_page": found,
            "act": self._act(reference),
            "gaming": gaming_flags(settlements=standing, organisation=organisation),
        }
        return self.page("markets/request.html", context)

    def _act(self, reference: str) -> dict[str, object] | None:
        if not self.viewer.may(Action.SEE_CONTROL_ACTS):
            return None
        acts = control_acts_seen_by(self.viewer.organisation).filter(kind=KIND, payload__reference=reference)
        for act in acts[:1]:
            return {"pk": act.pk, "state_label": act.get_state_display(), "reason": act.reason}
        return None
