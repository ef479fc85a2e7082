"""What each audience reads of what exists: its own, and nothing of anybody else's."""

from datetime import datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from aggregator.models import EVSE, AvailabilityForecast, Enrolment, Event, GroupForecast
from tests.aggregator.api.conftest import found, status
from tests.factories import make_evse
from tests.machines import as_machine, send
from tests.walls.world import mark

DAY = {"from": "2026-01-14T00:00:00Z", "to": "2026-01-15T00:00:00Z"}


def at(days: float) -> datetime:
    return timezone.now() + timedelta(days=days)


class TestMe:
    def test_says_who_asks_for_whom_and_what_they_may_do(self, world):
        narrow = as_machine(world.organisations["alpha"], "readings:write")
        said = found(narrow, "me/")
        assert (said["organisation"]["code"], said["organisation"]["kind"]) == ("alpha", "dsrsp")
        assert (said["role"], said["actions"]) == (None, ["send_readings"])
        assert said["actor"].startswith("machine:")
        assert status(narrow, "organisations/") == 403


class TestOrganisations:
    def test_do_not_tell_a_dsrsp_of_its_competitors(self, alpha, north):
        codes = {row["code"] for row in found(alpha, "organisations/")["results"]}
        assert codes == {"alpha", "north", "south", "market", "platform"}
        assert status(alpha, "organisations/beta/") == 404
        assert {row["code"] for row in found(north, "organisations/", kind="dsrsp")["results"]} == {
            "alpha",
            "beta",
            "gamma",
        }


class TestNetwork:
    def test_is_a_dnos_own(self, north):
        rows = found(north, "network/nodes/")["results"]
        assert {row["dno"] for row in rows} == {"north"}
        assert found(north, "network/nodes/north-large/")["parent"] == "north-d"
        assert [row["code"] for row in found(north, "network/nodes/", parent="north-d")["results"]] == [
            "north-large",
            "north-small",
        ]
        for path in ("", "ratings/", "evses/"):
            assert status(north, f"network/nodes/south-large/{path}") == 404

    def test_shows_ratings_and_evses_by_pseudonym(self, north):
        (rating,) = found(north, "network/nodes/north-large/ratings/")["results"]
        assert (rating["rating_kva"], rating["valid_to"]) == (100.0, None)
        evses = found(north, "network/nodes/north-large/evses/")["results"]
        assert len(evses) == 12  # of two DSRSPs
        assert evses[0].keys() == {"id", "node", "phases", "rated_kw"}

    def test_is_closed_to_a_dsrsp(self, alpha):
        assert status(alpha, "network/nodes/") == 403


class TestFleet:
    def test_is_the_dsrsps_own_with_identities(self, world, alpha):
        rows = found(alpha, "evses/")["results"]
        assert {row["id"] for row in rows} == {evse.pseudonym for evse in world.evses["alpha"]}
        first = found(alpha, f"evses/{rows[0]['id']}/")
        assert first["identity"]["evse_id"].startswith(mark("identity", "alpha"))
        assert first["meter"].startswith(mark("meter", "alpha"))

    def test_is_filtered_by_node_scenario_and_identity(self, world, alpha):
        assert len(found(alpha, "evses/", node="north-small")["results"]) == 2
        assert found(alpha, "evses/", scenario="on_street")["results"] == []
        ref = f"{mark('identity', 'alpha')}.3"
        (row,) = found(alpha, "evses/", csms="csms", evse_id=ref)["results"]
        assert row["identity"]["evse_id"] == ref
        assert found(alpha, "evses/", evse_id=f"{mark('identity', 'beta')}.3")["results"] == []

    def test_is_closed_to_others(self, world, alpha, north):
        other = world.evses["beta"][0].pseudonym
        assert status(alpha, f"evses/{other}/") == 404
        assert status(north, "evses/") == 403

    def test_shows_no_identity_and_meter_before_the_enrolment_is_in_force(self, world, alpha):
        evse = make_evse(
            "coming", node=world.nodes["north-large"], dsrsp=world.organisations["beta"], enrolled_to=at(30)
        )
        Enrolment(evse=evse, dsrsp=world.organisations["alpha"], starts_at=at(30), consented_at=at(0)).save()
        shown = found(alpha, f"evses/{evse.pseudonym}/")
        assert (shown["identity"], shown["meter"]) == (None, None)

    def test_lists_enrolments_past_ones_too(self, world, alpha):
        evse = make_evse(
            "gone", node=world.nodes["north-large"], dsrsp=world.organisations["alpha"], enrolled_to=at(-30)
        )
        assert len(found(alpha, "enrolments/")["results"]) == 9
        assert len(found(alpha, "enrolments/", in_force="true")["results"]) == 8
        (past,) = found(alpha, "enrolments/", in_force="false")["results"]
        assert past["evse"] == evse.pseudonym
        assert found(alpha, f"enrolments/{past['id']}/") == past
        (other, *_) = world.ids["enrolment"]["beta"]
        assert status(alpha, f"enrolments/enr_{other}/") == 404
        assert status(alpha, "enrolments/nonsense/") == 404

    def test_names_the_systems_a_registration_can_name(self, alpha):
        assert [row["code"] for row in found(alpha, "csms/")["results"]] == ["csms"]
        assert found(alpha, "csms/csms/")["code"] == "csms"
        assert status(alpha, "csms/x/") == 404


