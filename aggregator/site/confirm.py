"""Confirming who one is before a control act: fresh for ``settings.CONFIRMED_FOR_S``."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters

from aggregator.core.errors import FlexError
from aggregator.site.proof import prove_again
from aggregator.site.session import confirm_now, confirmed_at, person, safe_next, way_back
from aggregator.site.views import VERIFIED, PageView


def is_fresh(proved_at: datetime | None, *, now: datetime) -> bool:
    return proved_at is not None and timedelta(0) <= now - proved_at <= timedelta(seconds=settings.CONFIRMED_FOR_S)


class ConfirmedMixin(PageView):
    """A page for people who have just proved who they are; anybody else proves it first and comes back.

    ``confirmed_methods`` narrows it where looking is free and only acting is not.
    """

    confirmed_methods: tuple[str, ...] = ("GET", "HEAD", "POST")

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method in self.confirmed_methods and not is_fresh(confirmed_at(request), now=timezone.now()):
            leads_to = way_back(request, can_get=hasattr(self, "get"))
            return redirect_to_login(leads_to, login_url="confirm")
        return super().dispatch(request, *args, **kwargs)


@method_decorator(sensitive_post_parameters("password", "code"), name="dispatch")
class Confirm(PageView):
    """Password or code, then back to what was to be done."""

    action = VERIFIED

    def get(self, request: HttpRequest) -> HttpResponse:
        return self.page("people/confirm.html", {"next": safe_next(request)})

    def post(self, request: HttpRequest) -> HttpResponse:
        now = timezone.now()
        try:
            prove_again(request, user=person(request), now=now)
        except FlexError as error:
            context = {"next": safe_next(request), "error": error.message}
            return self.page("people/confirm.html", context, status=400)
        confirm_now(request, now=now)
        return redirect(safe_next(request))
