"""Statements: the list, one with its half-hours and changes, and the settlement it belongs to."""

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from aggregator.core.errors import FlexError
from aggregator.core.permissions import Action
from aggregator.models import ControlAct, Organisation
from aggregator.queries import control_acts_seen_by, organisations_seen_by
from aggregator.services.control_acts import LONGEST_REASON, SHORTEST_REASON, thresholds, would_exceed
from aggregator.site.confirm import ConfirmedMixin
from aggregator.site.filters import choice_filter, day_filter, local_day, text_filter
from aggregator.site.paging import page_of
from aggregator.site.views import PageView
from markets.queries import SEES_EVERY_STATEMENT
from markets.services.causes import explained_page
from markets.services.releases import KIND as RELEASE
from markets.services.releases import ReleaseRefused, ask_release_statements, plan_release
from markets.services.settled_findings import gaming_flags, statement_findings
from markets.services.statement_months import (
    Month,
    NotAMonth,
    month_of,
    month_totals,
    shown_months,
    statement_months,
)
from markets.services.statement_pages import (
    SettlementPage,
    StatementFilter,
    found_statements,
    line_up,
    settlement_page,
    statement_page,
)

STATES = ("preliminary", "released", "superseded")
ROWS_A_PAGE = 40


class Statements(PageView):
    """``?month=2026-01``, ``?q=`` part of a reference, ``?dsrsp=``, ``?state=``, days ``?from=`` and ``?to=``.

    A month goes before the days.
    """

    action = Action.SEE_STATEMENTS

    def get(self, request: HttpRequest) -> HttpResponse:
        organisation = self.viewer.organisation
        month = month_filter(request)
        first, last = (None, None) if month else (day_filter(request, "from"), day_filter(request, "to"))
        wanted = StatementFilter(
            text=text_filter(request, "q"),
            dsrsp=text_filter(request, "dsrsp"),
            state=choice_filter(request, "state", set(STATES)),
            starts_at=month.starts_at if month else local_day(first)[0] if first else None,
            ends_at=month.ends_at if month else local_day(last + timedelta(days=1))[0] if last else None,
        )
        found = found_statements(organisation=organisation, wanted=wanted)
        page = page_of(request, found, n=ROWS_A_PAGE)
        dsrsps = organisations_seen_by(organisation).filter(kind=Organisation.Kind.DSRSP).order_by("name")
        context = {
            "page": page,
            "rows": [line_up(statement) for statement in page.rows],
            "wanted": wanted,
            "first": first.isoformat() if first else "",
            "last": last.isoformat() if last else "",
            "states": STATES,
            "dsrsps": list(dsrsps.values_list("code", "name")),
            "is_filtered": wanted != StatementFilter(),
            "months": shown_months(statement_months(organisation=organisation), month),
            "month": month,
            "totals": month_totals(found) if month else None,
        }
        return self.page("markets/statements.html", context)


def month_filter(request: HttpRequest) -> Month | None:
    """The month of the form ``2026-01`` that is asked for.

    Raises:
        Http404: text that is no month.
    """
    asked = text_filter(request, "month")
    if not asked:
        return None
    try:
        return month_of(asked)
    except NotAMonth as error:
        raise Http404(error.message) from error


class StatementPageView(PageView):
    """One statement: totals, half-hours, and what changed since the version it supersedes."""

    action = Action.SEE_STATEMENTS

    def get(self, request: HttpRequest, statement: int) -> HttpResponse:  # noqa: ARG002 - Django's signature
        found = statement_page(statement_pk=statement, organisation=self.viewer.organisation)
        if found is None:
            raise Http404("There is no such statement, or it is not yours to read.")
        context = {
            "statement": found,
            "why": explained_page(found.head.pk),
            "odd": statement_findings(statement_pk=statement, organisation=self.viewer.organisation),
            "gaming": [
                flag
                for flag in gaming_flags(settlements=[found.head.settlement], organisation=self.viewer.organisation)
                if flag.statement == statement
            ],
        }
        return self.page("markets/statement.html", context)


