"""One EVSE, for its own DSRSP."""

from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone

from aggregator.core.permissions import Action
from aggregator.site.views import PageView
from dispatch.services.evse_pages import evse_page


class Evse(PageView):
    """Registry, identity, enrolments, setpoints and sessions; it stands here because setpoints do."""

    action = Action.SEE_FLEET

    def get(self, request: HttpRequest, evse: str) -> HttpResponse:  # noqa: ARG002 - Django's signature
        page = evse_page(
            organisation=self.viewer.organisation,
            pseudonym=evse,
            with_readings=self.viewer.may(Action.SEE_READINGS),
            now=timezone.now(),
        )
        if page is None:
            raise Http404("There is no such EVSE, or it is not yours to see.")
        context = {
            "page": page,
            "may_see_runs": self.viewer.may(Action.SEE_RUNS),
            "may_see_setpoints": self.viewer.may(Action.SEE_SETPOINTS),
        }
        return self.page("dispatch/evse.html", context)
