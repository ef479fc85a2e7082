from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from aggregator.models import (
    EVSE,
    Batch,
    ChargingSession,
    Enrolment,
    Job,
    Meter,
    MeterDay,
    NetworkNode,
    NodeRating,
    Organisation,
)
from tests.factories import (
    make_csms,
    make_dno,
    make_evse,
    make_feeder,
    make_meter,
    make_node,
    make_organisation,
)

pytestmark = pytest.mark.django_db

START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = timedelta(days=1)


def day(n: int | None) -> datetime | None:
    return None if n is None else START + n * DAYS


def enrolment(evse: EVSE, dsrsp: Organisation, starts: int, ends: int | None) -> Enrolment:
    return Enrolment(
        evse=evse, dsrsp=dsrsp, starts_at=day(starts), ends_at=day(ends), consented_at=START - DAYS, services=[]
    )


def refused(name: str):
    """The database itself says no, by the constraint of this name."""
    return pytest.raises(IntegrityError, match=name)


OVERLAPS = [
    ((0, 10), (5, 15)),
    ((0, 10), (9, 10)),
    ((0, 10), (0, 10)),
    ((0, 10), (3, 4)),
    ((3, 4), (0, 10)),
    ((0, None), (50, 60)),
    ((0, None), (50, None)),
    ((50, None), (0, None)),
    ((50, None), (0, 51)),
]
NEIGHBOURS = [((0, 10), (10, 20)), ((10, 20), (0, 10)), ((0, 10), (10, None)), ((10, None), (0, 10)), ((0, 1), (5, 6))]


class TestEnrolment:
    @pytest.mark.parametrize(("first", "second"), OVERLAPS)
    @pytest.mark.parametrize("dsrsps", [("amber", "blue"), ("amber", "amber")])
    def test_forbids_two_at_once(self, first, second, dsrsps):
        evse = make_evse(enrolled_from=None)
        enrolment(evse, make_organisation(dsrsps[0]), *first).save()

        with refused("enrolment_one_dsrsp_at_a_time"), transaction.atomic():
            enrolment(evse, make_organisation(dsrsps[1]), *second).save()

        assert Enrolment.objects.across_tenants().filter(evse=evse).count() == 1

    @pytest.mark.parametrize(("first", "second"), OVERLAPS)
    def test_forbids_two_at_once_in_one_statement(self, first, second):
        evse, amber, blue = make_evse(enrolled_from=None), make_organisation("amber"), make_organisation("blue")

        with refused("enrolment_one_dsrsp_at_a_time"), transaction.atomic():
            Enrolment.objects.across_tenants().bulk_create(
                [enrolment(evse, amber, *first), enrolment(evse, blue, *second)]
            )

        assert not Enrolment.objects.across_tenants().filter(evse=evse).exists()

    @pytest.mark.parametrize(("first", "second"), NEIGHBOURS)
    def test_lets_one_follow_another(self, first, second):
        evse = make_evse(enrolled_from=None)
        enrolment(evse, make_organisation("amber"), *first).save()
        enrolment(evse, make_organisation("blue"), *second).save()

        assert Enrolment.objects.across_tenants().filter(evse=evse).count() == 2

    def test_says_nothing_of_another_evse(self):
        make_evse("one", enrolled_from=START)
        make_evse("two", enrolled_from=START)
        assert Enrolment.objects.across_tenants().count() == 2

    def test_forbids_to_prolong_one_into_the_next(self):
        evse = make_evse(enrolled_from=None)
        first = enrolment(evse, make_organisation("amber"), 0, 10)
        first.save()
        enrolment(evse, make_organisation("blue"), 10, None).save()
        first.ends_at = None
        with refused("enrolment_one_dsrsp_at_a_time"), transaction.atomic():
            first.save()

    @pytest.mark.parametrize(("starts", "ends"), [(5, 5), (5, 4)])
    def test_ends_after_it_starts(self, starts, ends):
        with pytest.raises(IntegrityError), transaction.atomic():
            enrolment(make_evse(enrolled_from=None), make_organisation(), starts, ends).save()

    def test_needs_consent_first(self):
        late = enrolment(make_evse(enrolled_from=None), make_organisation(), 0, None)
        late.consented_at = START + timedelta(seconds=1)
        with refused("enrolment_consent_first"), transaction.atomic():
            late.save()

    def test_needs_a_consent_at_all(self):
        unasked = enrolment(make_evse(enrolled_from=None), make_organisation(), 0, None)
        unasked.consented_at = None
        with refused("consented_at"), transaction.atomic():
            unasked.save()


