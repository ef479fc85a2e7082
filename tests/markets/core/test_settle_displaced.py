"""Settling by positive volumes only, and for what the ledger leaves."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.core.energy import from_quanta, kwh_of_quanta, to_quanta
from markets.core.inputs_digest import input_digests, inputs_sha256
from markets.core.payment import PerformanceRule
from markets.core.settle import Displaced, InvalidSettlementInputs, claimed_kwh, settle
from tests.markets.core.builders import fleet_inputs
from tests.markets.core.test_settle import random_inputs

NOTHING = np.zeros((1, 4))


class TestCounting:
    def test_takes_what_went_the_wrong_way_for_nothing_where_only_positive_counts(self):
        inputs = replace(fleet_inputs(), metered_kwh=np.array([[12.0, 60.0, 15.0, 14.0]]))
        positive = replace(inputs, counting="positive-only")
        assert settle(inputs).volume.delivered_kwh[0, 1] == -15.0
        assert settle(positive).volume.delivered_kwh[0, 1] == 0.0
        assert inputs_sha256(positive) != inputs_sha256(inputs)
        assert input_digests(positive)["product"] != input_digests(inputs)["product"]


class TestDisplaced:
    """The worked fleet delivers 33, 36, 30 and 31 of 35 kWh each at 300 GBP/MWh."""

    def test_takes_void_energy_from_what_was_asked_too(self):
        (unit,) = by_displaced(void_kwh=np.array([[33.0, 0.0, 0.0, 0.0]])).units
        assert (unit.counted_ordered_kwh, unit.counted_delivered_kwh) == (Decimal(107), Decimal(97))
        assert (unit.ordered_kwh, unit.delivered_kwh) == (Decimal(140), Decimal(130))

    def test_takes_penalised_energy_as_not_delivered(self):
        (unit,) = by_displaced(penalised_kwh=np.array([[20.0, 0.0, 0.0, 0.0]])).units
        assert (unit.counted_ordered_kwh, unit.counted_delivered_kwh) == (Decimal(140), Decimal(110))

    def test_changes_nothing_where_nothing_is_displaced(self):
        assert by_displaced().units == settle(fleet_inputs()).units

    def test_refuses_what_does_not_fit(self):
        with pytest.raises(InvalidSettlementInputs, match="displaced"):
            by_displaced(void_kwh=np.zeros((1, 3)))
        with pytest.raises(InvalidSettlementInputs, match="displaced"):
            by_displaced(void_kwh=np.full((1, 4), -1.0))

    def test_claims_what_it_pays_for(self):
        """Over the event the 36th kWh of the second half-hour counts, so it is claimed; capped in each it does not."""
        claimed = claimed_kwh(settle(fleet_inputs()))
        np.testing.assert_array_equal(claimed, [[33.0, 36.0, 30.0, 31.0]])
        claimed = claimed_kwh(settle(fleet_inputs(rule=PerformanceRule(cap="interval"))))
        np.testing.assert_array_equal(claimed, [[33.0, 35.0, 30.0, 31.0]])

    def test_claims_no_more_than_was_ordered_over_the_event(self):
        """Some of 35 kWh is short in the second half-hour; what is more in others stands in, the earliest first."""
        claimed = claimed_kwh(settle(fleet_inputs(metered_kwh=(0.0, 40.0, 0.0, 5.0))))
        np.testing.assert_array_equal(claimed, [[45.0, 5.0, 45.0, 40.0]])
        claimed = claimed_kwh(settle(fleet_inputs(metered_kwh=(0.0, 15.0, 0.0, 5.0))))
        np.testing.assert_array_equal(claimed, [[40.0, 30.0, 35.0, 35.0]])

    @pytest.mark.parametrize("cap", ["interval", "event"])
    def test_pays_nothing_unclaimed_in_the_place_of_what_is_displaced(self, cap):
        """45 kWh delivered of 35 in each; all that is claimed is another's, and the 10 beyond were not claimed."""
        inputs = fleet_inputs(metered_kwh=(0.0, 0.0, 0.0, 0.0), rule=PerformanceRule(cap=cap))
        claimed = claimed_kwh(settle(inputs))
        (unit,) = settle(replace(inputs, displaced=Displaced(np.zeros((1, 4)), claimed))).units
        assert (unit.counted_delivered_kwh, unit.payment_gbp) == (Decimal(0), Decimal("0.00"))

    @given(seed=st.integers(0, 2**32 - 1), cap=st.sampled_from(["interval", "event"]))
    def test_counts_no_more_than_it_claims(self, seed, cap):
        result = settle(random_inputs(seed, rule=PerformanceRule(cutoff=None, cap=cap)))
        claimed = claimed_kwh(result)
        for unit, of_unit in zip(result.units, claimed, strict=True):
            assert float(unit.counted_delivered_kwh) <= of_unit.sum() + 1e-9
        assert (claimed <= np.maximum(result.volume.delivered_kwh, 0.0) + 1e-9).all()

    @given(
        seed=st.integers(0, 2**32 - 1),
        cap=st.sampled_from(["interval", "event"]),
        missing=st.sampled_from(["strict", "exclude"]),
        void_part=st.integers(0, 8),
    )
    def test_counts_no_more_than_the_ledger_leaves_it(self, seed, cap, missing, void_part):
        """Whatever is delivered beyond the claim in one half-hour fills no gap the ledger made in another."""
        rule = PerformanceRule(cutoff=None, cap=cap, missing=missing)
        inputs, rng = random_inputs(seed, rule=rule), np.random.default_rng(seed)
        claimed = to_quanta(claimed_kwh(settle(inputs)))
        displaced = np.floor(claimed * rng.random(claimed.shape))
        void = np.floor(displaced * void_part / 8)
        left = settle(replace(inputs, displaced=Displaced(from_quanta(void), from_quanta(displaced - void))))
        for unit, granted in zip(left.units, (claimed - displaced).sum(axis=1), strict=True):
            assert unit.counted_delivered_kwh <= kwh_of_quanta(int(granted))

    @given(
        seed=st.integers(0, 2**32 - 1),
        more_kwh=st.integers(0, 5_000).map(lambda wh: wh / 1_000),
        pays_on=st.sampled_from(["instructed", "delivered"]),
        cap=st.sampled_from(["interval", "event"]),
        penalty=st.sampled_from([Decimal(0), Decimal(50)]),
    )
    def test_never_pays_more_for_less_delivered(self, seed, more_kwh, pays_on, cap, penalty):
        """Whatever the rule, the counting or the ledger: a higher meter is never paid more for a turn-down."""
        rule = PerformanceRule(cutoff=None, pays_on=pays_on, cap=cap, penalty_gbp_per_mwh=penalty)
        inputs = random_inputs(seed, rule=rule)
        shape = inputs.instructed_kw.shape
        penalised = Displaced(np.zeros(shape), np.full(shape, more_kwh))
        for counting in ("net", "positive-only"):
            before = settle(replace(inputs, counting=counting))
            less = settle(replace(inputs, counting=counting, metered_kwh=inputs.metered_kwh + more_kwh))
            displaced = settle(replace(inputs, counting=counting, displaced=penalised))
            for one, other, third in zip(before.units, less.units, displaced.units, strict=True):
                assert other.payment_gbp <= one.payment_gbp
                assert third.payment_gbp <= one.payment_gbp
            assert less.payment_gbp == sum(unit.payment_gbp for unit in less.units)


def by_displaced(void_kwh=NOTHING, penalised_kwh=NOTHING):
    return settle(replace(fleet_inputs(), displaced=Displaced(void_kwh, penalised_kwh)))
