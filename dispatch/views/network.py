"""The DNO's network, node by node."""

from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone

from aggregator.core.permissions import Action
from aggregator.models import NetworkNode
from aggregator.queries import nodes_seen_by
from aggregator.site.filters import text_filter
from aggregator.site.views import PageView
from dispatch.services.network_pages import network_page, node_page


class Network(PageView):
    """The tree, opened at ``?open=`` codes; with ``?q=`` a list of what holds those words, the worst first."""

    action = Action.SEE_NETWORK

    def get(self, request: HttpRequest) -> HttpResponse:
        opened = frozenset(request.GET.getlist("open")) if "open" in request.GET else None
        page = network_page(
            organisation=self.viewer.organisation,
            opened=opened,
            text=text_filter(request, "q"),
            with_readings=self.viewer.may(Action.SEE_READINGS),
            now=timezone.now(),
        )
        is_fragment = request.headers.get("HX-Request") == "true"
        return self.page("dispatch/_tree.html" if is_fragment else "dispatch/network.html", {"page": page})


class Node(PageView):
    """One node; another DNO's is not there."""

    action = Action.SEE_NETWORK

    def get(self, request: HttpRequest, code: str) -> HttpResponse:  # noqa: ARG002 - Django's signature
        node = node_or_404(self, code)
        page = node_page(
            organisation=self.viewer.organisation,
            node=node,
            with_readings=self.viewer.may(Action.SEE_READINGS),
            now=timezone.now(),
        )
        return self.page(
            "dispatch/node.html",
            {
                "page": page,
                "may_change_limits": self.viewer.may(Action.CHANGE_LIMITS),
                "may_request": self.viewer.may(Action.REQUEST_DISPATCH),
            },
        )


def node_or_404(view: PageView, code: str) -> NetworkNode:
    """The node with this code, if it is the viewer's to see.

    Raises:
        Http404: there is none, or it is another's.
    """
    found = nodes_seen_by(view.viewer.organisation).filter(code=code).first()
    if found is None:
        raise Http404("There is no such node, or it is not yours to see.")
    return found