class TestNodeRating:
    def rating(self, node: NetworkNode, starts: int, ends: int | None, **facts: float) -> NodeRating:
        return NodeRating(node=node, valid_from=day(starts), valid_to=day(ends), **{"rating_kva": 100.0, **facts})

    @pytest.mark.parametrize(("first", "second"), OVERLAPS)
    def test_forbids_two_at_once(self, first, second):
        node = make_node(rating_kva=None)
        self.rating(node, *first).save()
        with refused("rating_one_at_a_time"), transaction.atomic():
            self.rating(node, *second, rating_kva=50.0).save()

    @pytest.mark.parametrize(("first", "second"), NEIGHBOURS)
    def test_lets_one_follow_another(self, first, second):
        node = make_node(rating_kva=None)
        self.rating(node, *first).save()
        self.rating(node, *second).save()
        assert node.ratings.count() == 2

    @pytest.mark.parametrize(
        ("facts", "name"),
        [
            ({"rating_kva": 0.0}, "rating_positive"),
            ({"rating_kva": -5.0}, "rating_positive"),
            ({"power_factor": 0.0}, "rating_power_factor"),
            ({"power_factor": 1.01}, "rating_power_factor"),
            ({"power_factor": float("nan")}, "rating_power_factor"),
            ({"cyclic_factor": 0.0}, "rating_cyclic_factor"),
            ({"cyclic_factor": 2.5}, "rating_cyclic_factor"),
            ({"diversity": 0.0}, "rating_diversity"),
            ({"diversity": 1.5}, "rating_diversity"),
            ({"ramp_kw": -1.0}, "rating_ramp"),
        ],
    )
    def test_refuses_what_no_rating_is(self, facts, name):
        with refused(name), transaction.atomic():
            self.rating(make_node(rating_kva=None), 0, None, **facts).save()

    def test_ends_after_it_starts(self):
        with pytest.raises(IntegrityError), transaction.atomic():
            self.rating(make_node(rating_kva=None), 3, 3).save()


class TestNetworkNode:
    def node(self, **facts) -> NetworkNode:
        return NetworkNode(**{"code": "x", "kind": "feeder", "parent": None, "organisation": make_dno(), **facts})

    @pytest.mark.parametrize("kind", ["feeder", "phase"])
    def test_hangs_feeders_and_phases_on_something(self, kind):
        with refused("node_feeder_and_phase_have_parents"), transaction.atomic():
            self.node(kind=kind, phase="A" if kind == "phase" else "").save()

    @pytest.mark.parametrize(("kind", "phase"), [("phase", ""), ("phase", "D"), ("feeder", "A")])
    def test_names_the_phase_on_phases_only(self, kind, phase):
        with refused("node_phase_named_on_phases_only"), transaction.atomic():
            self.node(kind=kind, phase=phase, parent=make_node()).save()

    def test_has_each_phase_once(self):
        feeder = make_feeder("street")
        with refused("node_phase_once"), transaction.atomic():
            self.node(kind="phase", phase="A", parent=feeder).save()

    def test_does_not_hang_on_itself(self):
        node = make_node()
        node.parent = node
        with refused("node_not_its_own_parent"), transaction.atomic():
            node.save()

    def test_refuses_a_negative_demand(self):
        with refused("node_admd_not_negative"), transaction.atomic():
            self.node(kind="primary", admd_kw=-0.1).save()

    def test_has_a_code_of_its_own(self):
        make_node("twice")
        with refused("code"), transaction.atomic():
            self.node(kind="primary", code="twice").save()

    def test_keeps_what_others_hang_on(self):
        feeder = make_feeder("street")
        make_evse(node=feeder)
        with pytest.raises(ProtectedError):
            feeder.delete()


