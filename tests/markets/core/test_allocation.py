"""P375 by the figures worked for it, and its identity for every site."""

import json
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.core.allocation import AssetEnergy, InvalidAllocation, allocate, filed_decimal
from markets.core.compensation import (
    InvalidCompensation,
    at_gsp_mwh,
    compensation_gbp,
    contribution_gbp,
    implied_rate_gbp_per_mwh,
)

NAN = np.nan
ORACLE = json.loads('{"boundary":-4.10,"asset":-0.40,"base":-3.50,"dv":3.10,"supplier":-7.20}')


def energy(metered, baseline, boundary_kwh=((4.1,),), *, boundary=None, max_import=1e3, max_export=0.0) -> AssetEnergy:
    n_asset, n_boundary = len(metered), len(boundary_kwh)
    return AssetEnergy(
        asset_ids=tuple(f"{index:013d}" for index in range(n_asset)),
        boundary_ids=tuple(f"9{index:012d}" for index in range(n_boundary)),
        boundary=np.zeros(n_asset, dtype=np.int64) if boundary is None else np.array(boundary),
        metered_kwh=np.array(metered, dtype=np.float64),
        baseline_kwh=np.array(baseline, dtype=np.float64),
        boundary_kwh=np.array(boundary_kwh, dtype=np.float64),
        max_import_kw=np.broadcast_to(max_import, n_asset).astype(np.float64),
        max_export_kw=np.broadcast_to(max_export, n_asset).astype(np.float64),
    )


