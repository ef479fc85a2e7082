from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.core.timegrid import TimeGrid
from markets.core.ledger import InvalidClaims
from markets.core.ledger_claims import Claimed, PortfolioClaims, VolumeTooLarge, claims_by_asset, share_out

GRID = TimeGrid(datetime(2026, 1, 15, 17, tzinfo=UTC), 2)


def column(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)[:, np.newaxis]


def portfolio(**changes: object) -> PortfolioClaims:
    asked = {
        "unit_ids": ("amber", "blue"),
        "grid": GRID,
        "direction": "turn_down",
        "delivered_kwh": np.array([[1.0, 0.0003], [2.0, -1.0]]),
        "claimed_kwh": np.array([[0.5, 0.0002], [2.0, 0.0]]),
        "asset_pks": np.array([31, 11, 21]),
        "asset_unit": np.array([0, 0, 1]),
        "asset_delivered_kwh": np.array([[0.75, 1.0], [0.25, 1.0], [np.nan, 0.0]]),
    }
    return PortfolioClaims(**{**asked, **changes})  # type: ignore[arg-type]


class TestShareOut:
    def test_gives_what_is_left_to_the_largest_remainders(self):
        """10 by 1 : 1 : 4 is 1.67, 1.67 and 6.67: the first of equal remainders first."""
        assert share_out(column(10), column(1, 1, 4), np.zeros(3, dtype=np.int64)).ravel().tolist() == [2, 2, 6]
        assert share_out(column(1), column(1, 1), np.zeros(2, dtype=np.int64)).ravel().tolist() == [1, 0]

    def test_shares_equally_where_nobody_delivered(self):
        assert share_out(column(7), column(0, 0, 0), np.zeros(3, dtype=np.int64)).ravel().tolist() == [3, 2, 2]

    def test_keeps_units_apart(self):
        unit = np.array([1, 0, 1])
        assert share_out(column(3, 10), column(5, 9, 5), unit).ravel().tolist() == [5, 3, 5]

    def test_refuses_what_it_cannot_share_exactly(self):
        with pytest.raises(VolumeTooLarge):
            share_out(column(2**40), column(2**40), np.zeros(1, dtype=np.int64))

    @given(data=st.data(), n_asset=st.integers(1, 12), n_unit=st.integers(1, 3), n_period=st.integers(1, 3))
    def test_adds_up_and_never_exceeds_what_an_asset_delivered(self, data, n_asset, n_unit, n_period):
        whole = st.integers(0, 10**6)
        weight = np.array([[data.draw(whole) for _ in range(n_period)] for _ in range(n_asset)], dtype=np.int64)
        unit = np.array([data.draw(st.integers(0, n_unit - 1)) for _ in range(n_asset)], dtype=np.int64)
        sums = np.zeros((n_unit, n_period), dtype=np.int64)
        np.add.at(sums, unit, weight)
        total = np.array([[data.draw(st.integers(0, int(most))) for most in row] for row in sums], dtype=np.int64)
        part = share_out(total, weight, unit)
        added = np.zeros_like(total)
        np.add.at(added, unit, part)
        assert (added == total).all()
        assert (part <= weight).all()
        # within a quantum of the exact share
        exact = total[unit] * weight / np.maximum(sums[unit], 1)
        assert (np.abs(part - exact) < 1 + 1e-6).all()


class TestClaimsByAsset:
    def test_shares_volume_by_what_each_delivered_and_the_claim_by_that(self):
        found = claims_by_asset(portfolio())
        assert found.asset_pks.tolist() == [11, 21, 31]
        assert found.asset_unit.tolist() == [0, 1, 0]
        assert found.delivered.tolist() == [[2500, 2], [20000, 0], [7500, 1]]
        assert found.wanted.tolist() == [[1250, 1], [20000, 0], [3750, 1]]

    def test_shares_equally_where_no_asset_says_what_it_delivered(self):
        found = claims_by_asset(portfolio(asset_delivered_kwh=None))
        assert found.delivered.tolist() == [[5000, 2], [20000, 0], [5000, 1]]

    def test_does_not_mind_the_order_of_assets(self):
        order = np.array([2, 0, 1])
        one = portfolio()
        again = portfolio(
            asset_pks=one.asset_pks[order],
            asset_unit=one.asset_unit[order],
            asset_delivered_kwh=one.asset_delivered_kwh[order],  # type: ignore[index]
        )
        assert (claims_by_asset(one).wanted == claims_by_asset(again).wanted).all()


class TestPortfolioClaims:
    @pytest.mark.parametrize(
        "changes",
        [
            {"unit_ids": ("amber", "amber")},
            {"claimed_kwh": np.array([[1.1, 0.0], [0.0, 0.0]])},
            {"claimed_kwh": np.array([[-0.1, 0.0], [0.0, 0.0]])},
            {"claimed_kwh": np.array([[0.0, 0.0], [0.0, 0.1]])},
            {"claimed_kwh": np.array([[np.nan, 0.0], [0.0, 0.0]])},
            {"claimed_kwh": np.zeros((2, 3))},
            {"asset_pks": np.array([11, 11, 21])},
            {"asset_unit": np.array([0, 0, 0])},
            {"asset_unit": np.array([0, 0])},
            {"asset_delivered_kwh": np.zeros((3, 3))},
        ],
    )
    def test_refuses_what_does_not_fit(self, changes):
        with pytest.raises(InvalidClaims):
            portfolio(**changes)


class TestClaimed:
    def test_has_a_digest_only_where_something_was_displaced(self):
        nothing = np.zeros((1, 1))
        assert Claimed(np.ones((1, 1)), nothing, nothing, nothing).sha256 == ""
        one, other = (
            Claimed(nothing, nothing, *parts) for parts in ((np.ones((1, 1)), nothing), (nothing, np.ones((1, 1))))
        )
        assert len(one.sha256) == len(other.sha256) == 64
        assert one.sha256 != other.sha256
        assert one.displaced_kwh.tolist() == [[1.0]]
