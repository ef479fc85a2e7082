"""Locking a session, and coming back to it."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters

from aggregator.core.errors import FlexError
from aggregator.site.proof import prove_again
from aggregator.site.session import is_locked, lock, safe_next, unlock, verified_person
from aggregator.site.views import PUBLIC, VERIFIED, PageView


class Lock(PageView):
    """Lock by hand, on leaving the desk."""

    action = VERIFIED

    def post(self, request: HttpRequest) -> HttpResponse:
        lock(request)
        return redirect("unlock")


@method_decorator(sensitive_post_parameters("password", "code"), name="dispatch")
class Unlock(PageView):
    """Password or code, then back to where the lock came in between."""

    action = PUBLIC  # the walls let nobody else through while it is locked; who is not logged in is sent away here

    def get(self, request: HttpRequest) -> HttpResponse:
        if verified_person(request) is None:
            return redirect("login")
        if not is_locked(request, now=timezone.now()):
            return redirect(safe_next(request))
        return self.page("people/unlock.html", {"next": safe_next(request)})

    def post(self, request: HttpRequest) -> HttpResponse:
        now = timezone.now()
        user = verified_person(request)
        if user is None:
            return redirect("login")
        try:
            prove_again(request, user=user, now=now)
        except FlexError as error:
            context = {"next": safe_next(request), "error": error.message}
            return self.page("people/unlock.html", context, status=400)
        unlock(request, now=now)
        return redirect(safe_next(request))
