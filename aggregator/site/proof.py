"""Proving who one is: every wrong answer, to whichever form, counts towards the same lock-out."""

from datetime import datetime

from axes.handlers.proxy import AxesProxyHandler
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_login_failed
from django.http import HttpRequest
from django_otp.models import Device

from aggregator.core.errors import FlexError
from aggregator.services.second_factor import CodeRefused, use_code


class LockedOut(FlexError):
    code = "people.locked_out"


class ProofRefused(FlexError):
    code = "people.proof_refused"


def prove_by_code(request: HttpRequest, *, user: User, code: str, now: datetime) -> Device:
    """Take a code of this person's.

    Raises:
        LockedOut: after too many wrong answers nothing is tried; the middleware of django-axes answers.
        CodeRefused, CodeTooSoon: see ``use_code``.
    """
    credentials = {"username": user.get_username()}
    if not AxesProxyHandler.is_allowed(request, credentials):
        request.axes_locked_out, request.axes_credentials = True, credentials  # type: ignore[attr-defined]
        raise LockedOut("too many wrong answers")
    try:
        return use_code(user=user, code=code, now=now)
    except CodeRefused:
        user_login_failed.send(sender=__name__, credentials=credentials, request=request)
        raise


def prove_again(request: HttpRequest, *, user: User, now: datetime) -> None:
    """Take the person's password or a code of theirs, whichever the form brings.

    Either will do: the session holds both factors already, and what is asked is whether the same person still sits
    there. A code is taken once, so that who has just logged in would wait for the next one before a control act.

    Raises:
        ProofRefused: neither, or a wrong password.
        LockedOut, CodeRefused, CodeTooSoon: see ``prove_by_code``.
    """
    code, password = request.POST.get("code", "").strip(), request.POST.get("password", "")
    if code:
        prove_by_code(request, user=user, code=code, now=now)
    elif not password:
        raise ProofRefused("give your password or a code")
    elif authenticate(request, username=user.get_username(), password=password) != user:
        raise ProofRefused("the password is wrong")
