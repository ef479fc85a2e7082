"""The baseline laboratory on stored readings: whose fleet, which days, and what is refused."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from aggregator.models import acting_for
from dispatch.models import TargetSignal
from markets.core.baseline_lab import TooFewLabDays
from markets.models import FlexEvent, Instruction, Product
from markets.services.baseline_lab import (
    InvalidLabAsked,
    LabAsked,
    LabFleetTooLarge,
    LabFleetTooSmall,
    days_to_show,
    lab_lines,
    run_baseline_lab,
)
from tests.factories import make_dno, make_enrolment, make_node, make_organisation
from tests.markets.builders import make_cycle
from tests.markets.lab_area import KNOWN_AT, LAST, make_lab_area

pytestmark = pytest.mark.django_db

MONDAY = date(2026, 1, 12)
ASKED = LabAsked(MONDAY, LAST)


def run(organisation, asked=ASKED, **options):
    with acting_for(organisation):
        return run_baseline_lab(organisation=organisation, asked=asked, as_of=KNOWN_AT, **options)


def line(result, name):
    return next(one for one in lab_lines(result) if one.method.name == name)


class TestRunBaselineLab:
    def test_tests_a_dsrsps_own_fleet(self):
        dsrsp, _, _ = make_lab_area()
        make_lab_area("voltway", n_evse=5)

        result = run(dsrsp)

        assert (result.n_evse, len(result.days)) == (8, 14)
        assert line(result, "rolling-10-in-10").fleet.rmse_kw == 0.0
        assert line(result, "rolling-10-in-10").fleet.metered_kw == 3.0
        assert line(result, "rolling-10-in-10").evse.rmse_kw > 2.0
        assert result.zero_days.mean_share == pytest.approx(0.5, abs=0.05)

    def test_tests_all_on_a_dnos_network_as_one_sum(self):
        dno = make_dno()
        make_lab_area(n_evse=4, dno=dno)
        make_lab_area("voltway", n_evse=6, dno=dno)
        make_lab_area("elsewhere", n_evse=6, dno=make_dno("other-dno"))

        assert run(dno).n_evse == 10

    def test_knows_only_what_had_been_received(self):
        dsrsp, _, _ = make_lab_area()

        with pytest.raises(TooFewLabDays):
            run_baseline_lab(organisation=dsrsp, asked=ASKED, as_of=KNOWN_AT - timedelta(days=1))

    def test_leaves_out_the_days_the_fleet_was_called_on(self):
        cycle = make_cycle(MONDAY)
        dsrsp, node, _ = make_lab_area("amber")
        signal = TargetSignal.objects.create(
            reference="CALL/1",
            node=node,
            direction="turn_down",
            kind="routine",
            target_kw=5,
            shortfall_gbp_per_kwh=1,
            issued_by=cycle.dno,
            received_at=datetime(2026, 1, 13, tzinfo=UTC),
            starts_at=datetime(2026, 1, 14, 17, tzinfo=UTC),
            ends_at=datetime(2026, 1, 14, 19, tzinfo=UTC),
        )
        event = FlexEvent.objects.create(product=Product.objects.first(), signal=signal, price_gbp_per_mwh=Decimal(300))
        four = [1.0] * 4
        Instruction(
            event=event,
            organisation=dsrsp,
            run=cycle.row.run,
            instructed_kw=four,
            expected_baseline_kw=four,
            planned_kw=four,
        ).save()

        for organisation in (dsrsp, cycle.dno):
            days = run(organisation).days
            assert date(2026, 1, 14) not in days
            assert len(days) == 13

    def test_keeps_to_a_node_and_what_is_below_it(self):
        dsrsp, node, evses = make_lab_area()
        other = make_node("elsewhere")
        type(evses[0]).objects.across_tenants().filter(pk=evses[0].pk).update(node=other)

        assert run(dsrsp, LabAsked(MONDAY, LAST, node=node.code)).n_evse == 7
        assert run(dsrsp, LabAsked(MONDAY, LAST, node=node.parent.code)).n_evse == 7

    def test_does_not_test_on_evses_that_left(self):
        dsrsp, _, evses = make_lab_area()
        evses[0].enrolments.across_tenants().update(ends_at=KNOWN_AT - timedelta(days=1))
        make_enrolment(evses[0], make_organisation("voltway"), KNOWN_AT - timedelta(days=1))

        assert run(dsrsp).n_evse == 7

    def test_refuses_fleets_that_are_too_small_or_too_large(self):
        dno = make_dno()
        dsrsp, _, _ = make_lab_area(n_evse=4, dno=dno)

        with pytest.raises(LabFleetTooSmall):
            run(dno)
        with pytest.raises(LabFleetTooSmall):
            run(make_organisation("idle"))
        with pytest.raises(LabFleetTooLarge):
            run(dsrsp, most_evses=3)

    def test_lets_a_dno_look_at_no_part_of_its_network(self):
        dno = make_dno()
        _, node, _ = make_lab_area(dno=dno)

        with pytest.raises(InvalidLabAsked) as error:
            run(dno, LabAsked(MONDAY, LAST, node=node.code))

        assert error.value.details == {"field": "node"}

    def test_knows_no_such_node(self):
        dsrsp, _, _ = make_lab_area()

        with pytest.raises(InvalidLabAsked):
            run(dsrsp, LabAsked(MONDAY, LAST, node="nowhere"))


class TestLabAsked:
    @pytest.mark.parametrize(
        ("wrong", "field"),
        [
            ({"last": MONDAY - timedelta(days=1)}, "last"),
            ({"last": MONDAY + timedelta(days=62)}, "last"),
            ({"starts": time(17, 10)}, "starts"),
            ({"n_period": 0}, "n_period"),
            ({"n_period": 17}, "n_period"),
            ({"starts": time(23), "n_period": 3}, "n_period"),
        ],
    )
    def test_refuses_nonsense(self, wrong, field):
        with pytest.raises(InvalidLabAsked) as error:
            LabAsked(**({"first": MONDAY, "last": LAST} | wrong))

        assert error.value.details["field"] == field


class TestDaysToShow:
    def test_are_two_weeks_up_to_the_last_reading_or_yesterday(self):
        dsrsp, _, _ = make_lab_area()

        for organisation in (dsrsp, make_dno()):
            with acting_for(organisation):
                found = days_to_show(organisation=organisation, now=KNOWN_AT + timedelta(days=90))
                assert found == (date(2026, 1, 12), LAST)
                assert days_to_show(organisation=organisation, now=KNOWN_AT - timedelta(days=6))[1] == date(2026, 1, 19)

    def test_are_those_asked_for(self):
        dsrsp, _, _ = make_lab_area()

        assert days_to_show(organisation=dsrsp, now=KNOWN_AT, first=MONDAY, last=MONDAY) == (MONDAY, MONDAY)
        assert days_to_show(organisation=dsrsp, now=KNOWN_AT, last=LAST)[0] == date(2026, 1, 12)


class TestCommand:
    def said(self, *words):
        said = StringIO()
        call_command("baseline_lab", *words, stdout=said)
        return said.getvalue()

    def test_prints_every_method_and_what_to_know_beside(self):
        make_lab_area()

        said = self.said("flexco", "--from", "2026-01-12", "--to", "2026-01-25", "--as-of", KNOWN_AT.isoformat())

        assert "14 days without an event" in said
        rolling = next(row for row in said.splitlines() if "rolling-10-in-10" in row)
        assert [cell.strip() for cell in rolling.split("│")[2:4]] == ["0.000", "0.000"]
        assert "Metered: 3.000 kW an EVSE." in said
        assert "are zero in the window" in said
        assert said.count("Flagged before the window though nothing was asked") == 2

    @pytest.mark.parametrize(
        "words",
        [
            ("nobody", "--from", "2026-01-12", "--to", "2026-01-25"),
            ("flexco", "--from", "2026-01-12"),
            ("flexco", "--from", "2026-01-12", "--to", "2026-01-25", "--window", "17:00-19:10"),
            ("flexco", "--from", "2026-01-12", "--to", "2026-01-25", "--window", "19:00-17:00"),
            ("flexco", "--from", "2026-01-12", "--to", "2026-01-25", "--window", "evening"),
        ],
    )
    def test_refuses_what_makes_no_sense(self, words):
        with pytest.raises(CommandError):
            self.said(*words)
