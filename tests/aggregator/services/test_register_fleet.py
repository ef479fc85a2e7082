"""EVSEs, who they are, and whose they are when."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from aggregator.core.registration import Registration, RegistrationRefused
from aggregator.models import CSMS, EVSE, Batch, Enrolment, EvseIdentity, Meter, Organisation
from aggregator.services.fleet_checks import check_registrations
from aggregator.services.register_fleet import register_fleet
from tests.factories import make_csms, make_dno, make_feeder, make_meter, make_organisation

pytestmark = pytest.mark.django_db
NOW = datetime(2024, 6, 1, tzinfo=UTC)
START = datetime(2020, 1, 1, tzinfo=UTC)
LATER = datetime(2022, 1, 1, tzinfo=UTC)


def row(evse_id="e1", line=2, **stated):
    return Registration(line, evse_id, **{"csms": "csms", "dsrsp": "first", "node": "f", "rated_kw": 7.4, **stated})


def register(*rows, now=NOW, sha256="a", **options):
    organisation = make_organisation("platform", "platform")
    return register_fleet(organisation=organisation, rows=rows, source="evses.csv", sha256=sha256, now=now, **options)


def enrolments(ref="e1"):
    rows = Enrolment.objects.across_tenants().filter(evse__identity__csms_ref=ref).order_by("starts_at")
    return [(row.dsrsp.code, row.starts_at, row.ends_at) for row in rows]


def errors(*rows, **options):
    with pytest.raises(RegistrationRefused) as refused:
        register(*rows, sha256="refused", **options)
    return {(error.line, error.column) for error in refused.value.errors}


@pytest.fixture(autouse=True)
def surroundings():
    make_csms()
    make_organisation("first")
    make_organisation("second")
    make_feeder("f")


class TestRegisterFleet:
    def test_makes_evse_meter_identity_and_enrolment(self):
        result = register(row(phase="B", enrolled_from=START, services=("routine", "response"), firmware="1.2"))

        assert (result.n_accepted, result.n_duplicate) == (1, 0)
        evse = EVSE.objects.for_tenant(make_organisation("first")).get()
        assert (evse.node.code, evse.rated_kw, evse.firmware) == ("f-B", 7.4, "1.2")
        assert (evse.meter.code, evse.meter.kind, evse.meter.organisation.code) == ("csms-e1", "asset", "first")
        assert evse.pseudonym.startswith("evse_")
        assert enrolments() == [("first", START, None)]

    def test_changes_nothing_the_second_time(self):
        rows = (row(), row("e2", 3, enrolled_from=START))
        register(*rows)
        before = [list(model.objects.across_tenants().values()) for model in (EVSE, Meter, Enrolment, EvseIdentity)]

        again = register(*rows, now=NOW + timedelta(days=1))

        assert (again.n_accepted, again.n_duplicate) == (0, 2)
        after = [list(model.objects.across_tenants().values()) for model in (EVSE, Meter, Enrolment, EvseIdentity)]
        assert after == before

    def test_switches_the_dsrsp_without_a_new_evse(self):
        register(row(enrolled_from=START))
        evse = EVSE.objects.across_tenants().get()

        result = register(row(dsrsp="second", enrolled_from=LATER), sha256="b")

        assert result.n_revised == 1
        assert EVSE.objects.across_tenants().get() == evse
        assert enrolments() == [("first", START, LATER), ("second", LATER, None)]
        assert Meter.objects.across_tenants().get().organisation.code == "second"

    def test_does_not_switch_back_when_the_old_file_comes_again(self):
        register(row())
        register(row(dsrsp="second", enrolled_from=NOW + timedelta(days=1)), sha256="b")

        register(row(), now=NOW + timedelta(days=2))

        assert [code for code, _, _ in enrolments()] == ["first", "second"]

    def test_takes_a_switch_within_one_file_in_any_order(self):
        register(row(line=2, dsrsp="second", enrolled_from=LATER), row(line=3, enrolled_from=START))

        assert enrolments() == [("first", START, LATER), ("second", LATER, None)]
        assert Meter.objects.across_tenants().get().organisation.code == "second"

    def test_records_an_end_that_is_stated_later(self):
        register(row(enrolled_from=START))

        result = register(row(enrolled_from=START, enrolled_to=LATER), sha256="b")

        assert result.n_revised == 1
        assert enrolments() == [("first", START, LATER)]

    def test_takes_an_earlier_enrolment_without_handing_the_meter_back(self):
        register(row(enrolled_from=LATER))

        register(row(dsrsp="second", enrolled_from=START, enrolled_to=LATER), sha256="b")

        assert enrolments() == [("second", START, LATER), ("first", LATER, None)]
        assert Meter.objects.across_tenants().get().organisation.code == "first"

    def test_brings_a_known_evse_up_to_date(self):
        register(row(enrolled_from=START))

        result = register(row(enrolled_from=START, rated_kw=11.0, phase="A", amsid="1234567890123"), sha256="b")

        assert result.n_revised == 1
        evse = EVSE.objects.across_tenants().get()
        assert (evse.rated_kw, evse.node.code, evse.meter.node.code) == (11.0, "f-A", "f-A")
        assert evse.identity.amsid == "1234567890123"

    def test_registers_dsrsps_and_csmss_only_when_told(self):
        fresh = row(dsrsp="fresh", csms="new")
        assert errors(fresh) == {(2, "dsrsp"), (2, "csms")}
        assert not CSMS.objects.filter(code="new").exists()

        register(fresh, register_new=True)

        assert Organisation.objects.get(code="fresh").kind == "dsrsp"
        assert CSMS.objects.filter(code="new").exists()

    @pytest.mark.parametrize(
        ("bad", "column"),
        [
            (row(dsrsp="nobody"), "dsrsp"),
            (row(dsrsp="dno"), "dsrsp"),
            (row(csms="nobody"), "csms"),
            (row(node="nowhere"), "node"),
            (row(node="f-up"), "node"),
            (row(node="f-A", phases=3, rated_kw=11.0), "node"),
            (row(node="f-A", phase="B"), "phase"),
            (row(phase="A", phases=3, rated_kw=11.0), "phase"),
            (row(meter_id="taken"), "meter_id"),
            (row(min_current_a=40.0), "min_current_a"),
            (row(enrolled_from=LATER, enrolled_to=START), "enrolled_to"),
            (row(enrolled_to=LATER), "enrolled_from"),
            (row(enrolled_from=START, consented_at=LATER), "consented_at"),
        ],
    )
    def test_refuses_a_bad_row_and_keeps_none_of_the_others(self, bad, column):
        make_dno()
        make_meter("taken")

        assert errors(row("good", line=3), bad) == {(2, column)}
        assert not EVSE.objects.across_tenants().exists()
        assert not Batch.objects.exists()

    def test_refuses_rows_that_stand_in_each_others_way(self):
        assert errors(row(line=2, pseudonym="p"), row("e2", line=3, pseudonym="p")) == {(3, "pseudonym")}
        assert errors(row(line=2, meter_id="m"), row("e2", line=3, meter_id="m")) == {(3, "meter_id")}
        assert errors(row(line=2), row(line=3)) == {(3, "evse_id")}
        assert errors(
            row(line=2, enrolled_from=START, enrolled_to=NOW), row(line=3, dsrsp="second", enrolled_from=LATER)
        ) == {(3, "enrolled_from")}

    def test_refuses_two_dsrsps_at_once(self):
        register(row(enrolled_from=START, enrolled_to=NOW))

        assert errors(row(dsrsp="second", enrolled_from=LATER)) == {(2, "enrolled_from")}
        assert enrolments() == [("first", START, NOW)]

    def test_refuses_another_evses_pseudonym_and_an_exchange_of_meters(self):
        register(row(pseudonym="p", enrolled_from=START))

        assert errors(row("e2", pseudonym="p")) == {(2, "pseudonym")}
        assert errors(row(meter_id="other", enrolled_from=START)) == {(2, "meter_id")}

    def test_allows_the_minimum_current_of_three_phases_at_its_very_rating(self):
        assert register(row(phases=3, rated_kw=4.14)).n_accepted == 1


class TestCheckRegistrations:
    def test_names_every_error_by_line_and_changes_nothing(self):
        rows = (row("e2", 3, node="nowhere"), row("e1", 2, dsrsp="nobody", csms="nobody"))

        found = check_registrations(rows=rows, now=NOW)

        assert [(error.line, error.column) for error in found] == [(2, "dsrsp"), (2, "csms"), (3, "node")]
        assert not EVSE.objects.across_tenants().exists()

    def test_finds_nothing_wrong_with_what_can_be_registered(self):
        assert check_registrations(rows=(row(), replace(row(), line=3, evse_id="e2")), now=NOW) == ()
