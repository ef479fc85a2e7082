"""Rules of primacy and stacking: stated once; a changed rule is a new version."""

import logging
from dataclasses import asdict, dataclass
from datetime import datetime

from django.db import transaction

from aggregator.core.errors import FlexError
from aggregator.services.batches import platform_organisation
from aggregator.services.event_log import record_event
from aggregator.services.turns import take_turn
from markets.core.ledger_catalogue import PRIMACY, STACKING_RULES, PrimacyTerms, StackingTerms
from markets.models import PrimacyRule, StackingRule

logger = logging.getLogger(__name__)


class RuleNotLater(FlexError):
    code = "ledger.rule_not_later"


@dataclass(frozen=True, slots=True)
class LoadedRules:
    """How many versions were added, and how many rules stood as stated already."""

    n_added: int
    n_known: int


def state_rule(*, terms: PrimacyTerms | StackingTerms, now: datetime) -> PrimacyRule | StackingRule | None:
    """Add a rule as stated, or its next version where it differs from its newest; None where nothing differs.

    Raises:
        RuleNotLater: the newest version is valid from later than the one stated: it would never be looked at.
    """
    model = PrimacyRule if isinstance(terms, PrimacyTerms) else StackingRule
    stated = asdict(terms)
    with transaction.atomic():
        take_turn("ledger rule", terms.code)
        newest = model.objects.filter(code=terms.code).order_by("-version").first()
        if newest is not None and all(getattr(newest, name) == value for name, value in stated.items()):
            return None
        if newest is not None and newest.valid_from > terms.valid_from:
            raise RuleNotLater(
                f"rule {terms.code}: v{newest.version} is valid from {newest.valid_from.isoformat()}, later than "
                f"{terms.valid_from.isoformat()}",
                rule=terms.code,
            )
        rule = model.objects.create(**stated, version=newest.version + 1 if newest else 1)
        record_event(
            action="ledger.rule_stated",
            subject=f"rule {rule}",
            organisation=platform_organisation(),
            after={name: str(value) for name, value in stated.items()},
            at=now,
        )
    return rule


def load_default_rules(*, now: datetime) -> LoadedRules:
    """State the default catalogue; one whose code is known is left alone, whatever it says."""
    known = {
        *PrimacyRule.objects.values_list("code", flat=True),
        *StackingRule.objects.values_list("code", flat=True),
    }
    catalogue: tuple[PrimacyTerms | StackingTerms, ...] = (*PRIMACY, *STACKING_RULES)
    added = [state_rule(terms=terms, now=now) for terms in catalogue if terms.code not in known]
    n_known = len(PRIMACY) + len(STACKING_RULES) - len(added)
    logger.info("stated %d rules of primacy and stacking, %d were known", len(added), n_known)
    return LoadedRules(len(added), n_known)
