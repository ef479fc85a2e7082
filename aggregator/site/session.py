"""What a session remembers of its person, beside Django's own keys, and where it leads next.

A session knows nobody until the second factor: the password alone only makes it *pending*. So a stolen password opens
no page, not even one that forgot to ask for the second factor.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.shortcuts import resolve_url
from django.utils.http import url_has_allowed_host_and_scheme

from aggregator.viewer import CONFIRMED_AT

PENDING = "log_in"  # a password was right, a code is still to come
PENDING_FOR = timedelta(minutes=20)
SEEN_AT = "seen_at"  # seconds since 1970 of the last request that a person made
LOCKED = "locked"
REFRESH = "X-Headroom-Refresh"  # a page that renews itself says 1: no sign that anybody is there


@dataclass(frozen=True, slots=True)
class PendingLogIn:
    """A person whose password was right.

    Attributes:
        next: where they wanted to go; already found safe.
        secret: hexadecimal key of an authenticator being set up; empty for a person who has one.
    """

    user: User
    next: str
    secret: str = ""


def verified_person(request: HttpRequest) -> User | None:
    """Who logged in with both factors, whether the session is locked or not."""
    user = request.user
    return user if isinstance(user, User) and user.is_verified() else None  # type: ignore[attr-defined]


def person(request: HttpRequest) -> User:
    """The person before a page the walls let only a verified person to.

    Raises:
        AttributeError: nobody is: the page does not stand behind the walls, a bug.
    """
    found = verified_person(request)
    if found is None:
        raise AttributeError("this request has no verified person: its view stands outside flex.walls.Walls")
    return found


def begin_log_in(request: HttpRequest, user: User, *, leads_to: str, now: datetime) -> None:
    """Remember that the password was right, under a new session key: one known before is worth nothing."""
    request.session.flush()
    request.session[PENDING] = {"user": user.pk, "at": now.isoformat(), "next": leads_to, "secret": ""}
    request.session.cycle_key()


def pending_log_in(request: HttpRequest, *, now: datetime) -> PendingLogIn | None:
    """The log-in this session waits for a code of; None without one, or once it is old or its person is gone."""
    kept = request.session.get(PENDING)
    if kept is None or now - datetime.fromisoformat(kept["at"]) > PENDING_FOR:
        return None
    user = get_user_model().objects.filter(pk=kept["user"], is_active=True).first()
    return PendingLogIn(user=user, next=kept["next"], secret=kept["secret"]) if user else None


def keep_secret(request: HttpRequest, secret: str) -> None:
    """Keep the secret of an authenticator being set up until it is confirmed by a code.

    It is the session's own: were it the person's, whoever else knows the password could read it and wait.
    """
    request.session[PENDING] = {**request.session[PENDING], "secret": secret}


def confirm_now(request: HttpRequest, *, now: datetime) -> None:
    request.session[CONFIRMED_AT] = now.isoformat()


def confirmed_at(request: HttpRequest) -> datetime | None:
    """When this session's person last proved who they are."""
    kept = request.session.get(CONFIRMED_AT)
    return datetime.fromisoformat(kept) if kept else None


def lock(request: HttpRequest) -> None:
    request.session[LOCKED] = True


def unlock(request: HttpRequest, *, now: datetime) -> None:
    request.session.pop(LOCKED, None)
    request.session[SEEN_AT] = now.timestamp()
    request.session.cycle_key()


def is_locked(request: HttpRequest, *, now: datetime) -> bool:
    """Whether this session is locked; it locks itself after ``SESSION_LOCK_S`` without a person's request."""
    if request.session.get(LOCKED):
        return True
    seen_at = request.session.get(SEEN_AT)
    if seen_at is not None and now.timestamp() - seen_at > settings.SESSION_LOCK_S:
        lock(request)
        return True
    return False


def note_presence(request: HttpRequest, *, now: datetime) -> None:
    """Keep the session awake, unless a page only renews itself.

    Kept to a twentieth of ``SESSION_LOCK_S``, so that not every page writes.
    """
    if request.headers.get(REFRESH) == "1":
        return
    if now.timestamp() - request.session.get(SEEN_AT, 0) >= settings.SESSION_LOCK_S / 20:
        request.session[SEEN_AT] = now.timestamp()


def safe_next(request: HttpRequest) -> str:
    """Where the form or address wants to lead, if that is this site; else the overview."""
    asked = request.POST.get("next") or request.GET.get("next") or ""
    is_ours = url_has_allowed_host_and_scheme(
        asked, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return asked if is_ours else resolve_url(settings.LOGIN_REDIRECT_URL)


def way_back(request: HttpRequest, *, can_get: bool = True) -> str:
    """The address to return to after something was asked in between; a form's own page where it cannot be read."""
    if request.method in ("GET", "HEAD") or can_get:
        return request.get_full_path()
    came_from = request.headers.get("Referer", "")
    is_ours = url_has_allowed_host_and_scheme(
        came_from, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return came_from if is_ours else resolve_url(settings.LOGIN_REDIRECT_URL)