class TestAllocate:
    def test_gives_the_worked_site_s_figures(self):
        """Boundary import 4.10, EV metered 0.40 against 3.50: the house's 3.70 kWh are untouched."""
        found = allocate(energy([[-ORACLE["asset"]]], [[-ORACLE["base"]]], [[-ORACLE["boundary"]]]))

        assert found.deviation_kwh.tolist() == [[ORACLE["dv"]]]
        assert filed_decimal(found.filed_mwh[0, 0]) == Decimal("0.0031")
        assert found.supplier_kwh.tolist() == [[ORACLE["supplier"]]]
        assert found.secondary_kwh.tolist() == [[3.1]]
        assert found.supplier_kwh[0, 0] + found.secondary_kwh[0, 0] == pytest.approx(ORACLE["boundary"], abs=1e-12)

    def test_files_a_thousand_pairs_four_hundredths_of_a_megawatt_hour_short_and_says_so(self):
        """1,000 pairs at 0.00314 MWh are filed as 0.0031: 3.1 for 3.14 MWh."""
        found = allocate(energy([[0.36]] * 1000, [[3.5]] * 1000))

        assert found.total_filed_mwh == Decimal("3.1000")
        assert found.residual_kwh == Decimal("40.0000")

    @pytest.mark.parametrize(
        ("deviation_kwh", "filed"),
        [(0.05, "0.0001"), (0.0499, "0.0000"), (-0.05, "-0.0001"), (-0.0499, "0.0000"), (3.15, "0.0032"), (0, "0")],
    )
    def test_rounds_halves_away_from_zero(self, deviation_kwh, filed):
        found = allocate(energy([[10 - deviation_kwh]], [[10]]))

        assert filed_decimal(found.filed_mwh[0, 0]) == Decimal(filed)
        assert not np.signbit(found.filed_mwh[0, 0]) or found.filed_mwh[0, 0] < 0

    def test_has_no_volume_without_a_read_or_a_baseline(self):
        found = allocate(energy([[NAN, 1.0, 1.0]], [[2.0, NAN, 2.0]], [[4.0, 4.0, NAN]]))

        np.testing.assert_array_equal(found.deviation_kwh, [[NAN, NAN, 1.0]])
        np.testing.assert_array_equal(found.filed_mwh, [[NAN, NAN, 10.0]])
        np.testing.assert_array_equal(found.supplier_kwh, [[-4.0, -4.0, NAN]])
        assert found.residual_kwh == 0

    def test_turns_up_with_a_negative_volume(self):
        found = allocate(energy([[3.5]], [[0.4]], [[4.1]]))

        assert found.deviation_kwh.tolist() == [[-3.1]]
        assert found.supplier_kwh.tolist() == [[-1.0]]

    def test_reduces_what_the_meter_does_not_support(self):
        """A 7 kW charger could not have drawn 5 kWh in a half-hour, nor exported 1."""
        found = allocate(energy([[0.5], [0.5], [0.5]], [[5.0], [-1.0], [3.5]], max_import=7.0))

        np.testing.assert_array_equal(found.deviation_kwh, [[3.0], [-0.5], [3.0]])
        assert found.is_limited.tolist() == [[True], [True], [False]]

    def test_supports_export_where_there_is_a_meter_for_it(self):
        found = allocate(energy([[-2.0]], [[-1.0]], max_import=7.0, max_export=7.0))

        assert found.deviation_kwh.tolist() == [[1.0]]
        assert not found.is_limited.any()

    def test_gives_each_site_its_own_assets_whoever_acts_for_them(self):
        found = allocate(energy([[0], [1], [2]], [[1], [1], [4]], [[5], [7]], boundary=[1, 0, 1]))

        assert found.secondary_kwh.tolist() == [[0.0], [3.0]]
        assert found.supplier_kwh.tolist() == [[-5.0], [-10.0]]

    def test_is_of_four_decimals_of_a_kwh_before_it_is_of_a_megawatt_hour(self):
        found = allocate(energy([[0.1]], [[0.3]]))

        assert found.deviation_kwh.tolist() == [[0.2]]

    @pytest.mark.parametrize(
        "change",
        [
            {"metered_kwh": np.zeros((2, 2))},
            {"boundary": np.array([1])},
            {"boundary": np.array([-1])},
            {"boundary_ids": ("a", "a")},
            {"max_export_kw": np.array([-1.0])},
            {"baseline_kwh": np.array([[np.inf]])},
        ],
    )
    def test_refuses_what_does_not_fit(self, change):
        good = energy([[1.0]], [[1.0]])
        fields = {name: getattr(good, name) for name in good.__slots__}
        with pytest.raises(InvalidAllocation):
            AssetEnergy(**{**fields, **change})

    @given(data=st.data(), n_boundary=st.integers(1, 4), n_asset=st.integers(0, 12), n_period=st.integers(1, 4))
    def test_supplier_and_secondary_are_the_boundary_to_the_last_digit(self, data, n_boundary, n_asset, n_period):
        quanta = st.integers(-(10**7), 10**7) | st.none()

        def kwh(n_row: int) -> list[list[float]]:
            drawn = data.draw(st.lists(quanta, min_size=n_row * n_period, max_size=n_row * n_period))
            values = [NAN if one is None else one / 10_000 for one in drawn]
            return np.array(values, dtype=np.float64).reshape(n_row, n_period).tolist()

        boundary_kwh = kwh(n_boundary)
        asked = AssetEnergy(
            asset_ids=tuple(str(index) for index in range(n_asset)),
            boundary_ids=tuple(str(index) for index in range(n_boundary)),
            boundary=np.array(
                data.draw(st.lists(st.integers(0, n_boundary - 1), min_size=n_asset, max_size=n_asset)), dtype=np.int64
            ),
            metered_kwh=np.array(kwh(n_asset)).reshape(n_asset, n_period),
            baseline_kwh=np.array(kwh(n_asset)).reshape(n_asset, n_period),
            boundary_kwh=np.array(boundary_kwh),
            max_import_kw=np.full(n_asset, data.draw(st.sampled_from([0.0, 7.36, 1e6]))),
            max_export_kw=np.full(n_asset, data.draw(st.sampled_from([0.0, 1e6]))),
        )
        found = allocate(asked)

        def tenths(kwh_of: np.ndarray) -> list[int | None]:
            return [None if np.isnan(one) else round(one * 10_000) for one in kwh_of.ravel()]

        filed = np.zeros((n_boundary, n_period), dtype=np.int64)
        np.add.at(filed, asked.boundary, np.nan_to_num(found.filed_mwh).astype(np.int64) * 1000)
        for supplier, secondary, boundary, sent in zip(
            tenths(found.supplier_kwh),
            tenths(found.secondary_kwh),
            tenths(np.array(boundary_kwh)),
            filed.ravel().tolist(),
            strict=True,
        ):
            assert secondary == sent
            assert supplier is None if boundary is None else supplier + secondary == -boundary
        exact = sum(one for one in tenths(found.deviation_kwh) if one is not None)
        assert int(found.residual_kwh * 10_000) + int(filed.sum()) == exact


class TestCompensation:
    def test_gives_the_worked_figures(self):
        owed = compensation_gbp(Decimal("3.1"), Decimal("98.53"))

        assert owed == Decimal("305.44")
        assert contribution_gbp(owed, Decimal("0.18")) == Decimal("54.98")
        assert at_gsp_mwh(Decimal("3.1"), Decimal("1.085")) == Decimal("3.3635")

    @pytest.mark.parametrize(
        ("mwh", "gbp", "rate"),
        [
            ("3113", "271454.63", "87.20"),
            ("3119", "307312.92", "98.53"),
            ("209471.24", "18898688", "90.22"),
        ],
    )
    def test_implies_the_published_rates(self, mwh, gbp, rate):
        assert implied_rate_gbp_per_mwh(Decimal(gbp), Decimal(mwh)) == Decimal(rate)

    def test_refuses_what_cannot_be(self):
        with pytest.raises(InvalidCompensation):
            at_gsp_mwh(Decimal(1), Decimal(0))
        with pytest.raises(InvalidCompensation):
            contribution_gbp(Decimal(1), Decimal("1.01"))
        with pytest.raises(InvalidCompensation):
            implied_rate_gbp_per_mwh(Decimal(1), Decimal(0))
