"""Wrong answers: each is an event, and too many close the door for a while (``settings.AXES_LOCKOUT_CALLABLE``)."""

from datetime import datetime, timedelta
from http import HTTPStatus
from math import ceil
from typing import Any

from axes.handlers.proxy import AxesProxyHandler
from axes.helpers import get_cool_off
from django.contrib.auth.signals import user_login_failed
from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from aggregator.core.display import stamp
from aggregator.services.person_events import record_refusal


def locked_out_page(
    request: HttpRequest, _response: HttpResponse | None, credentials: dict[str, Any] | None
) -> HttpResponse:
    """Say when to try again, the same for names that exist and names that don't."""
    now = timezone.now()
    ends_at = lock_out_ends_at(request, credentials, now=now)
    page = render(request, "people/locked_out.html", {"ends_at": stamp(ends_at)}, status=HTTPStatus.TOO_MANY_REQUESTS)
    page.headers["Retry-After"] = str(max(1, ceil((ends_at - now).total_seconds())))
    page.headers["Cache-Control"] = "no-store"
    return page


def lock_out_ends_at(request: HttpRequest, credentials: dict[str, Any] | None, *, now: datetime) -> datetime:
    attempts = AxesProxyHandler.get_implementation().get_user_attempts(request, credentials)
    newest = [rows.aggregate(newest=Max("attempt_time"))["newest"] for rows in attempts]
    cool_off: timedelta = get_cool_off(request)
    return max((at for at in newest if at), default=now) + cool_off


def _record_failure(*, credentials: dict[str, Any], request: HttpRequest | None = None, **_signal: object) -> None:
    """Record what django-axes has just counted; while the door is closed it counts nothing, and nothing is recorded."""
    if request is None or request.axes_failures_since_start is None:  # type: ignore[attr-defined]
        return
    refused = {"username": credentials["username"], "address": request.axes_ip_address, "at": timezone.now()}  # type: ignore[attr-defined]
    record_refusal(action="log_in.failed", **refused)
    if request.axes_locked_out:  # type: ignore[attr-defined]
        record_refusal(action="log_in.locked_out", **refused)


user_login_failed.connect(_record_failure, dispatch_uid="headroom failed log-in")
