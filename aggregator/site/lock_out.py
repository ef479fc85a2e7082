"""The page for who gave too many wrong answers (``settings.AXES_LOCKOUT_CALLABLE``)."""

from datetime import datetime, timedelta
from http import HTTPStatus
from math import ceil
from typing import Any

from axes.handlers.proxy import AxesProxyHandler
from axes.helpers import get_cool_off
from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from aggregator.core.display import stamp


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
