"""Default rules of primacy and stacking, as data: what is public of them, each with its source and its doubts.

The texts of the Open Networks primacy rules could not be read, so every rule of primacy here is their general thrust:
local network security first. A market states its own as further versions.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from markets.core.primacy import ANY, Effect, Side, Stacking, Treatment

VALID_FROM = datetime(2018, 1, 1, tzinfo=UTC)
ON_PRIMACY = "ENA Open Networks, DNO-NESO primacy rules: general thrust"
NO_TEXT = "the rule's own text could not be read; what the displaced party is due depends on its contract"
STACKING = "Electricity North West, flexibility hub: stacking"

# Services beyond the product families: codes of products that stand for them.
NESO_SERVICES = ("neso-dfs", "neso-lcm", "neso-balancing", "neso-response")
WHOLESALE = "wholesale"
DSO_FAMILIES = (
    "operational_utilisation",
    "operational_utilisation_scheduled_availability",
    "operational_utilisation_variable_availability",
    "scheduled_utilisation",
    "peak_reduction",
)


@dataclass(frozen=True, slots=True)
class PrimacyTerms:
    """What a primacy rule states; see ``markets.core.primacy.PrimacyRule``."""

    code: str
    product_hi: str
    product_lo: str
    direction: Side = "any"
    lead_time: timedelta = timedelta(0)
    action: Effect = "curtail"
    displaced_party_settlement: Treatment = "void"
    source: str = ON_PRIMACY
    uncertain: str = NO_TEXT
    valid_from: datetime = VALID_FROM


@dataclass(frozen=True, slots=True)
class StackingTerms:
    """What a stacking rule states; see ``markets.core.primacy.StackingRule``."""

    code: str
    kind: Stacking
    service_a: str
    service_b: str
    is_allowed: bool
    source: str = STACKING
    uncertain: str = ""
    valid_from: datetime = VALID_FROM


_SHORT = {
    "operational_utilisation": "ou",
    "operational_utilisation_scheduled_availability": "ou-sa",
    "operational_utilisation_variable_availability": "ou-va",
    "scheduled_utilisation": "su",
    "peak_reduction": "pr",
}
_BETWEEN_DSO = "Chosen here: of a DNO's own products the one called nearer real time secures the network now"


def _between_dso() -> tuple[PrimacyTerms, ...]:
    order = DSO_FAMILIES
    return tuple(
        PrimacyTerms(
            code=f"{_SHORT[hi]}-before-{_SHORT[lo]}",
            product_hi=hi,
            product_lo=lo,
            source=_BETWEEN_DSO,
            uncertain="no DNO publishes an order between its own products",
        )
        for at, hi in enumerate(order)
        for lo in order[at + 1 :]
    )


_TIERS = "Chosen here, after the need stated by the EV Energy Taskforce (work group 3)"


def _before(hi: str, name: str, lows: tuple[str, ...], source: str = ON_PRIMACY) -> tuple[PrimacyTerms, ...]:
    """Before each of these: what is left in the same direction, nothing against it."""
    return tuple(
        made
        for lo in lows
        for made in (
            PrimacyTerms(f"{name}-before-{lo}", hi, lo, "same", source=source),
            PrimacyTerms(f"{name}-against-{lo}", hi, lo, "opposite", action="block", source=source),
        )
    )


PRIMACY: tuple[PrimacyTerms, ...] = (
    *(rule for family in DSO_FAMILIES for rule in _before(family, _SHORT[family], NESO_SERVICES)),
    *(rule for family in DSO_FAMILIES for rule in _before(family, _SHORT[family], (WHOLESALE,), _TIERS)),
    *(rule for service in NESO_SERVICES for rule in _before(service, service, (WHOLESALE,), _TIERS)),
    *_between_dso(),
)

STACKING_RULES: tuple[StackingTerms, ...] = (
    StackingTerms(
        "dfs-with-scheduled",
        "co-delivery",
        "neso-dfs",
        "scheduled_utilisation",
        is_allowed=True,
        uncertain="the published rule on the Demand Flexibility Service with DNO services turned round between seasons",
    ),
    StackingTerms(
        "capacity-market-with-any",
        "co-delivery",
        "capacity-market",
        ANY,
        is_allowed=True,
        uncertain="published for Dynamic Containment; taken to hold for DNO services too",
    ),
    StackingTerms(
        "split-any",
        "splitting",
        ANY,
        ANY,
        is_allowed=True,
        uncertain="one service's baseline may have to be adjusted for the other",
    ),
    StackingTerms("jump-any", "jumping", ANY, ANY, is_allowed=True),
)