class TestChangeOfAnEvse:
    @pytest.fixture
    def path(self, world) -> str:
        return f"/api/v1/evses/{world.evses['alpha'][0].pseudonym}/"

    def change(self, client: Client, path: str, **changes):
        return send(client, "PATCH", path, changes, If_Match=client.get(path).headers["ETag"])

    def test_is_stored_and_logged(self, world, alpha, path):
        response = self.change(alpha, path, firmware="2.0", delay_max_s=900, rated_kw=11.0)
        assert response.status_code == 200
        assert (response.json()["firmware"], response.json()["rated_kw"]) == ("2.0", 11.0)
        event = Event.objects.for_tenant(world.organisations["alpha"]).latest("sequence")
        assert event.actor.startswith("machine:")
        assert event.before == {"firmware": "", "delay_max_s": 600, "rated_kw": 7.4}

    def test_that_changes_nothing_is_no_event(self, alpha, path):
        n_event = Event.objects.across_tenants().count()
        assert self.change(alpha, path, delay_max_s=600).status_code == 200
        assert Event.objects.across_tenants().count() == n_event

    def test_keeps_the_rules(self, alpha, path):
        for changes, code in (({"rated_kw": 1.0}, 422), ({"delay_max_s": 1801}, 400), ({"node": "x"}, 400)):
            assert self.change(alpha, path, **changes).status_code == code

    def test_keeps_the_cap_on_controllable_power(self, alpha, path, settings):
        n_kw = 24 * 7.4
        settings.CONTROLLABLE_CAP_MW = (n_kw + 1) / 1000
        response = self.change(alpha, path, rated_kw=8.5)
        assert (response.status_code, response.json()["type"]) == (422, "/problems/fleet.cap_exceeded")
        assert found(alpha, path.removeprefix("/api/v1/"))["rated_kw"] == 7.4
        assert self.change(alpha, path, rated_kw=8.4).status_code == 200
        settings.CONTROLLABLE_CAP_MW = 0.001  # lowered since: what is there may shrink
        assert self.change(alpha, path, rated_kw=8.0).status_code == 200

    def test_is_refused_to_others_and_before_the_enrolment_is_in_force(self, world, machines, alpha, path):
        assert send(machines["beta"], "PATCH", path, {"firmware": "x"}, If_Match="*").status_code == 404
        assert send(machines["north"], "PATCH", path, {"firmware": "x"}, If_Match="*").status_code == 403
        evse = make_evse("coming", node=world.nodes["north-large"], enrolled_from=None)
        Enrolment(evse=evse, dsrsp=world.organisations["alpha"], starts_at=at(30), consented_at=at(0)).save()
        response = send(alpha, "PATCH", f"/api/v1/evses/{evse.pseudonym}/", {"firmware": "x"}, If_Match="*")
        assert response.status_code == 409
        assert EVSE.objects.across_tenants().get(pk=evse.pk).firmware == ""


