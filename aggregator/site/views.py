"""The base of every page, and what every page needs: a theme by choice, and a sign that the site still answers."""

from http import HTTPStatus
from typing import Any, ClassVar

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache

from aggregator.core.permissions import Action
from aggregator.site.frame import THEME_COOKIE, THEMES
from aggregator.site.session import safe_next
from aggregator.viewer import Viewer, viewer_of

PUBLIC = "public"  # anybody
VERIFIED = "verified"  # whoever logged in with a second factor, whatever their role, if any
THEME_KEPT_S = 365 * 24 * 3600


@method_decorator(never_cache, name="dispatch")
class PageView(View):
    """A page behind the walls: ``flex.walls`` lets in who may do ``action``, and nobody where it is None."""

    action: ClassVar[Action | str | None] = None
    request: HttpRequest

    @property
    def viewer(self) -> Viewer:
        return viewer_of(self.request)

    def page(self, template: str, context: dict[str, Any], status: int = 200) -> HttpResponse:
        """Render a template in the site's frame (``aggregator.site.frame`` adds what that shows)."""
        return render(self.request, template, context, status=status)


class ChooseTheme(View):
    """Keep a person's choice of light or dark in a cookie; an unknown one returns to what their system says."""

    action = PUBLIC
    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        response = HttpResponseRedirect(safe_next(request))
        theme = request.POST.get("theme", "")
        if theme in THEMES:
            response.set_cookie(
                THEME_COOKIE,
                theme,
                max_age=THEME_KEPT_S,
                secure=settings.SESSION_COOKIE_SECURE,
                httponly=True,
                samesite="Lax",
            )
        else:
            response.delete_cookie(THEME_COOKIE, samesite="Lax")
        return response


@method_decorator(never_cache, name="dispatch")
class Pulse(View):
    """Nothing but an answer: pages ask for it, and say so when none comes (``headroom/pulse.js``)."""

    action = PUBLIC
    http_method_names = ["get"]

    def get(self, request: HttpRequest) -> HttpResponse:  # noqa: ARG002 - Django's signature
        return HttpResponse(status=HTTPStatus.NO_CONTENT)
