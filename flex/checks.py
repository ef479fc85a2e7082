"""System checks that refuse settings which are not safe outside a developer's own machine."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections

SHORTEST_KEY = 32


@register(Tags.security)
def check_settings(**_kwargs: Any) -> list[CheckMessage]:
    """Refuse DEBUG, plain HTTP, a weak or a generated key wherever the site answers beyond loopback."""
    messages: list[CheckMessage] = []
    if len(settings.SECRET_KEY) < SHORTEST_KEY:
        messages.append(Error(f"SECRET_KEY needs at least {SHORTEST_KEY} characters.", id="flex.E001"))
    if settings.HEADROOM_DB_ROLE not in {"app", "owner"}:
        messages.append(
            Error(f"HEADROOM_DB_ROLE is app or owner, found {settings.HEADROOM_DB_ROLE!r}.", id="flex.E002")
        )
    if set(settings.ALLOWED_HOSTS) <= set(settings.LOOPBACK_HOSTS):
        return messages
    if settings.DEBUG:
        messages.append(Error("DEBUG shows source and settings; it may not answer beyond loopback.", id="flex.E003"))
    if settings.PLAIN_HTTP:
        messages.append(Error("PLAIN_HTTP sends log-ins in clear; it may not answer beyond loopback.", id="flex.E004"))
    if settings.SECRET_KEY_IS_GENERATED:
        messages.append(
            Error("SECRET_KEY must be set: a generated key is lost with the machine's var folder.", id="flex.E005")
        )
    if "*" in settings.ALLOWED_HOSTS:
        messages.append(Error("ALLOWED_HOSTS names hosts; '*' accepts any.", id="flex.E006"))
    if not settings.DATABASE_URL:
        messages.append(
            Error("DATABASE_URL must be set: the embedded server is for one machine, on trial.", id="flex.E007")
        )
    return messages


@register(Tags.database)
def check_database_role(databases: Sequence[str] | None = None, **_kwargs: Any) -> list[CheckMessage]:
    """Refuse an application role that could step over row-level security or change the schema."""
    if settings.HEADROOM_DB_ROLE == "owner" or not databases:
        return []
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "SELECT rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb, "
            "EXISTS (SELECT FROM pg_class WHERE relowner = pg_roles.oid) FROM pg_roles WHERE rolname = current_user"
        )
        privileged, owns = cursor.fetchone()
    if privileged or owns:
        return [Error("The application's database role is privileged or owns tables.", id="flex.E008")]
    return []
