"""The ledger of a settlement, and the rules it goes by."""

from collections.abc import Sequence

from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone

from aggregator.core.permissions import Action
from aggregator.site.filters import text_filter
from aggregator.site.paging import page_of
from aggregator.site.views import PageView
from markets.services.displaced_volumes import displaced_volumes
from markets.services.ledger_pages import RuleLine, ledger_page, primacy_lines, stacking_lines

ROWS_A_PAGE = 25


class Ledger(PageView):
    """Who was paid for which energy of a settlement, what was displaced and why."""

    action = Action.SEE_STATEMENTS

    def get(self, request: HttpRequest, settlement: int) -> HttpResponse:  # noqa: ARG002 - Django's signature
        found = ledger_page(settlement_pk=settlement, organisation=self.viewer.organisation)
        if found is None:
            raise Http404("There is no such settlement, or it is not yours to read.")
        volumes = displaced_volumes(lines=found.lines, settlement_pk=settlement, organisation=self.viewer.organisation)
        return self.page("markets/ledger.html", {"ledger": found, "volumes": volumes})


class Rules(PageView):
    """Primacy and stacking rules, every version: ``?q=`` part of a rule's or a service's name, ``?page=``."""

    action = Action.SEE_STATEMENTS

    def get(self, request: HttpRequest) -> HttpResponse:
        now, organisation, text = timezone.now(), self.viewer.organisation, text_filter(request, "q")
        primacy = _matching(primacy_lines(organisation=organisation, now=now), text)
        page = page_of(request, primacy, n=ROWS_A_PAGE)
        context = {
            "page": page,
            "primacy": page.rows,
            "stacking": _matching(stacking_lines(organisation=organisation, now=now), text),
            "text": text,
        }
        return self.page("markets/rules.html", context)


def _matching(lines: Sequence[RuleLine], text: str) -> list[RuleLine]:
    wanted = text.casefold()
    return [line for line in lines if wanted in f"{line.name} {line.first} {line.second}".casefold()]