class TestEvse:
    @pytest.mark.parametrize(
        ("facts", "name"),
        [
            ({"phases": 2}, "evse_one_or_three_phases"),
            ({"phases": 0}, "evse_one_or_three_phases"),
            ({"rated_kw": 0.0}, "evse_rated_kw"),
            ({"rated_kw": -7.4}, "evse_rated_kw"),
            ({"rated_kw": 501.0}, "evse_rated_kw"),
            ({"rated_kw": float("nan")}, "evse_rated_kw"),
            ({"min_current_a": 5.9}, "evse_min_current"),
            ({"min_current_a": 81.0}, "evse_min_current"),
            ({"delay_max_s": 1801}, "evse_delay_max"),
        ],
    )
    def test_refuses_what_no_evse_is(self, facts, name):
        evse = make_evse()
        for field, value in facts.items():
            setattr(evse, field, value)
        with refused(name), transaction.atomic():
            evse.save()

    def test_has_a_meter_of_its_own(self):
        first, second = make_evse("one"), make_evse("two")
        second.meter = first.meter
        with refused("meter_id"), transaction.atomic():
            second.save()

    def test_has_a_name_that_says_nothing(self):
        names = {EVSE(rated_kw=7.4).pseudonym for _ in range(3)}
        assert len(names) == 3
        assert all(name.startswith("evse_") and len(name) == 37 for name in names)

    def test_goes_by_one_reference_at_a_csms(self):
        csms = make_csms()
        first, second = make_evse("one", csms=csms), make_evse("two", csms=csms)
        second.identity.csms_ref = first.identity.csms_ref
        with refused("identity_once_at_a_csms"), transaction.atomic():
            second.identity.save()


class TestFacts:
    """Rows of sessions, meters and jobs that cannot be meant."""

    def batch(self) -> Batch:
        return Batch.objects.create(
            kind="sessions", organisation=make_dno(), source="by hand", sha256="0" * 64, received_at=START
        )

    @pytest.mark.parametrize("energy_kwh", [-0.1, 1000.1, float("nan"), float("inf")])
    def test_refuses_an_impossible_energy(self, energy_kwh):
        with refused("session_energy"), transaction.atomic():
            self.session(energy_kwh=energy_kwh).save()

    @pytest.mark.parametrize("plug_out", [0, -1])
    def test_refuses_a_session_that_does_not_end(self, plug_out):
        with refused("session_ends_after_start"), transaction.atomic():
            self.session(plug_out_at=START + plug_out * DAYS).save()

    def test_keeps_a_session_once(self):
        evse = make_evse()
        self.session(evse=evse).save()
        with refused("session_once"), transaction.atomic():
            self.session(evse=evse).save()

    def session(self, **facts) -> ChargingSession:
        evse = facts.pop("evse", None) or make_evse()
        known = {
            "evse": evse,
            "organisation": make_organisation(),
            "session_ref": "s",
            "plug_in_at": START,
            "plug_out_at": START + DAYS,
            "energy_kwh": 5.0,
            "received_at": START,
            "batch": self.batch(),
        }
        return ChargingSession(**{**known, **facts})

    def test_refuses_a_meter_of_no_kind(self):
        with refused("meter_kind_known"), transaction.atomic():
            Meter(code="m", kind="gas", organisation=make_dno()).save()

    def test_refuses_an_organisation_of_no_kind(self):
        with refused("organisation_kind_known"), transaction.atomic():
            Organisation.objects.create(code="o", name="o", kind="bank")

    def test_refuses_a_job_in_no_state(self):
        with refused("job_state_known"), transaction.atomic():
            Job.objects.create(kind="x", state="asleep", due_at=START, created_at=START)

    def test_refuses_a_lease_without_an_end(self):
        with refused("job_lease_has_an_end"), transaction.atomic():
            Job.objects.create(kind="x", state="leased", due_at=START, created_at=START)

    def test_keeps_one_meter_day_of_a_batch(self):
        meter, batch = make_meter(), self.batch()
        row = {
            "day": date(2026, 1, 15),
            "meter": meter,
            "batch": batch,
            "organisation": meter.organisation,
            "received_at": timezone.now(),
            "energy_kwh": [0.5] * 48,
        }
        with transaction.get_connection().cursor() as cursor:
            cursor.execute("SELECT aggregator_meterday_partition(%s::date)", ["2026-01-15"])
        MeterDay(**row).save(force_insert=True)
        with pytest.raises(IntegrityError), transaction.atomic():
            MeterDay(**row).save(force_insert=True)
