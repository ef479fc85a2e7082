"""Cycles over the API: the area's figures to the network's side, a DSRSP's own to itself."""

import pytest
from django.test import Client

from markets.models import CycleNode, CycleRun
from tests.machines import as_machine

CYCLES = "/api/v1/cycles/"
SUMMARY = {
    "n_evse": 16,
    "energy_delivered_kwh": 96.5,
    "peak_metered_kw": 31.0,
    "cost_gbp": 12.5,
    "gap": 0.001,
    "rung": "certified",
    "max_violation_kw": 0.0,
    "payment_gbp": 5.4,
}


@pytest.fixture
def cycle(world) -> CycleRun:
    cycle = CycleRun.objects.get(area__code="north-p")
    cycle.summary = {**cycle.summary, **SUMMARY}
    cycle.save()
    return cycle


class TestCycles:
    def test_lists_to_each_its_own(self, world, person_of):
        north, south = (f"cycle_{CycleRun.objects.get(area__code=f'{dno}-p').pk}" for dno in ("north", "south"))

        for name, seen in {
            "north.operator": {north},
            "alpha.operator": {north},
            "gamma.admin": {south},
            "south.supervisor": {south},
            "market.operator": {north, south},
            "platform.auditor": {north, south},
        }.items():
            assert {row["id"] for row in person_of(name).get(CYCLES).json()["results"]} == seen, name

    def test_is_for_people_as_the_overview_is(self, world):
        assert as_machine(world.organisations["north"]).get(CYCLES).status_code == 403
        assert Client().get(CYCLES).status_code == 401

    @pytest.mark.parametrize("name", ["north.operator", "market.operator", "platform.admin"])
    def test_shows_the_figures_of_an_area(self, cycle, person_of, name):
        row = person_of(name).get(f"{CYCLES}cycle_{cycle.pk}/").json()

        assert (row["suppressed"], row["figures"]["n_evse"], row["figures"]["energy_delivered_kwh"]) == (
            False,
            16,
            96.5,
        )
        assert (row["figures"]["payment_gbp"], row["figures"]["n_session"]) == ("5.40", None)
        assert row["own"] is None

    @pytest.mark.parametrize("name", ["north.operator", "market.operator"])
    def test_keeps_figures_of_a_handful_back(self, cycle, person_of, name):
        CycleNode.objects.filter(cycle=cycle, node__code="north-p").update(n_evse=4)
        row = person_of(name).get(f"{CYCLES}cycle_{cycle.pk}/").json()

        shown = {key: value for key, value in row["figures"].items() if value is not None}
        assert row["suppressed"]
        assert shown == {"n_evse": 16, "gap": 0.001, "rung": "certified", "max_violation_kw": 0.0}

    def test_keeps_figures_back_until_evses_are_counted(self, cycle, person_of):
        CycleNode.objects.filter(cycle=cycle).delete()

        (row,) = person_of("north.operator").get(CYCLES).json()["results"]
        assert (row["suppressed"], row["figures"]["energy_delivered_kwh"]) == (True, None)

    def test_shows_a_dsrsp_its_own_part_only(self, cycle, person_of):
        row = person_of("alpha.operator").get(f"{CYCLES}cycle_{cycle.pk}/").json()

        assert row["figures"] is None
        assert row["own"] == {
            "n_evse": 8,
            "energy_asked_kwh": 48.0,
            "energy_unserved_kwh": 0.0,
            "peak_planned_kw": 24.0,
            "instructed_kwh": "10.0000",
            "delivered_kwh": "9.0000",
            "payment_gbp": "2.70",
        }
        assert len(row["settlement_runs"]) == 1

    def test_does_not_tell_a_dsrsp_why_it_failed(self, cycle, person_of):
        CycleRun.objects.filter(pk=cycle.pk).update(state="failed", error="EVSE of beta without a meter")
        path = f"{CYCLES}cycle_{cycle.pk}/"

        assert person_of("alpha.operator").get(path).json()["error"] == ""
        assert person_of("north.operator").get(path).json()["error"] == "EVSE of beta without a meter"

    def test_is_not_there_for_others(self, cycle, person_of):
        for name in ("gamma.admin", "south.supervisor"):
            assert person_of(name).get(f"{CYCLES}cycle_{cycle.pk}/").status_code == 404, name

    def test_filters(self, cycle, person_of):
        client = person_of("platform.admin")

        def found(**query: str) -> int:
            return len(client.get(CYCLES, query).json()["results"])

        assert found(area="north-p") == 1
        assert found(charging_day="2026-01-14") == 2
        assert found(state="failed") == 0
        assert client.get(CYCLES, {"day": "2026-01-14"}).status_code == 400
