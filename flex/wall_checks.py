"""The system check that every tenant's rows stand behind their policies in the database, not in the code alone."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections

from aggregator import policies as aggregator_policies
from dispatch import part_policies
from dispatch import policies as dispatch_policies
from markets import (
    cause_policies,
    invoice_policies,
    ledger_policies,
    settled_policies,
    settlement_policies,
    trading_policies,
    volume_policies,
)
from markets import policies as markets_policies

POLICIES = (
    *aggregator_policies.POLICIES,
    *dispatch_policies.POLICIES,
    *part_policies.POLICIES,
    *markets_policies.POLICIES,
    *trading_policies.POLICIES,
    *ledger_policies.POLICIES,
    *settled_policies.POLICIES,
    *settlement_policies.POLICIES,
    *volume_policies.POLICIES,
    *cause_policies.POLICIES,
    *invoice_policies.POLICIES,
)
IN_FORCE = """
SELECT relname, polname FROM pg_policy JOIN pg_class ON pg_class.oid = polrelid
WHERE relrowsecurity AND relnamespace = 'public'::regnamespace
"""
OPEN_PARTITIONS = """
SELECT relname FROM pg_class
WHERE relispartition AND relkind = 'r' AND NOT relrowsecurity AND relnamespace = 'public'::regnamespace
"""


@register(Tags.database)
def check_row_security(databases: Sequence[str] | None = None, **_kwargs: Any) -> list[CheckMessage]:
    """Refuse a database whose tables lack the policies that this version states for them."""
    if settings.HEADROOM_DB_ROLE == "owner" or not databases:
        return []
    with connections["default"].cursor() as cursor:
        cursor.execute(IN_FORCE)
        in_force = set(cursor.fetchall())
        cursor.execute(OPEN_PARTITIONS)
        open_tables = {table for (table,) in cursor.fetchall()}
    open_tables |= {policy.table for policy in POLICIES if (policy.table, policy.name) not in in_force}
    if not open_tables:
        return []
    said = ", ".join(sorted(open_tables))
    return [Error(f"Row-level security does not protect {said} as it should: migrate the database.", id="flex.E012")]
