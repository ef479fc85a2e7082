"""System checks that refuse settings which are not safe outside a developer's own machine.

They run with every command. `manage.py check --deploy --database default` adds the database's own role and is
the gate before a site goes live.
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections

from aggregator.services.caps import ESSENTIAL_SERVICE_MW

SHORTEST_KEY = 32
FEWEST_DIFFERENT_CHARACTERS = 8
DATABASE_SCHEMES = {"postgres", "postgresql"}
BROKER_SCHEMES = {"redis", "rediss", "amqp", "amqps"}

WAITS = ("JOB_LEASE_S", "JOB_SWEEP_S", "SESSION_LOCK_S", "CONFIRMED_FOR_S", "CONTROL_ACT_EXPIRES_S")

# Memberships count: a role may SET ROLE to whatever it is a member of. A superuser is a member of every role.
ROLE_POWERS = """
SELECT bool_or(r.rolsuper OR r.rolbypassrls OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication),
       bool_or(EXISTS (SELECT FROM pg_class WHERE relowner = r.oid)
            OR EXISTS (SELECT FROM pg_namespace WHERE nspowner = r.oid)
            OR EXISTS (SELECT FROM pg_database WHERE datdba = r.oid)),
       has_schema_privilege(session_user, 'public', 'CREATE')
FROM pg_roles r WHERE pg_has_role(session_user, r.oid, 'MEMBER')
"""


@register(Tags.security)
def check_settings(**_kwargs: Any) -> list[CheckMessage]:
    """Refuse nonsense anywhere, and DEBUG, plain HTTP or a generated key where the site answers beyond loopback."""
    messages = _nonsense()
    if not set(settings.ALLOWED_HOSTS) <= set(settings.LOOPBACK_HOSTS):
        messages += _unsafe_beyond_loopback()
    return messages


def _nonsense() -> list[CheckMessage]:
    key, role = settings.SECRET_KEY, settings.HEADROOM_DB_ROLE
    found: list[tuple[bool, str, str]] = [
        (len(key) < SHORTEST_KEY, f"SECRET_KEY needs at least {SHORTEST_KEY} characters.", "flex.E001"),
        (
            len(key) >= SHORTEST_KEY and len(set(key)) < FEWEST_DIFFERENT_CHARACTERS,
            f"SECRET_KEY needs at least {FEWEST_DIFFERENT_CHARACTERS} different characters.",
            "flex.E001",
        ),
        (role not in {"app", "owner"}, f"HEADROOM_DB_ROLE is app or owner, found {role!r}.", "flex.E002"),
        (not settings.CELERY_TASK_DEFAULT_QUEUE, "CELERY_QUEUE names a queue, found nothing.", "flex.E010"),
        *(
            (getattr(settings, name) < 1, f"{name} is at least 1 s, found {getattr(settings, name)}.", "flex.E009")
            for name in WAITS
        ),
    ]
    for name, schemes in (
        ("DATABASE_URL", DATABASE_SCHEMES),
        ("DATABASE_APP_URL", DATABASE_SCHEMES),
        ("CELERY_BROKER_URL", BROKER_SCHEMES),
    ):
        # Only the scheme is shown: the rest may hold a password.
        scheme = urlsplit(getattr(settings, name)).scheme
        is_foreign = bool(getattr(settings, name)) and scheme not in schemes
        found.append((is_foreign, f"{name} starts with {' or '.join(sorted(schemes))}, found {scheme!r}.", "flex.E010"))
    return _errors(found)


def _unsafe_beyond_loopback() -> list[CheckMessage]:
    return _errors(
        [
            (settings.DEBUG, "DEBUG shows source and settings; it may not answer beyond loopback.", "flex.E003"),
            (settings.PLAIN_HTTP, "PLAIN_HTTP sends log-ins in clear; it may not answer beyond loopback.", "flex.E004"),
            (
                settings.SECRET_KEY_IS_GENERATED,
                "SECRET_KEY must be set: a generated key is lost with the machine's var folder.",
                "flex.E005",
            ),
            (
                settings.SIGNING_KEY_IS_GENERATED,
                "SIGNING_KEY_FILE must be set: evidence is signed with a key that is kept.",
                "flex.E014",
            ),
            ("*" in settings.ALLOWED_HOSTS, "ALLOWED_HOSTS names hosts; '*' accepts any.", "flex.E006"),
            (
                not settings.DATABASE_URL,
                "DATABASE_URL must be set: the embedded server is for one machine, on trial.",
                "flex.E007",
            ),
        ]
    )


def _errors(found: list[tuple[bool, str, str]]) -> list[CheckMessage]:
    return [Error(message, id=code) for is_wrong, message, code in found if is_wrong]


@register(Tags.security)
def check_cap(**_kwargs: Any) -> list[CheckMessage]:
    """Warn of a cap that lets an installation grow into an essential service, with duties this one may not meet."""
    if settings.CONTROLLABLE_CAP_MW < ESSENTIAL_SERVICE_MW:
        return []
    message = (
        f"CONTROLLABLE_CAP_MW is {settings.CONTROLLABLE_CAP_MW:g}: from {ESSENTIAL_SERVICE_MW:g} MW on, "
        "load control is an essential service."
    )
    return [checks.Warning(message, hint="Lower it, or silence flex.W001 once the duties are met.", id="flex.W001")]


@register(Tags.database)
def check_database_role(databases: Sequence[str] | None = None, **_kwargs: Any) -> list[CheckMessage]:
    """Refuse an application role that could step over row-level security or change the schema."""
    if settings.HEADROOM_DB_ROLE == "owner" or not databases:
        return []
    with connections["default"].cursor() as cursor:
        cursor.execute(ROLE_POWERS)
        is_privileged, owns, may_create = cursor.fetchone()
    if is_privileged or owns or may_create:
        powers = {"is privileged": is_privileged, "owns things": owns, "may create tables": may_create}
        said = " and ".join(power for power, has in powers.items() if has)
        return [Error(f"The database role the application logs in as {said}.", id="flex.E008")]
    return []


@register(Tags.security, deploy=True)
def check_deployed_role(**_kwargs: Any) -> list[CheckMessage]:
    """Refuse a deployment that runs as the database's owner; only the migration does."""
    return _errors(
        [(settings.HEADROOM_DB_ROLE == "owner", "HEADROOM_DB_ROLE is owner: the site logs in as app.", "flex.E011")]
    )