class TestEndOfAnEnrolment:
    @pytest.fixture
    def path(self, world) -> str:
        return f"/api/v1/enrolments/enr_{world.ids['enrolment']['alpha'][0]}/"

    def end(self, client: Client, path: str, ends_at):
        return send(client, "PATCH", path, {"ends_at": ends_at.isoformat()}, If_Match=client.get(path).headers["ETag"])

    def test_is_stored_and_logged(self, world, alpha, path):
        response = self.end(alpha, path, at(2))
        assert response.status_code == 200
        assert response.json()["ends_at"] is not None
        event = Event.objects.for_tenant(world.organisations["alpha"]).latest("sequence")
        assert (event.action, event.before) == ("enrolment.ended", {"ends_at": None})
        assert self.end(alpha, path, at(1)).status_code == 200

    def test_does_not_change_the_past_nor_put_off_an_end(self, alpha, path):
        assert self.end(alpha, path, at(-1)).status_code == 422
        assert self.end(alpha, path, at(1)).status_code == 200
        assert self.end(alpha, path, at(2)).status_code == 422

    def test_is_refused_to_others(self, machines, path):
        body = {"ends_at": at(1).isoformat()}
        assert send(machines["beta"], "PATCH", path, body, If_Match="*").status_code == 404
        assert send(machines["alpha"], "PATCH", path, body).status_code == 428


class TestEnergy:
    def test_sessions_are_those_that_began_in_a_span(self, alpha, machines):
        page = found(alpha, "sessions/", **{**DAY, "to": "2026-01-16T00:00:00Z"}, tz="Europe/London")
        assert {row["session_ref"] for row in page["results"]} == {mark("session", "alpha")}
        assert found(alpha, "sessions/", **{"from": "2026-01-01T00:00:00Z", "to": DAY["from"]})["results"] == []
        row = page["results"][0]
        assert row["starts_at"].endswith("Z")
        assert row["starts_local"].endswith("GMT")
        assert "starts_local" not in found(alpha, f"sessions/{row['id']}/")
        assert status(machines["beta"], f"sessions/{row['id']}/") == 404
        assert status(machines["north"], "sessions/", **DAY) == 403

    def test_spans_are_up_to_31_days(self, alpha):
        first = "2026-01-14T00:00:00Z"
        for to in (first, "2026-01-13T00:00:00Z", "2026-02-14T00:00:01Z"):
            for path in ("sessions/?", "tariffs/night/prices/?", "readings/?meter=x&"):
                response = alpha.get(f"/api/v1/{path}from={first}&to={to}")
                assert (response.status_code, response.json()["type"]) == (422, "/problems/window.span")

    def test_a_span_has_both_ends_with_offsets(self, alpha):
        assert status(alpha, "sessions/") == 400
        assert status(alpha, "sessions/", **{**DAY, "from": "2026-01-14T00:00:00"}) == 400

    def test_prices_are_each_half_hours(self, alpha):
        shown = found(alpha, "tariffs/night/prices/", **DAY, tz="Europe/London")
        assert len(shown["results"]) == 48
        assert shown["results"][0] == {
            "starts_at": "2026-01-14T00:00:00Z",
            "ends_at": "2026-01-14T00:30:00Z",
            "starts_local": "2026-01-14 00:00 GMT",
            "ends_local": "2026-01-14 00:30 GMT",
            "price_gbp_per_kwh": 0.1,
        }
        assert found(alpha, "tariffs/night/prices/", **DAY, as_of="2025-01-01T00:00:00Z")["results"] == []
        assert found(alpha, "tariffs/night/")["name"] == "Night"
        assert [row["code"] for row in found(alpha, "tariffs/")["results"]] == ["night"]

    def test_readings_are_of_ones_own_meters(self, world, alpha, machines):
        evse = world.evses["alpha"][0]
        meter = f"{mark('meter', 'alpha')}.0"
        by_meter = found(alpha, "readings/", **DAY, meter=meter)
        assert (by_meter["meter"], len(by_meter["results"])) == (meter, 48)
        assert by_meter == found(alpha, "readings/", **DAY, evse=evse.pseudonym)
        part = found(alpha, "readings/", **{"from": "2026-01-14T10:00:00Z", "to": "2026-01-14T11:00:00Z"}, meter=meter)
        assert [row["starts_at"] for row in part["results"]] == ["2026-01-14T10:00:00Z", "2026-01-14T10:30:00Z"]
        for client in (machines["beta"], machines["north"]):
            assert status(client, "readings/", **DAY, meter=meter) == 404
            assert status(client, "readings/", **DAY, evse=evse.pseudonym) == 404

    def test_readings_are_of_one_meter(self, alpha):
        assert status(alpha, "readings/", **DAY) == 422
        assert status(alpha, "readings/", **DAY, meter="a", evse="b") == 422


