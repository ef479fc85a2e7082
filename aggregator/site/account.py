"""A person's own things: for whom they act, their authenticator, their recovery codes."""

from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.forms import PasswordChangeForm
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from django_otp import login as verify
from django_otp.plugins.otp_totp.models import default_key

from aggregator.core.errors import FlexError
from aggregator.queries import memberships_of
from aggregator.services.person_events import record_of_person
from aggregator.services.second_factor import renew_recovery_codes, second_factor_of, set_up_authenticator
from aggregator.site.authenticator import authenticator_setup
from aggregator.site.confirm import ConfirmedMixin
from aggregator.site.session import person, safe_next
from aggregator.site.views import VERIFIED, PageView
from aggregator.viewer import ACTS_FOR

NEW_SECRET = "new_secret"  # noqa: S105 - session key of an authenticator's secret while it is being replaced
NOT_A_MEMBER = "You don't act for the organisation you asked for."


class ActAs(PageView):
    """Choose the organisation to act for, of those one is a member of."""

    action = VERIFIED

    def post(self, request: HttpRequest) -> HttpResponse:
        code = request.POST.get("code", "")
        if code not in {membership.organisation.code for membership in memberships_of(person(request))}:
            raise PermissionDenied(NOT_A_MEMBER)
        request.session[ACTS_FOR] = code
        return redirect(safe_next(request))


class Account(PageView):
    """What one has to log in with, and in which roles."""

    action = VERIFIED

    def get(self, request: HttpRequest) -> HttpResponse:
        context = {
            "factor": second_factor_of(user=person(request)),
            "memberships": [
                {"organisation": one.organisation.name, "role": one.get_role_display()}
                for one in memberships_of(person(request))
            ],
        }
        return self.page("people/account.html", context)


class NewRecoveryCodes(ConfirmedMixin):
    """Ten new recovery codes; those before are void."""

    action = VERIFIED

    def get(self, _request: HttpRequest) -> HttpResponse:
        return self.page("people/new_recovery_codes.html", {})

    def post(self, request: HttpRequest) -> HttpResponse:
        codes = renew_recovery_codes(user=person(request), now=timezone.now())
        return self.page("people/recovery_codes.html", {"codes": codes, "next": safe_next(request)})


@method_decorator(sensitive_post_parameters("code"), name="dispatch")
class NewAuthenticator(ConfirmedMixin):
    """Another authenticator in place of the present one, as for a new phone."""

    action = VERIFIED

    def get(self, request: HttpRequest) -> HttpResponse:
        secret = request.session.setdefault(NEW_SECRET, default_key())
        return self.page("people/set_up.html", authenticator_setup(person(request), secret) | {"replaces": True})

    def post(self, request: HttpRequest) -> HttpResponse:
        secret = request.session.get(NEW_SECRET)
        if not secret:
            return redirect("new_authenticator")
        try:
            device, codes = set_up_authenticator(
                user=person(request),
                secret=secret,
                code=request.POST.get("code", ""),
                now=timezone.now(),
                replace=True,
            )
        except FlexError as error:
            context = authenticator_setup(person(request), secret) | {"replaces": True, "error": error.message}
            return self.page("people/set_up.html", context, status=400)
        del request.session[NEW_SECRET]
        verify(request, device)
        return self.page("people/recovery_codes.html", {"codes": codes, "next": safe_next(request)})


@method_decorator(sensitive_post_parameters("old_password", "new_password1", "new_password2"), name="dispatch")
class NewPassword(ConfirmedMixin):
    """Another password; the person's other sessions end."""

    action = VERIFIED

    def get(self, request: HttpRequest) -> HttpResponse:
        return self.page("people/new_password.html", {"form": PasswordChangeForm(person(request))})

    def post(self, request: HttpRequest) -> HttpResponse:
        user = person(request)
        form = PasswordChangeForm(user, request.POST)
        if not form.is_valid():
            return self.page("people/new_password.html", {"form": form}, status=400)
        with transaction.atomic():
            form.save()
            record_of_person(action="password.changed", user=user, at=timezone.now())
        update_session_auth_hash(request, user)
        return redirect("account")
