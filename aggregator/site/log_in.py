"""Log-in: the password, then a code; and log-out."""

from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth import login, logout
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from django_otp import login as verify
from django_otp.models import Device
from django_otp.plugins.otp_totp.models import default_key

from aggregator.core.errors import FlexError
from aggregator.services.person_events import record_of_person
from aggregator.services.second_factor import AlreadySetUp, second_factor_of, set_up_authenticator
from aggregator.site.authenticator import authenticator_setup
from aggregator.site.proof import prove_by_code
from aggregator.site.session import (
    PENDING,
    begin_log_in,
    confirm_now,
    keep_secret,
    note_presence,
    pending_log_in,
    safe_next,
    verified_person,
)
from aggregator.site.views import PUBLIC, PageView

PASSWORD_BACKEND = "django.contrib.auth.backends.ModelBackend"  # noqa: S105 - a name


@method_decorator(sensitive_post_parameters("password"), name="dispatch")
class LogIn(PageView):
    """User name and password; what was wrong about them is not said."""

    action = PUBLIC

    def get(self, request: HttpRequest) -> HttpResponse:
        context = {"form": AuthenticationForm(request), "next": safe_next(request)}
        return self.page("registration/login.html", context)

    def post(self, request: HttpRequest) -> HttpResponse:
        form = AuthenticationForm(request, request.POST)
        leads_to = safe_next(request)
        if not form.is_valid():
            return self.page("registration/login.html", {"form": form, "next": leads_to})
        begin_log_in(request, form.get_user(), leads_to=leads_to, now=timezone.now())
        return redirect("second_factor")


@method_decorator(sensitive_post_parameters("code"), name="dispatch")
class SecondFactor(PageView):
    """A code of the authenticator, or a recovery code; who has neither yet is led to set them up."""

    action = PUBLIC

    def get(self, request: HttpRequest) -> HttpResponse:
        pending = pending_log_in(request, now=timezone.now())
        if pending is None:
            return redirect("login")
        if not second_factor_of(user=pending.user).has_authenticator:
            return redirect("second_factor_setup")
        return self.page("people/second_factor.html", {})

    def post(self, request: HttpRequest) -> HttpResponse:
        now = timezone.now()
        pending = pending_log_in(request, now=now)
        if pending is None:
            return redirect("login")
        try:
            device = prove_by_code(request, user=pending.user, code=request.POST.get("code", ""), now=now)
        except FlexError as error:
            return self.page("people/second_factor.html", {"error": error.message}, status=400)
        complete_log_in(request, pending.user, device, now=now)
        return redirect(pending.next)


@method_decorator(sensitive_post_parameters("code"), name="dispatch")
class SetUpSecondFactor(PageView):
    """The first authenticator of a person whose password was right, confirmed by a code of it."""

    action = PUBLIC

    def get(self, request: HttpRequest) -> HttpResponse:
        pending = pending_log_in(request, now=timezone.now())
        if pending is None or second_factor_of(user=pending.user).has_authenticator:
            return redirect("second_factor")
        secret = pending.secret or default_key()
        keep_secret(request, secret)
        return self.page("people/set_up.html", authenticator_setup(pending.user, secret))

    def post(self, request: HttpRequest) -> HttpResponse:
        now = timezone.now()
        pending = pending_log_in(request, now=now)
        if pending is None or not pending.secret:
            return redirect("second_factor")
        try:
            device, codes = set_up_authenticator(
                user=pending.user, secret=pending.secret, code=request.POST.get("code", ""), now=now
            )
        except AlreadySetUp:
            return redirect("second_factor")
        except FlexError as error:
            context = authenticator_setup(pending.user, pending.secret) | {"error": error.message}
            return self.page("people/set_up.html", context, status=400)
        complete_log_in(request, pending.user, device, now=now)
        return self.page("people/recovery_codes.html", {"codes": codes, "next": pending.next})


class LogOut(PageView):
    action = PUBLIC

    def post(self, request: HttpRequest) -> HttpResponse:
        user = verified_person(request)
        logout(request)
        if user:
            record_of_person(action="log_in.ended", user=user, at=timezone.now())
        return redirect(settings.LOGOUT_REDIRECT_URL)


def complete_log_in(request: HttpRequest, user: User, device: Device, *, now: datetime) -> None:
    """Both factors were right: from here on the session is the person's, under a new key, for half a day at most."""
    del request.session[PENDING]
    login(request, user, backend=PASSWORD_BACKEND)
    verify(request, device)
    confirm_now(request, now=now)
    request.session.set_expiry(now + timedelta(seconds=settings.SESSION_COOKIE_AGE))
    note_presence(request, now=now)
    record_of_person(action="log_in.succeeded", user=user, at=now, after={"with": device.name})
