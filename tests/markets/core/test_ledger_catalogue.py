"""The default rules: each names its source and its doubts, and no two of them contradict each other."""

from datetime import UTC, datetime, timedelta
from itertools import combinations

import pytest

from markets.core.ledger_catalogue import DSO_FAMILIES, NESO_SERVICES, PRIMACY, STACKING_RULES, WHOLESALE
from markets.core.primacy import PrimacyRule, Service, precedence, serving_order

AT = datetime(2026, 1, 15, 17, tzinfo=UTC)
RULES = tuple(
    PrimacyRule(
        pk,
        one.code,
        1,
        one.product_hi,
        one.product_lo,
        one.direction,
        one.lead_time,
        one.action,
        one.displaced_party_settlement,
        one.valid_from,
    )
    for pk, one in enumerate(PRIMACY)
)


def service(code: str, family: str, key: int, direction: str = "turn_down") -> Service:
    # the later a service stands in the order, the earlier it was contracted: only rules can put it last
    return Service(code, family, direction, AT, AT - timedelta(hours=key), key)


DSO = [service(f"product-{family}"[:40], family, key) for key, family in enumerate(DSO_FAMILIES)]
NESO = [service(code, "scheduled_utilisation", 10 + key) for key, code in enumerate(NESO_SERVICES)]
SUPPLIER = service(WHOLESALE, "scheduled_utilisation", 20)


class TestPrimacy:
    def test_puts_local_security_first_and_the_wholesale_market_last(self):
        services = [SUPPLIER, NESO[0], *DSO]
        assert [services[at] for at in serving_order(RULES, services)] == [*DSO, NESO[0], SUPPLIER]

    @pytest.mark.parametrize("direction", ["turn_down", "turn_up"])
    def test_decides_every_pair_across_tiers_without_contradiction(self, direction):
        for hi, lo in [(one, other) for one in DSO for other in (*NESO, SUPPLIER)]:
            found = precedence(RULES, hi, Service(lo.code, lo.family, direction, AT, lo.contracted_at, lo.key))
            assert found.is_first
            assert found.by_rule
        assert all(precedence(RULES, one, other).by_rule for one, other in combinations(DSO, 2))

    def test_names_a_source_and_every_doubt(self):
        assert all(one.source and one.uncertain for one in PRIMACY)
        assert all(one.source for one in STACKING_RULES)

    def test_has_each_code_once(self):
        codes = [one.code for one in (*PRIMACY, *STACKING_RULES)]
        assert len(codes) == len(set(codes))
        assert max(len(code) for code in codes) <= 60
