"""What the pages on people and on API clients share: whose they are about."""

from typing import Any

from django.http import Http404, HttpRequest

from aggregator.models import Organisation
from aggregator.queries import organisations_seen_by
from aggregator.services.people import may_manage
from aggregator.site.confirm import ConfirmedMixin


class ManagingPage(ConfirmedMixin):
    """``organisation`` in the form or address names another than the viewer's own; for the platform only."""

    def organisation(self, request: HttpRequest) -> Organisation:
        """Whose people or clients these are.

        Raises:
            Http404: there is none such, or the viewer does not manage it.
        """
        own = self.viewer.organisation
        code = request.POST.get("organisation") or request.GET.get("organisation") or own.code
        found = next((one for one in self._managed() if one.code == code), None)
        if found is None:
            raise Http404("There is no such organisation, or you do not manage it.")
        return found

    def about(self, organisation: Organisation) -> dict[str, Any]:
        """What the choice of organisation shows."""
        return {
            "organisation": {"code": organisation.code, "name": organisation.name},
            "choices": [(one.code, one.name) for one in self._managed()],
        }

    def _managed(self) -> list[Organisation]:
        own = self.viewer.organisation
        return [one for one in organisations_seen_by(own).order_by("code") if may_manage(own, one)]