def settlement_or_404(view: PageView, pk: int) -> SettlementPage:
    """The settlement with this number, if the viewer may read a statement of it.

    Raises:
        Http404: there is none, or it is not theirs.
    """
    found = settlement_page(settlement_pk=pk, organisation=view.viewer.organisation)
    if found is None:
        raise Http404("There is no such settlement, or it is not yours to read.")
    return found


class Settlement(PageView):
    """A settlement with the statements the viewer may read."""

    action = Action.SEE_STATEMENTS

    def get(self, request: HttpRequest, settlement: int) -> HttpResponse:  # noqa: ARG002 - Django's signature
        context = {
            "settlement": settlement_or_404(self, settlement),
            "gaming": gaming_flags(settlements=[settlement], organisation=self.viewer.organisation),
            "sees_all": self.viewer.organisation.kind in SEES_EVERY_STATEMENT,
            "may_release": self.viewer.may(Action.RELEASE_STATEMENTS),
            "waiting": self._waiting(settlement),
        }
        return self.page("markets/settlement.html", context)

    def _waiting(self, settlement: int) -> list[int]:
        """Acts that ask to release this settlement and wait."""
        if not self.viewer.may(Action.SEE_CONTROL_ACTS):
            return []
        return waiting_releases(self, settlement)


class ReleaseSettlement(ConfirmedMixin):
    """What a release would make final; with a POST and a reason it is asked for. Asks for a fresh proof first."""

    action = Action.RELEASE_STATEMENTS

    def get(self, request: HttpRequest, settlement: int) -> HttpResponse:  # noqa: ARG002 - Django's signature
        return self._check(settlement)

    def post(self, request: HttpRequest, settlement: int) -> HttpResponse:
        settlement_or_404(self, settlement)
        waiting = waiting_releases(self, settlement)
        if waiting:
            return redirect("aggregator:control_act", control_act=waiting[0])
        reason = request.POST.get("reason", "")
        try:
            act = ask_release_statements(
                organisation=self.viewer.organisation,
                settlement_pk=settlement,
                reason=reason,
                asked_by_pk=self.viewer.user_pk,
                now=timezone.now(),
            )
        except FlexError as error:
            return self._check(settlement, reason=reason, error=error.message)
        if act.state == ControlAct.State.DONE:
            messages.info(request, "The statements are released.")
            return redirect("markets:settlement", settlement=settlement)
        messages.info(request, "It waits for a second person; nothing is final before.")
        return redirect("aggregator:control_act", control_act=act.pk)

    def _check(self, settlement: int, *, reason: str = "", error: str = "") -> HttpResponse:
        context = {
            "settlement": settlement_or_404(self, settlement),
            "reason": reason,
            "error": error,
            "shortest_reason": SHORTEST_REASON,
            "longest_reason": LONGEST_REASON,
            **self._plan(settlement),
        }
        return self.page("markets/release.html", context, status=409 if error else 200)

    def _plan(self, settlement: int) -> dict[str, Any]:
        try:
            plan = plan_release(organisation=self.viewer.organisation, settlement_pk=settlement)
        except ReleaseRefused as error:
            return {"refused": error.message}
        exceeded = would_exceed(
            kind=RELEASE, organisation=self.viewer.organisation, figures=plan.figures, now=timezone.now()
        )
        return {
            "n_statement": plan.figures.n_statements,
            "payment_gbp": plan.payment_gbp,
            "threshold": thresholds().n_statements,
            "needs_second_person": bool(exceeded),
        }


def waiting_releases(view: PageView, settlement: int) -> list[int]:
    """Numbers of the viewer's organisation's acts that ask to release a settlement and wait."""
    organisation = view.viewer.organisation
    acts = control_acts_seen_by(organisation).filter(
        kind=RELEASE, state=ControlAct.State.PENDING, expires_at__gt=timezone.now(), payload__settlement=settlement
    )
    return list(acts.values_list("pk", flat=True))
