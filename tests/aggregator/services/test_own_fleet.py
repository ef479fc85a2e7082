"""What one of several DSRSPs may register: its own, and a consumer's switch to itself; nothing of anybody else's."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from aggregator.core.registration import Registration, RegistrationRefused
from aggregator.models import EVSE, Enrolment, EvseIdentity, Meter, NetworkNode, Organisation
from aggregator.services.own_fleet import check_own_registrations, register_own_fleet, row_kinds
from tests.factories import LONG_AGO, make_csms, make_evse, make_feeder, make_node, make_organisation

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 6, 1, tzinfo=UTC)
SOON = NOW + timedelta(days=30)


def row(evse_id="e1", line=2, **stated):
    plain = {"csms": "csms", "dsrsp": "first", "node": "f-A", "rated_kw": 7.4}
    return Registration(line, evse_id, **{**plain, **stated})


def switch(**stated):
    return row(**{"enrolled_from": SOON, "consent_evidence": "form 7", **stated})


def register(*rows, now=NOW):
    sha256 = hashlib.sha256(str(rows).encode()).hexdigest()
    return register_own_fleet(organisation=first(), rows=rows, source="fleet.csv", sha256=sha256, now=now)


def first() -> Organisation:
    return make_organisation("first")


def errors(*rows):
    with pytest.raises(RegistrationRefused) as refused:
        register(*rows)
    checked = check_own_registrations(organisation=first(), rows=rows, now=NOW)
    assert refused.value.errors == checked
    return [(error.line, error.column) for error in checked]


def others_evse(**made) -> EVSE:
    return make_evse("e1", node=make_node_a(), dsrsp=make_organisation("second"), **made)


def make_node_a() -> NetworkNode:
    return NetworkNode.objects.get(code="f-A")


@pytest.fixture(autouse=True)
def surroundings():
    make_csms()
    first()
    make_organisation("second")
    make_feeder("f")
    make_node("elsewhere")


class TestRegisterOwnFleet:
    def test_registers_new_evses(self):
        assert register(row(), row("e2", 3)).n_accepted == 2
        assert EVSE.objects.for_tenant(first()).count() == 2

    def test_registers_for_nobody_else(self):
        assert errors(row(dsrsp="second"), row("e2", 3)) == [(2, "dsrsp")]
        assert not EVSE.objects.across_tenants().exists()

    def test_makes_no_csms_and_no_dsrsp(self):
        assert errors(row(csms="unheard-of")) == [(2, "csms")]

    def test_takes_a_switch_with_evidence_from_its_time_on(self):
        evse = others_evse()

        register(switch(rated_kw=22.0, phases=3, node="f", firmware="theirs"))

        held = Enrolment.objects.across_tenants().filter(evse=evse).order_by("starts_at")
        assert [(one.dsrsp.code, one.starts_at, one.ends_at) for one in held] == [
            ("second", LONG_AGO, SOON),
            ("first", SOON, None),
        ]
        evse.refresh_from_db()
        assert (evse.rated_kw, evse.node.code, evse.firmware) == (7.4, "f-A", "")
        assert Meter.objects.across_tenants().get(evse=evse).organisation.code == "second"

    def test_finds_what_it_switched_to_itself_as_its_own_afterwards(self):
        evse = others_evse()
        register(switch())

        register(row(rated_kw=11.0, enrolled_from=SOON), now=SOON + timedelta(days=1))

        evse.refresh_from_db()
        assert evse.rated_kw == 11.0
        assert Meter.objects.across_tenants().get(evse=evse).organisation == first()

    @pytest.mark.parametrize(
        ("stated", "column"),
        [
            ({"consent_evidence": ""}, "consent_evidence"),
            ({"enrolled_from": NOW - timedelta(days=1)}, "enrolled_from"),
            ({"enrolled_from": None}, "enrolled_from"),
        ],
    )
    def test_takes_nobody_s_evse_without_evidence_or_in_the_past(self, stated, column):
        evse = others_evse()

        assert (2, column) in errors(switch(**stated))
        assert Enrolment.objects.across_tenants().get(evse=evse).ends_at is None

    def test_does_not_rewrite_a_time_an_evse_was_with_another(self):
        evse = others_evse(enrolled_to=NOW - timedelta(days=10))
        register(row())

        assert errors(row(enrolled_from=NOW - timedelta(days=20)))
        assert Enrolment.objects.across_tenants().filter(evse=evse).count() == 2

    def test_says_nothing_of_what_is_stored_of_another_s(self):
        evse = others_evse()

        checked = check_own_registrations(organisation=first(), rows=(switch(meter_id="mine"),), now=NOW)

        assert [(error.line, error.column) for error in checked] == [(2, "meter_id")]
        assert evse.meter.code not in str(checked)

    def test_takes_no_evse_of_another_s_into_a_file_of_its_own(self):
        others_evse()

        assert errors(row("e2", 2, meter_id="e1-meter")) == [(2, "meter_id")]
        assert EvseIdentity.objects.across_tenants().count() == 1

    def test_keeps_its_own_until_it_leaves(self):
        evse = make_evse("e1", node=make_node_a(), dsrsp=first(), enrolled_to=SOON)
        Enrolment(
            evse=evse, dsrsp=make_organisation("second"), starts_at=SOON, consented_at=NOW, services=["routine"]
        ).save()

        register(row(rated_kw=11.0))

        evse.refresh_from_db()
        assert evse.rated_kw == 11.0


class TestRowKinds:
    def test_tells_new_changed_switching_and_unchanged(self):
        make_evse("same", node=make_node_a(), dsrsp=first())
        make_evse("other-rating", node=make_node_a(), dsrsp=first())
        make_evse("ending", node=make_node_a(), dsrsp=first())
        make_evse("theirs", node=make_node_a(), dsrsp=make_organisation("second"))
        rows = (
            row("same", 2),
            row("other-rating", 3, rated_kw=11.0),
            row("theirs", 4, enrolled_from=SOON),
            row("unheard-of", 5),
            row("ending", 6, enrolled_from=LONG_AGO, enrolled_to=SOON),
            row("unheard-of", 7, enrolled_from=SOON),
        )

        kinds = row_kinds(organisation=first(), rows=rows, now=NOW)

        assert kinds == {2: "unchanged", 3: "changed", 4: "switching", 5: "new", 6: "changed", 7: "changed"}

    def test_say_what_registering_does(self):
        make_evse("same", node=make_node_a(), dsrsp=first())
        rows = (row("same", 2), row("new", 3))
        kinds = row_kinds(organisation=first(), rows=rows, now=NOW)

        result = register(*rows)

        assert result.n_accepted == sum(kind != "unchanged" for kind in kinds.values())
        assert result.n_duplicate == sum(kind == "unchanged" for kind in kinds.values())
