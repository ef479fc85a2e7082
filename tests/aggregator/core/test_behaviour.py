from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.core.behaviour import Behaviour, InvalidBehaviour, InvalidDelay, draw_behaviour, randomised_delay_s
from aggregator.core.sessions import SessionHistory
from tests.sessions import histories, permuted

AT = np.datetime64("2026-01-15T23:30:00")
SESSIONS = histories(from_=datetime(2026, 3, 28, 12, tzinfo=UTC), days=2)


def fleet(n_evse: int, per_evse: int) -> SessionHistory:
    n = n_evse * per_evse
    plug_in_at = np.tile(AT.astype("datetime64[s]") + np.arange(per_evse) * np.timedelta64(86_400, "s"), n_evse)
    plug_out_at = plug_in_at + np.timedelta64(36_000, "s")
    evse = np.repeat(np.arange(n_evse), per_evse)
    ids = np.array([f"VEVSE-{index:04d}" for index in range(n_evse)])
    session_ids = np.array([f"s{index}" for index in range(n)])
    return SessionHistory(ids, session_ids, evse, plug_in_at, plug_out_at, np.full(n, 9.0), plug_out_at)


class TestRandomisedDelay:
    @pytest.mark.parametrize(("max_s", "draws"), [(600, [514, 248, 582]), (1800, [1649, 146, 1234])])
    def test_gives_the_reproducible_draw(self, max_s, draws):
        assert [randomised_delay_s(f"VEVSE-000{index}", AT, max_s) for index in (1, 2, 3)] == draws

    def test_does_not_depend_on_the_unit_of_the_time(self):
        assert randomised_delay_s("VEVSE-0001", AT.astype("datetime64[us]")) == 514

    def test_is_0_when_switched_off(self):
        assert randomised_delay_s("VEVSE-0001", AT, 0) == 0

    @pytest.mark.parametrize("max_s", [-1, 1801])
    def test_refuses_a_maximum_outside_the_regulation(self, max_s):
        with pytest.raises(InvalidDelay):
            randomised_delay_s("VEVSE-0001", AT, max_s)

    def test_is_uniform_over_a_fleet(self):
        draws = np.array([randomised_delay_s(f"VEVSE-{index:05d}", AT) for index in range(6010)])

        assert 0 <= draws.min() <= draws.max() <= 600
        in_fifths = np.histogram(draws, bins=np.linspace(0, 601, 6))[0]
        # 1,202 expected in each; 4 standard deviations of a binomial count are 124.
        assert np.abs(in_fifths - 1202).max() < 124


class TestDrawBehaviour:
    def test_follows_its_rates_over_a_large_fleet(self):
        sessions = fleet(2000, 20)

        draws = draw_behaviour(sessions, behaviour=Behaviour(), seed=7)

        overridden = ~np.isnat(draws.override_at)
        assert draws.is_absent.mean() == pytest.approx(0.05, abs=0.005)
        assert overridden.mean() == pytest.approx(Behaviour().mean_override_rate * 0.95, abs=0.003)
        never = ~overridden.reshape(2000, 20).any(axis=1)
        assert never.mean() > 0.40
        assert not (overridden & draws.is_absent).any()

    def test_keeps_the_prior_of_the_trial(self):
        often = Behaviour().often_rate
        taken_for_once_or_never = (1 - often) ** 200 + 200 * often * (1 - often) ** 199
        with_one_percent_less = (1.01 - often) ** 200 + 200 * (often - 0.01) * (1.01 - often) ** 199

        assert taken_for_once_or_never < 0.05 < with_one_percent_less
        assert Behaviour().mean_override_rate == pytest.approx(0.15 / 200 + 0.45 * 0.03)

    @given(sessions=SESSIONS, seed=st.integers(0, 5), data=st.data())
    def test_does_not_depend_on_order_or_company(self, sessions, seed, data):
        behaviour = Behaviour(never_share=0.2, often_rate=0.5, no_show_rate=0.3)
        order = np.array(data.draw(st.permutations(range(len(sessions)))), dtype=np.int64)
        half = order[: len(order) // 2]

        whole = draw_behaviour(sessions, behaviour=behaviour, seed=seed)
        part = draw_behaviour(permuted(sessions, half), behaviour=behaviour, seed=seed)

        np.testing.assert_array_equal(part.is_absent, whole.is_absent[half])
        np.testing.assert_array_equal(part.override_at, whole.override_at[half])

    @given(sessions=SESSIONS)
    def test_overrides_soon_after_plug_in_and_inside_the_session(self, sessions):
        behaviour = Behaviour(never_share=0.0, rarely_share=0.0, often_rate=1.0, no_show_rate=0.0)

        draws = draw_behaviour(sessions, behaviour=behaviour, seed=1)

        assert (draws.override_at >= sessions.plug_in_at).all()
        assert (draws.override_at < sessions.plug_out_at).all()
        assert (draws.override_at <= sessions.plug_in_at + np.timedelta64(3600, "s")).all()

    def test_changes_with_the_seed(self):
        sessions = fleet(50, 20)
        first, second = (draw_behaviour(sessions, behaviour=Behaviour(), seed=seed).is_absent for seed in (1, 2))

        assert (first != second).any()


class TestBehaviour:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"no_show_rate": 1.1},
            {"often_rate": -0.1},
            {"never_share": 0.9, "rarely_share": 0.2},
            {"override_within_s": -1},
        ],
    )
    def test_refuses_rates_that_cannot_be(self, wrong):
        with pytest.raises(InvalidBehaviour):
            Behaviour(**wrong)
