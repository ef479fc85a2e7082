"""A settlement whose baseline does not come from past days."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from markets.core.baseline_methods import BaselineFacts, MissingBaselineFacts, history_rule, method_rule
from markets.core.inputs_digest import input_digests, inputs_sha256
from markets.core.settle import settle
from tests.markets.core.builders import fleet_history, fleet_inputs
from tests.markets.core.test_baseline_methods import control_facts, nominations

FACTS = BaselineFacts(n_evse=np.array([150]), rated_kw=np.array([90.0]), nominations=nominations((-1, 40.0)))


def inputs(name, *, facts=FACTS, **changes):
    method = method_rule(name)
    rule = history_rule(method)
    worked = fleet_history()
    history = replace(
        worked,
        adjustment_kwh=worked.adjustment_kwh[:, :, : rule.adjustment_periods],
        adjustment_metered_kwh=worked.adjustment_metered_kwh[:, : rule.adjustment_periods],
    )
    return fleet_inputs(history=history, baseline_rule=rule, method=method, facts=facts, **changes)


class TestSettle:
    @pytest.mark.parametrize(
        ("name", "baseline_kwh"),
        [("fixed-reference", 62.25), ("asset-capacity", 45.0), ("zero", 0.0), ("nomination", 40.0)],
    )
    def test_measures_against_the_baseline_the_method_gives(self, name, baseline_kwh):
        """12, 9, 15 and 14 kWh are metered."""
        result = settle(inputs(name))

        (unit,) = result.units
        np.testing.assert_array_equal(result.volume.baseline_kwh, np.full((1, 4), baseline_kwh))
        assert unit.delivered_kwh == Decimal(str(4 * baseline_kwh)) - 50
        assert unit.n_days == 0

    def test_delivers_nothing_and_says_so_where_nobody_nominated(self):
        result = settle(inputs("nomination", facts=replace(FACTS, nominations=nominations())))

        assert (result.units[0].delivered_kwh, result.payment_gbp) == (0, 0)
        assert "baseline.none" in {note.code for note in result.findings}

    def test_refuses_a_method_whose_facts_are_missing(self):
        with pytest.raises(MissingBaselineFacts):
            settle(inputs("control-group-ratio"))


class TestDigest:
    def test_changes_with_the_method_and_every_fact(self):
        known = [
            inputs("zero"),
            inputs("fixed-reference"),
            inputs("fixed-reference", facts=replace(FACTS, n_evse=np.array([151]))),
            inputs("asset-capacity"),
            inputs("asset-capacity", facts=replace(FACTS, rated_kw=np.array([90.5]))),
            inputs("nomination"),
            inputs("nomination", facts=replace(FACTS, nominations=nominations((-1, 41.0)))),
            inputs("nomination", facts=replace(FACTS, nominations=nominations((-2, 40.0)))),
            inputs("control-group-ratio", facts=control_facts()),
            inputs("control-group-difference", facts=control_facts()),
            inputs("control-group-ratio", facts=control_facts(n_control=6)),
        ]

        assert len({inputs_sha256(one) for one in known}) == len(known)

    def test_names_a_changed_fact_as_the_products(self):
        before, after = inputs("fixed-reference"), inputs("fixed-reference", facts=replace(FACTS, n_evse=np.array([9])))

        old, new = input_digests(before), input_digests(after)
        assert {kind for kind in old if old[kind] != new[kind]} == {"product"}

    def test_stays_as_it_was_for_a_method_over_past_days(self):
        plain = fleet_inputs()

        assert inputs_sha256(replace(plain, method=plain.baseline_rule, facts=FACTS)) == inputs_sha256(plain)
