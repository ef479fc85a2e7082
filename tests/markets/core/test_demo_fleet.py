from collections import Counter
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pytest

from markets.core.demo_calendar import DEMO_SEED
from markets.core.demo_fleet import DSRSPS, OFF_STREET, demo_fleet
from markets.core.demo_network import demo_network

NODES = demo_network(DEMO_SEED)
FLEET = demo_fleet(NODES, DEMO_SEED)
BY_CODE = {node.code: node for node in NODES}


class TestDemoFleet:
    def test_has_three_hundred_evses_with_ids_of_their_own(self):
        assert len(FLEET) == 300
        for ids in (FLEET.evse_ids, FLEET.meter_codes, FLEET.csms_refs):
            assert len(set(ids)) == 300

    def test_puts_at_most_one_off_street_evse_on_a_home(self):
        placed = Counter(FLEET.node_codes[FLEET.scenarios == OFF_STREET].tolist())
        for code, n_evse in placed.items():
            if BY_CODE[code].kind == "phase":
                assert n_evse <= BY_CODE[code].n_customers

    def test_hangs_three_phase_evses_on_feeders_and_single_phase_ones_on_phases_but_eight(self):
        kinds = np.array([BY_CODE[code].kind for code in FLEET.node_codes])
        assert set(kinds) == {"feeder", "phase"}
        assert set(kinds[FLEET.phases == 3]) == {"feeder"}
        assert ((FLEET.phases == 1) & (kinds == "feeder")).sum() == 8

    def test_rates_evses_at_16_a_or_32_a(self):
        ampere = FLEET.rated_kw / FLEET.phases / 0.23
        np.testing.assert_allclose(ampere, np.where(ampere < 24, 16, 32))
        assert (FLEET.rated_kw == 7.36).mean() > 0.8

    def test_enrols_every_evse_at_every_time_with_exactly_one_dsrsp_after_consent(self):
        by_evse: dict[int, list] = {}
        for enrolment in FLEET.enrolments:
            assert enrolment.consented_at < enrolment.starts_at
            by_evse.setdefault(enrolment.evse, []).append(enrolment)
        assert sorted(by_evse) == list(range(300))
        first_start = min(enrolment.starts_at for enrolment in FLEET.enrolments)
        for history in by_evse.values():
            assert history[0].starts_at == first_start
            assert history[-1].ends_at is None
            for earlier, later in pairwise(history):
                assert earlier.ends_at == later.starts_at
                assert earlier.dsrsp != later.dsrsp

    def test_lets_six_owners_change_their_dsrsp_in_the_history(self):
        moved = [enrolment.ends_at for enrolment in FLEET.enrolments if enrolment.ends_at]
        start = min(enrolment.starts_at for enrolment in FLEET.enrolments)
        assert len(moved) == 6
        assert all(timedelta(days=10) <= at - start < timedelta(days=65) for at in moved)

    def test_divides_the_fleet_about_sixty_to_forty(self):
        now = Counter(enrolment.dsrsp for enrolment in FLEET.enrolments if enrolment.ends_at is None)
        # Binomial: 300 at 0.6 has a standard deviation of 8.5.
        assert now[DSRSPS[0]] == pytest.approx(180, abs=26)
        assert sum(now.values()) == 300