class TestForecasts:
    def test_show_a_dsrsp_its_own_evses(self, world, alpha, machines):
        (forecast,) = found(alpha, "forecasts/")["results"]
        assert forecast["n_session_known"] is None
        own = {evse.pseudonym for evse in world.evses["alpha"]}
        assert {row["evse"] for row in found(alpha, f"forecasts/{forecast['id']}/evses/")["results"]} <= own
        assert status(machines["gamma"], f"forecasts/{forecast['id']}/") == 404
        assert status(machines["gamma"], f"forecasts/{forecast['id']}/evses/") == 404

    def test_show_a_dno_its_areas_and_no_evses(self, north):
        (forecast,) = found(north, "forecasts/", area="north-p", charging_day="2026-01-14")["results"]
        assert forecast["n_session_known"] == 10
        assert found(north, f"forecasts/{forecast['id']}/") == forecast
        assert found(north, f"forecasts/{forecast['id']}/groups/")["results"] == []
        assert status(north, f"forecasts/{forecast['id']}/evses/") == 403

    def test_hide_what_few_homes_do(self, north, world):
        AvailabilityForecast.objects.update(n_session_known=4)
        assert found(north, "forecasts/")["results"][0]["n_session_known"] is None

    def test_show_groups_of_five_and_more_only(self, world, alpha):
        forecast = AvailabilityForecast.objects.get(area__code="north-p")
        GroupForecast.objects.across_tenants().all().delete()
        for n_evse in (4, 5):
            GroupForecast(
                forecast=forecast,
                group=f"{world.organisations['alpha'].pk}/size-{n_evse}",
                organisation=world.organisations["alpha"],
                n_evse=n_evse,
                quantiles=[0.5],
                plugged_in=[[1.0] * 48],
            ).save()
        (group,) = found(alpha, f"forecasts/forecast_{forecast.pk}/groups/")["results"]
        assert (group["group"], group["n_evse"]) == ("size-5", 5)


class TestRecords:
    @pytest.mark.parametrize(
        ("path", "kind", "prefix"), [("findings", "finding", "finding"), ("events", "event", "event")]
    )
    def test_are_each_organisations_own(self, world, machines, path, kind, prefix):
        for owner in ("alpha", "north"):
            rows = found(machines[owner], f"{path}/", limit=1000)["results"]
            assert mark(kind, owner) in {row["subject"] for row in rows}
            assert all(mark(kind, other) not in str(rows) for other in ("beta", "gamma", "south"))
        (foreign, *_) = world.ids[kind]["beta"]
        assert status(machines["alpha"], f"{path}/{prefix}_{foreign}/") == 404
        assert found(machines["platform"], f"{path}/{prefix}_{foreign}/")["id"] == f"{prefix}_{foreign}"

    def test_findings_are_filtered(self, alpha):
        assert found(alpha, "findings/", severity="alarm")["results"] == []
        assert len(found(alpha, "findings/", severity="warning", code="session.reversed")["results"]) == 1

    def test_events_are_filtered_and_chained(self, alpha):
        rows = found(alpha, "events/", action="test.made")["results"]
        assert len(rows) == 1
        assert len(rows[0]["sha256"]) == len(rows[0]["previous_sha256"]) == 64

    def test_jobs_are_the_platforms(self, machines):
        (job,) = found(machines["platform"], "jobs/", state="done")["results"]
        assert found(machines["platform"], f"jobs/{job['id']}/") == job
        assert status(machines["alpha"], "jobs/") == 403
        assert status(machines["north"], f"jobs/{job['id']}/") == 403

    def test_control_acts_are_each_organisations_own(self, world, north, machines):
        rows = found(north, "control-acts/", state="pending", kind="change_limits")["results"]
        assert mark("act", "north") in {row["subject"] for row in rows}
        (foreign, *_) = world.ids["control_act"]["south"]
        assert status(north, f"control-acts/act_{foreign}/") == 404
        assert found(north, f"control-acts/{rows[0]['id']}/") == rows[0]
