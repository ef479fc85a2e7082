"""What a settlement lost to whatever goes before it, by DSRSP and cause: the report of displaced volumes.

Both halves are stored figures: delivered energy that the ledger gave to another call, and energy that was not delivered
since a consumer or a network limit, which go before every commitment, stood in the way.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from aggregator.models import Organisation
from markets.models import SettlementRun, ShortfallCause
from markets.queries import statements_seen_by
from markets.services.ledger_pages import ClaimLine

NOT_DELIVERED = "not delivered"
# Of the causes of a shortfall those that command an EVSE; a car that is away displaces nothing.
COMMANDS = (ShortfallCause.Cause.OVERRIDE, ShortfallCause.Cause.NETWORK_LIMIT)


@dataclass(frozen=True, slots=True)
class DisplacedVolume:
    """All that one DSRSP lost to one cause over the window.

    Attributes:
        by: the product that goes before, with its call where the reader may see that; empty where no product does.
        settled_as: what became of it in the settlement.
    """

    dsrsp: str
    cause: str
    by: str
    settled_as: str
    n_period: int
    energy_kwh: Decimal


Key = tuple[str, str, str, str]


def displaced_volumes(
    *, lines: Sequence[ClaimLine], settlement_pk: int, organisation: Organisation
) -> tuple[DisplacedVolume, ...]:
    """The report for one reader: by DSRSP, the largest first.

    Args:
        lines: of the settlement's ledger, as the reader sees it.
    """
    found: dict[Key, list[Decimal]] = defaultdict(list)
    settlement = SettlementRun.objects.get(pk=settlement_pk)
    for key, energy_kwh in (*_of_ledger(lines), *_of_commands(settlement, organisation)):
        found[key].append(energy_kwh)
    volumes = [DisplacedVolume(*key, len(parts), sum(parts, Decimal(0))) for key, parts in found.items()]
    return tuple(sorted(volumes, key=lambda one: (one.dsrsp, -one.energy_kwh, one.cause, one.by)))


def _of_ledger(lines: Iterable[ClaimLine]) -> Iterator[tuple[Key, Decimal]]:
    for line in lines:
        for one in line.displaced:
            by = f"{one.by_product} for {one.by_reference}" if one.by_reference else one.by_product
            yield (line.dsrsp, one.reason_label, by, one.settled_as_label), one.displaced_kwh


def _of_commands(settlement: SettlementRun, organisation: Organisation) -> Iterator[tuple[Key, Decimal]]:
    statements = statements_seen_by(organisation).filter(settlement_run=settlement)
    rows = ShortfallCause.objects.across_tenants().filter(statement__in=statements, cause__in=COMMANDS)
    for row in rows.select_related("statement__organisation").defer("statement__content").order_by("pk"):
        yield (row.statement.organisation.name, row.get_cause_display(), "", NOT_DELIVERED), row.energy_kwh
