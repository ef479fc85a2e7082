from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.core.primacy import (
    PrimacyConflict,
    PrimacyRule,
    Service,
    StackingRule,
    precedence,
    rules_in_force,
    serving_order,
    stacking_between,
)

STARTS_AT = datetime(2026, 1, 15, 17, tzinfo=UTC)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def service(code: str, family: str = "family", hours_before: float = 24, key: int = 1, direction: str = "turn_down"):
    return Service(code, family, direction, STARTS_AT, STARTS_AT - timedelta(hours=hours_before), key)


def rule(hi: str, lo: str, **changes: object) -> PrimacyRule:
    made = PrimacyRule(1, f"{hi}-{lo}", 1, hi, lo, "any", timedelta(0), "curtail", "void", LONG_AGO)
    return replace(made, **changes)  # type: ignore[arg-type]


def stack(a: str, b: str, **changes: object) -> StackingRule:
    made = StackingRule(1, f"{a}+{b}", 1, "co-delivery", a, b, is_allowed=True, valid_from=LONG_AGO)
    return replace(made, **changes)  # type: ignore[arg-type]


DSO, NESO = service("su-evening", "dso", 1, 2), service("dfs", "neso", 30, 1)


class TestPrecedence:
    def test_goes_by_rule_whichever_is_named_first(self):
        rules = [rule("su-evening", "dfs")]
        assert precedence(rules, DSO, NESO).is_first
        assert not precedence(rules, NESO, DSO).is_first
        assert precedence(rules, NESO, DSO).rule == rules[0]

    def test_goes_by_the_earlier_contract_without_one(self):
        found = precedence([], DSO, NESO)
        assert (found.is_first, found.rule, found.by_rule) == (False, None, False)

    def test_only_tells_where_the_rule_says_notify(self):
        found = precedence([rule("su-evening", "dfs", action="notify")], DSO, NESO)
        assert (found.is_first, found.by_rule) == (False, False)
        assert found.rule is not None

    def test_prefers_a_rule_that_names_products_to_one_that_names_families(self):
        rules = [rule("dso", "neso"), rule("dfs", "su-evening")]
        assert not precedence(rules, DSO, NESO).is_first

    def test_prefers_the_rule_valid_from_later_among_equals(self):
        rules = [rule("dso", "neso"), rule("neso", "dso", valid_from=LONG_AGO + timedelta(days=1))]
        assert not precedence(rules, DSO, NESO).is_first

    def test_refuses_two_rules_that_say_the_contrary(self):
        with pytest.raises(PrimacyConflict, match="dfs"):
            precedence([rule("dso", "neso"), rule("neso", "dso")], DSO, NESO)

    @pytest.mark.parametrize(("direction", "is_first"), [("same", False), ("opposite", True), ("any", True)])
    def test_looks_at_the_direction(self, direction, is_first):
        up = replace(NESO, direction="turn_up")
        assert precedence([rule("dso", "neso", direction=direction)], DSO, up).is_first is is_first

    def test_asks_the_higher_for_its_lead_time(self):
        rules = [rule("dso", "neso", lead_time=timedelta(hours=2))]
        assert not precedence(rules, DSO, NESO).is_first
        assert precedence(rules, service("su-evening", "dso", 2, 2), NESO).is_first

    def test_says_nothing_between_two_calls_on_one_product(self):
        earlier, later = service("su", hours_before=3, key=9), service("su", hours_before=2, key=1)
        assert precedence([rule("family", "su")], earlier, later).is_first


class TestServingOrder:
    def test_puts_rules_before_contracts_and_contracts_before_keys(self):
        services = [service("c", "x", 10, 1), service("a", "x", 1, 2), service("b", "x", 10, 0)]
        assert serving_order([rule("a", "c")], services) == (2, 1, 0)

    def test_refuses_a_circle(self):
        services = [service(code, code) for code in "abc"]
        with pytest.raises(PrimacyConflict, match="circle"):
            serving_order([rule("a", "b"), rule("b", "c"), rule("c", "a")], services)

    @given(order=st.permutations(range(5)))
    def test_is_the_same_whatever_order_they_come_in(self, order):
        services = [
            service(code, "x", hours, key) for key, code, hours in zip(range(5), "abcde", (5, 1, 4, 1, 3), strict=True)
        ]
        rules = [rule("d", "a"), rule("b", "c")]
        expected = [services[at].code for at in serving_order(rules, services)]
        shuffled = [services[at] for at in order]
        assert [shuffled[at].code for at in serving_order(rules, shuffled)] == expected


class TestStackingBetween:
    def test_holds_for_both_orders(self):
        rules = [stack("dso", "dfs")]
        assert stacking_between(rules, DSO, NESO, "co-delivery") == rules[0]
        assert stacking_between(rules, NESO, DSO, "co-delivery") == rules[0]
        assert stacking_between(rules, NESO, DSO, "splitting") is None

    def test_takes_the_most_exact(self):
        rules = [stack("dso", "neso"), stack("su-evening", "dfs", is_allowed=False)]
        found = stacking_between(rules, DSO, NESO, "co-delivery")
        assert found is not None
        assert not found.is_allowed


class TestRulesInForce:
    def test_takes_the_newest_version_that_is_valid(self):
        first = rule("a", "b")
        second = replace(first, version=2, valid_from=STARTS_AT, action="block")
        before = STARTS_AT - timedelta(seconds=1)
        assert rules_in_force([second, first], before) == (first,)
        assert rules_in_force([second, first], STARTS_AT) == (second,)
        assert rules_in_force([first], LONG_AGO - timedelta(seconds=1)) == ()
