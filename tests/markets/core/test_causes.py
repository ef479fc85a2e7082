import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.core.causes import (
    CAUSES,
    EvseFacts,
    InvalidCauseInputs,
    plugs_changed,
    shortfall_causes,
    unplugged_notes,
)

NAN = np.nan


def facts(metered, *, told=0.0, planned=0.0, rated=3.68, plugged=1.0, full=False, unit=None) -> EvseFacts:
    metered_kwh = np.array(metered, dtype=np.float64)

    def like(value) -> np.ndarray:
        return np.broadcast_to(np.array(value, dtype=np.float64), metered_kwh.shape).copy()

    return EvseFacts(
        unit=np.zeros(len(metered_kwh), dtype=np.int64) if unit is None else np.array(unit),
        metered_kwh=metered_kwh,
        told_kwh=like(told),
        planned_kwh=like(planned),
        rated_kwh=np.full(len(metered_kwh), rated),
        plugged_share=like(plugged),
        is_node_full=like(full).astype(np.bool_),
    )


def parts(found, unit=0, period=0) -> dict[str, float]:
    """What each cause is given, without those that are given nothing."""
    return {
        cause: float(found.cause_kwh[at, unit, period])
        for at, cause in enumerate(CAUSES)
        if found.cause_kwh[at, unit, period]
    }


def down(told: EvseFacts, ordered, delivered):
    return shortfall_causes(told, np.array(ordered, float), np.array(delivered, float), "turn_down")


def up(told: EvseFacts, ordered, delivered):
    return shortfall_causes(told, np.array(ordered, float), np.array(delivered, float), "turn_up")


class TestTurnDown:
    def test_is_an_override_where_an_evse_drew_above_what_it_was_told(self):
        found = down(facts([[3.68], [0.0]]), [[7.0]], [[3.32]])

        assert parts(found) == {"override": 3.68}
        assert found.main_cause(0, 0) == "override"
        assert found.n_evse[CAUSES.index("override"), 0, 0] == 1

    def test_is_offline_where_nothing_was_ever_issued(self):
        assert parts(down(facts([[3.0]], told=NAN), [[3.0]], [[0.0]])) == {"offline": 3.0}

    def test_is_missing_reads_for_what_obedience_does_not_explain(self):
        found = down(facts([[NAN], [1.0]]), [[5.0]], [[2.0]])

        assert parts(found) == {"override": 1.0, "missing_reads": 2.0}
        assert found.main_cause(0, 0) == "missing_reads"

    def test_is_another_cause_where_everybody_obeyed_and_was_read(self):
        assert parts(down(facts([[0.0]]), [[5.0]], [[4.0]])) == {"other": 1.0}

    def test_shares_a_smaller_shortfall_pro_rata(self):
        told = facts([[3.0], [1.0]], told=[[0.0], [NAN]])

        assert parts(down(told, [[2.0]], [[0.0]])) == {"override": 1.5, "offline": 0.5}

    def test_leaves_no_quantum_over(self):
        told = facts([[1.0], [1.0], [1.0]], told=[[0.0], [NAN], [0.0]])
        found = down(told, [[0.0001]], [[0.0]])

        assert sum(parts(found).values()) == 0.0001

    def test_names_nothing_where_nothing_fell_short(self):
        found = down(facts([[3.68]]), [[2.0]], [[2.5]])

        assert parts(found) == {}
        assert found.main_cause(0, 0) == ""
        assert found.n_evse[CAUSES.index("override"), 0, 0] == 1

    def test_lets_a_meter_be_off_by_what_meters_are(self):
        assert parts(down(facts([[0.01], [2.04]], told=[[0.0], [2.0]]), [[1.0]], [[0.0]])) == {"other": 1.0}

    def test_explains_the_worked_override(self):
        """One EVSE of 7.36 kW under a cap of 3.68 overrides a turn-down to 0: 1.84 kWh short, by the override."""
        found = down(facts([[1.84]], told=0.0), [[1.84]], [[0.0]])

        assert parts(found) == {"override": 1.84}

    def test_keeps_units_apart(self):
        found = down(facts([[3.0], [0.0]], unit=[1, 0]), [[1.0], [3.0]], [[0.5], [0.0]])

        assert parts(found, unit=0) == {"other": 0.5}
        assert parts(found, unit=1) == {"override": 3.0}


