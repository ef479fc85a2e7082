"""The base of every page: it names the action it needs, and shows what the frame needs."""

from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache

from aggregator.core.permissions import Action
from aggregator.viewer import Viewer, viewer_of

PUBLIC = "public"


@method_decorator(never_cache, name="dispatch")
class PageView(View):
    """A page behind the walls: ``flex.walls`` lets in who may do ``action``, and nobody where it is None."""

    action: ClassVar[Action | str | None] = None
    request: HttpRequest

    @property
    def viewer(self) -> Viewer:
        return viewer_of(self.request)

    def page(self, template: str, context: dict[str, Any], status: int = 200) -> HttpResponse:
        """Render a template in the site's frame."""
        return render(self.request, template, context, status=status)
