"""Statements: the list, one with its half-hours and changes, and the settlement it belongs to."""

from datetime import timedelta

from django.http import Http404, HttpRequest, HttpResponse

from aggregator.core.permissions import Action
from aggregator.models import Organisation
from aggregator.queries import organisations_seen_by
from aggregator.site.filters import choice_filter, day_filter, local_day, text_filter
from aggregator.site.paging import page_of
from aggregator.site.views import PageView
from markets.queries import SEES_EVERY_STATEMENT
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
    """``?q=`` part of a request's reference, ``?dsrsp=``, ``?state=``, ``?from=`` and ``?to=`` days, ``?page=``."""

    action = Action.SEE_STATEMENTS

    def get(self, request: HttpRequest) -> HttpResponse:
        organisation = self.viewer.organisation
        first, last = day_filter(request, "from"), day_filter(request, "to")
        wanted = StatementFilter(
            text=text_filter(request, "q"),
            dsrsp=text_filter(request, "dsrsp"),
            state=choice_filter(request, "state", set(STATES)),
            starts_at=local_day(first)[0] if first else None,
            ends_at=local_day(last + timedelta(days=1))[0] if last else None,
        )
        page = page_of(request, found_statements(organisation=organisation, wanted=wanted), n=ROWS_A_PAGE)
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
        }
        return self.page("markets/statements.html", context)


class StatementPageView(PageView):
    """One statement: totals, half-hours, and what changed since the version it supersedes."""

    action = Action.SEE_STATEMENTS

    def get(self, request: HttpRequest, statement: int) -> HttpResponse:  # noqa: ARG002 - Django's signature
        found = statement_page(statement_pk=statement, organisation=self.viewer.organisation)
        if found is None:
            raise Http404("There is no such statement, or it is not yours to read.")
        return self.page("markets/statement.html", {"statement": found})


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
            "sees_all": self.viewer.organisation.kind in SEES_EVERY_STATEMENT,
        }
        return self.page("markets/settlement.html", context)
