from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from aggregator.arrays.fleet import load_fleet
from aggregator.arrays.network import load_area
from aggregator.core.fleet import Fleet, group_fleet
from aggregator.models import NetworkNode
from tests.factories import make_enrolment, make_evse, make_feeder, make_node, make_organisation

pytestmark = pytest.mark.django_db

AT = datetime(2026, 1, 15, 12, tzinfo=UTC)
SWITCHED_AT = datetime(2026, 1, 10, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def fleet_of(root: NetworkNode, at: datetime = AT) -> Fleet:
    return load_fleet(area=load_area(root=root, starts_at=at, ends_at=at + timedelta(days=1)), at=at)


class TestLoadFleet:
    def test_reads_each_evse_with_its_own_facts_by_pseudonym(self):
        feeder = make_feeder("street")
        phase = feeder.children.get(phase="B")
        late = make_evse("z", node=phase, dsrsp=make_organisation("amber"), rated_kw=3.68)
        soon = make_evse("a", node=feeder, dsrsp=make_organisation("blue"), rated_kw=22.08, phases=3)

        fleet = fleet_of(feeder)

        assert fleet.evse_ids.tolist() == ["evse_a", "evse_z"]
        assert fleet.evse_pks.tolist() == [soon.pk, late.pk]
        assert fleet.meter_pks.tolist() == [soon.meter_id, late.meter_id]
        assert fleet.dsrsp_pks.tolist() == [make_organisation("blue").pk, make_organisation("amber").pk]
        assert fleet.node.tolist() == [0, 2]
        assert fleet.phases.tolist() == [3, 1]
        assert fleet.rated_kw.tolist() == [22.08, 3.68]
        assert fleet.min_current_a.tolist() == [6.0, 6.0]
        assert fleet.delay_max_s.tolist() == [600, 600]
        assert fleet.scenarios.tolist() == ["off_street_residential"] * 2

    def test_leaves_out_what_hangs_elsewhere(self):
        feeder = make_feeder("street")
        make_evse("other", node=make_node("elsewhere"))
        assert fleet_of(feeder).n_evse == 0

    def test_is_empty_without_crashing(self):
        fleet = fleet_of(make_feeder("street"))

        assert (fleet.n_evse, fleet.enrolled_on.dtype) == (0, np.dtype("datetime64[D]"))
        assert group_fleet(fleet).labels == ()

    def test_leaves_out_an_evse_that_nobody_has_enrolled(self):
        feeder = make_feeder("street")
        make_evse("free", node=feeder, enrolled_from=None)
        assert fleet_of(feeder).n_evse == 0

    @pytest.mark.parametrize(
        ("at", "dsrsp"),
        [(SWITCHED_AT - SECOND, "amber"), (SWITCHED_AT, "blue"), (SWITCHED_AT + SECOND, "blue")],
    )
    def test_gives_an_evse_to_whom_it_is_enrolled_with_then(self, at, dsrsp):
        feeder = make_feeder("street")
        evse = make_evse("home", node=feeder, dsrsp=make_organisation("amber"), enrolled_to=SWITCHED_AT)
        make_enrolment(evse, make_organisation("blue"), SWITCHED_AT)

        fleet = fleet_of(feeder, at)

        assert fleet.dsrsp_pks.tolist() == [make_organisation(dsrsp).pk]
        assert fleet.enrolled_on.tolist() == [date(2010, 1, 1)]

    @pytest.mark.parametrize(("ends_at", "n_evse"), [(AT, 0), (AT + SECOND, 1), (None, 1)])
    def test_counts_an_enrolment_until_it_ends(self, ends_at, n_evse):
        feeder = make_feeder("street")
        make_evse("home", node=feeder, enrolled_to=ends_at)
        assert fleet_of(feeder).n_evse == n_evse

    @pytest.mark.parametrize(("starts_at", "n_evse"), [(AT - SECOND, 1), (AT, 1), (AT + SECOND, 0)])
    def test_counts_an_enrolment_from_its_start(self, starts_at, n_evse):
        feeder = make_feeder("street")
        make_evse("home", node=feeder, enrolled_from=starts_at)
        assert fleet_of(feeder).n_evse == n_evse


class TestGroupFleet:
    def test_groups_by_dsrsp_and_scenario(self):
        feeder = make_feeder("street")
        for ref, code, scenario in (
            ("a", "amber", "off_street_residential"),
            ("b", "blue", "off_street_residential"),
            ("c", "amber", "on_street"),
            ("d", "amber", "off_street_residential"),
        ):
            evse = make_evse(ref, node=feeder, dsrsp=make_organisation(code))
            evse.scenario = scenario
            evse.save()

        fleet = fleet_of(feeder)
        groups = group_fleet(fleet)

        assert len(groups.labels) == 3
        assert groups.group[0] == groups.group[3]
        assert len(set(groups.group.tolist())) == 3
        for evse in range(fleet.n_evse):
            label = groups.labels[groups.group[evse]]
            assert label == f"{fleet.dsrsp_pks[evse]}/{fleet.scenarios[evse]}"
            assert groups.dsrsp_pks[groups.group[evse]] == fleet.dsrsp_pks[evse]
