"""Control acts: what waits for a second person, what was decided, and deciding."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from aggregator.core.errors import FlexError
from aggregator.core.permissions import Action
from aggregator.models import ControlAct
from aggregator.queries import control_acts_seen_by, events_seen_by
from aggregator.services.control_act_pages import KINDS, act_lines, act_page
from aggregator.services.control_acts import APPROVES, LONGEST_REASON, approve_control_act, refuse_control_act
from aggregator.site.confirm import ConfirmedMixin
from aggregator.site.filters import asked_only, choice_filter
from aggregator.site.paging import page_of
from aggregator.site.views import PageView

ACTS_A_PAGE = 25
NOT_YOURS = "Deciding this act is not part of your role, or you asked for it yourself."


class ControlActs(PageView):
    """``?state=``, ``?kind=``, ``?page=``; what waits stands first."""

    action = Action.SEE_CONTROL_ACTS

    def get(self, request: HttpRequest) -> HttpResponse:
        now = timezone.now()
        acts = control_acts_seen_by(self.viewer.organisation)
        wanted = {
            "state": choice_filter(request, "state", set(ControlAct.State.values)),
            "kind": choice_filter(request, "kind", set(KINDS)),
        }
        page = page_of(request, acts.filter(**asked_only(wanted)), n=ACTS_A_PAGE)
        waiting = acts.filter(state=ControlAct.State.PENDING, expires_at__gt=now)[:ACTS_A_PAGE]
        context = {
            "page": page,
            "rows": act_lines(page.rows, now=now),
            "waiting": act_lines(list(waiting), now=now),
            "wanted": wanted,
            "states": ControlAct.State.choices,
            "kinds": KINDS.items(),
            "is_filtered": any(wanted.values()),
        }
        return self.page("aggregator/control_acts.html", context)


class ControlActPage(PageView):
    """One act: what it moves, why it waits, who may decide."""

    action = Action.SEE_CONTROL_ACTS

    def get(self, request: HttpRequest, control_act: int) -> HttpResponse:  # noqa: ARG002 - Django's signature
        act = act_or_404(self, control_act)
        return self.page("aggregator/control_act.html", act_context(self, act))


class DecideControlAct(ConfirmedMixin):
    """Approve, or refuse with a reason; one's own act can be taken back. Asks for a fresh proof first."""

    action = Action.SEE_CONTROL_ACTS
    http_method_names = ["post"]
    decision = ""

    def post(self, request: HttpRequest, control_act: int) -> HttpResponse:
        act = act_or_404(self, control_act)
        if not (may_decide(self, act) or (self.decision == "refuse" and is_own(self, act))):
            raise PermissionDenied(NOT_YOURS)
        try:
            decided = self._decide(act, request.POST.get("reason", ""))
        except FlexError as error:
            messages.error(request, f"Nothing was decided: {error.message}.")
        else:
            _tell(request, decided)
        return redirect("aggregator:control_act", control_act=control_act)

    def _decide(self, act: ControlAct, reason: str) -> ControlAct:
        organisation, user_pk, now = self.viewer.organisation, self.viewer.user_pk, timezone.now()
        if self.decision == "approve":
            return approve_control_act(act_pk=act.pk, organisation=organisation, user_pk=user_pk, now=now)
        return refuse_control_act(act_pk=act.pk, organisation=organisation, user_pk=user_pk, reason=reason, now=now)


def _tell(request: HttpRequest, act: ControlAct) -> None:
    if act.state == ControlAct.State.FAILED:
        messages.error(request, f"It could not be done: {act.outcome.get('message', 'see the outcome below')}.")
    else:
        messages.info(
            request, "It is done." if act.state == ControlAct.State.DONE else "It was refused; nothing is done."
        )


def act_context(view: PageView, act: ControlAct) -> dict[str, Any]:
    """What the page of one act shows, and which buttons the viewer gets."""
    page = act_page(act, now=timezone.now())
    events = events_seen_by(view.viewer.organisation).filter(subject__startswith=f"control act {act.pk}, ")
    return {
        "act": page,
        "may_decide": page.line.is_waiting and may_decide(view, act),
        "may_take_back": page.line.is_waiting and is_own(view, act),
        "longest_reason": LONGEST_REASON,
        "events": list(events.values("sequence", "at", "actor", "action", "reason")[:20]) if _may_see_log(view) else [],
    }


def _may_see_log(view: PageView) -> bool:
    return view.viewer.may(Action.SEE_LOG)


def may_decide(view: PageView, act: ControlAct) -> bool:
    """Whether the viewer may be the second person of this act."""
    viewer = view.viewer
    is_ours = act.organisation_id == viewer.organisation.pk
    needed = APPROVES.get(act.kind)
    return is_ours and needed is not None and viewer.may(needed) and not is_own(view, act)


def is_own(view: PageView, act: ControlAct) -> bool:
    return view.viewer.user_pk is not None and act.asked_by_id == view.viewer.user_pk


def act_or_404(view: PageView, pk: int) -> ControlAct:
    """The act with this number, if it is the viewer's to see.

    Raises:
        Http404: there is none, or it is another's.
    """
    act = control_acts_seen_by(view.viewer.organisation).filter(pk=pk).first()
    if act is None:
        raise Http404("There is no such control act, or it is not yours to see.")
    return act