class TestTurnUp:
    def test_is_unplugged_for_the_time_without_a_car(self):
        told = facts([[0.0], [1.84]], told=3.68, planned=3.68, plugged=[[0.0], [0.5]])

        assert parts(up(told, [[7.36]], [[1.84]])) == {"unplugged": 5.52}

    def test_is_the_network_where_it_drew_all_it_was_allowed_below_a_full_node(self):
        """NESO's turn-up to 7.36 kW displaced by a feeder cap of 3.68: 1.84 kWh."""
        told = facts([[1.84]], told=1.84, planned=1.84, rated=3.68, full=True)

        assert parts(up(told, [[3.68]], [[1.84]])) == {"network_limit": 1.84}

    def test_is_offline_where_nothing_was_issued_and_override_where_it_was(self):
        told = facts([[0.0], [0.0]], told=[[NAN], [3.0]], planned=3.0)

        assert parts(up(told, [[6.0]], [[0.0]])) == {"offline": 3.0, "override": 3.0}


class TestShortfallCauses:
    @given(data=st.data(), direction=st.sampled_from(["turn_down", "turn_up"]))
    def test_parts_every_shortfall_without_a_rest_in_any_order_of_evses(self, data, direction):
        n_unit, n_evse, n_period = 2, data.draw(st.integers(0, 6)), 2
        kwh = st.integers(0, 40_000).map(lambda one: one / 10_000)

        def table(values, n_row) -> np.ndarray:
            drawn = data.draw(st.lists(values, min_size=n_row * n_period, max_size=n_row * n_period))
            return np.array(drawn, dtype=np.float64).reshape(n_row, n_period)

        known = EvseFacts(
            unit=np.array(data.draw(st.lists(st.integers(0, 1), min_size=n_evse, max_size=n_evse)), dtype=np.int64),
            metered_kwh=table(kwh | st.just(NAN), n_evse),
            told_kwh=table(kwh | st.just(NAN), n_evse),
            planned_kwh=table(kwh | st.just(NAN), n_evse),
            rated_kwh=np.full(n_evse, 3.68),
            plugged_share=table(st.floats(0, 1), n_evse),
            is_node_full=table(st.booleans(), n_evse).astype(np.bool_),
        )
        ordered, delivered = table(kwh, n_unit), table(kwh.map(lambda one: one - 1), n_unit)
        found = shortfall_causes(known, ordered, delivered, direction)

        quanta = np.round(found.cause_kwh * 10_000).astype(np.int64)
        expected = np.maximum(np.round(ordered * 10_000) - np.round(delivered * 10_000), 0).astype(np.int64)
        assert quanta.min(initial=0) >= 0
        assert quanta.sum(axis=0).tolist() == expected.tolist()
        order = np.array(data.draw(st.permutations(range(n_evse))), dtype=np.int64)
        fields = {name: getattr(known, name)[order] for name in EvseFacts.__slots__}
        again = shortfall_causes(EvseFacts(**fields), ordered, delivered, direction)
        assert again.cause_kwh.tolist() == found.cause_kwh.tolist()

    def test_refuses_shapes_that_do_not_fit(self):
        with pytest.raises(InvalidCauseInputs):
            down(facts([[1.0]]), [[1.0, 2.0]], [[1.0, 2.0]])
        with pytest.raises(InvalidCauseInputs):
            down(facts([[1.0]], unit=[3]), [[1.0]], [[1.0]])
        with pytest.raises(InvalidCauseInputs):
            facts([[1.0]], plugged=1.5)


class TestPlugsChanged:
    NOTICE, END = np.array(["2026-01-14T17:45"], "datetime64[s]"), np.array(["2026-01-14T20:00"], "datetime64[s]")

    @pytest.mark.parametrize(
        ("plug_in", "plug_out", "found"),
        [
            ("16:00", "18:30", True),
            ("16:00", "17:45", True),
            ("16:00", "17:44", False),  # gone before anybody was told
            ("16:00", "20:00", False),  # there to the end
            ("17:50", "18:30", False),  # came after the notice
        ],
    )
    def test_flags_who_left_inside_the_notice(self, plug_in, plug_out, found):
        at = [np.array([f"2026-01-14T{clock}"], "datetime64[s]") for clock in (plug_in, plug_out)]
        changed = plugs_changed(np.array([1]), *at, notice_at=self.NOTICE, ends_at=self.END, n_evse=2)

        assert changed.tolist() == [False, found]

    def test_is_told_by_unit(self):
        (note,) = unplugged_notes(("amber", "blue"), np.array([0, 1, 1]), np.array([False, True, True]))

        assert (note.code, note.subject, note.details) == ("delivered.unplugged_in_notice", "blue", {"n_evse": 2})
