from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import call_command

from aggregator.models import Event
from markets.core.ledger_catalogue import PRIMACY, STACKING_RULES
from markets.models import PrimacyRule, StackingRule
from markets.services.ledger_rules import RuleNotLater, load_default_rules, state_rule

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
TERMS = PRIMACY[0]


class TestLoadDefaultRules:
    def test_loads_them_once(self):
        assert load_default_rules(now=NOW).n_added == len(PRIMACY) + len(STACKING_RULES)
        again = load_default_rules(now=NOW)
        assert (again.n_added, again.n_known) == (0, len(PRIMACY) + len(STACKING_RULES))
        assert PrimacyRule.objects.count() == len(PRIMACY)
        assert StackingRule.objects.count() == len(STACKING_RULES)

    def test_leaves_a_market_its_own_version(self):
        own = state_rule(terms=replace(TERMS, action="notify"), now=NOW)
        load_default_rules(now=NOW)
        assert list(PrimacyRule.objects.filter(code=TERMS.code)) == [own]

    def test_is_a_command(self):
        said = StringIO()
        call_command("load_ledger_rules", stdout=said)
        assert "added, 0 known" in said.getvalue()


class TestStateRule:
    def test_makes_a_version_of_what_differs_and_nothing_of_what_does_not(self):
        first = state_rule(terms=TERMS, now=NOW)
        assert state_rule(terms=TERMS, now=NOW) is None
        second = state_rule(terms=replace(TERMS, valid_from=NOW, displaced_party_settlement="paid"), now=NOW)
        assert first is not None
        assert second is not None
        assert (first.version, second.version) == (1, 2)

    def test_refuses_a_version_that_would_never_count(self):
        state_rule(terms=replace(TERMS, valid_from=NOW), now=NOW)
        with pytest.raises(RuleNotLater, match=TERMS.code):
            state_rule(terms=replace(TERMS, valid_from=NOW - timedelta(days=1)), now=NOW)

    def test_tells_the_log(self):
        state_rule(terms=TERMS, now=NOW)
        assert Event.objects.across_tenants().filter(action="ledger.rule_stated").count() == 1
