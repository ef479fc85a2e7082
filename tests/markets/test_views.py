import json
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from django.db import OperationalError, connection

from aggregator.models import ControlAct
from dispatch.models import RunNode, Setpoint
from markets.models import CycleNode, CycleRun
from tests.factories import make_dno, make_evse
from tests.markets.builders import SUMMARY, Cycle, make_cycle, make_person
from tests.markets.site import Page, person, text_of
from tests.people import log_in

AT = datetime(2026, 1, 1, tzinfo=UTC)


def make_act(organisation) -> ControlAct:
    """An act that waits."""
    act = ControlAct(
        kind="change_limits",
        organisation=organisation,
        subject="F1",
        payload={},
        figures={"n_limits": 1},
        exceeded=["n_limits"],
        reason="survey",
        state="pending",
        asked_as="person:ada",
        asked_at=AT,
        expires_at=AT + timedelta(days=36_500),
    )
    act.save()
    return act


pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]


@pytest.fixture
def cycle() -> Cycle:
    return make_cycle()


class TestOverviewOfTheNetwork:
    def test_shows_every_figure_of_the_summary_with_its_unit(self, cycle):
        page = text_of(person(cycle, "dno").get("/"))

        for label, value in (
            ("EVSEs", "24"),
            ("Sessions forecast", "17"),
            ("Energy asked", '192.5 <span class="unit">kWh'),
            ("Energy delivered", '190.0 <span class="unit">kWh'),
            ("Energy unserved", '2.5 <span class="unit">kWh'),
            ("EV peak without dispatch", '96.4 <span class="unit">kW'),
            ("EV peak planned if all come", '51.8 <span class="unit">kW'),
            ("Cost without dispatch", '48.15 <span class="unit">GBP'),
            ("Shortfall", '0.0 <span class="unit">kWh'),
            ("Gap", '0.025 <span class="unit">%'),
            ("Lower bound", '1,234.19 <span class="unit">GBP'),
            ("Delivered volume", '28.50 <span class="unit">kWh'),
            ("Payment", '8.55 <span class="unit">GBP'),
        ):
            assert f"<dt>{label}</dt><dd>{value}" in page

    def test_draws_the_tightest_node_unless_told(self, cycle):
        client = person(cycle, "dno")

        assert '<option value="F1" selected>' in text_of(client.get("/"))
        assert '<option value="S1" selected>' in text_of(client.get("/?node=S1"))

    def test_names_a_node_that_is_not_in_the_cycle(self, cycle):
        page = text_of(person(cycle, "dno").get("/", {"node": "<b>F9"}))

        assert "&lt;b&gt;F9 is not a node of this cycle; F1 is shown instead." in page

    def test_groups_nodes_by_substation(self, cycle):
        tags = Page(text_of(person(cycle, "dno").get("/"))).tags

        assert [attrs["label"] for tag, attrs in tags if tag == "optgroup"] == ["Mill Lane (S1)"]
        assert [attrs["value"] for tag, attrs in tags if tag == "option"] == ["F1", "F2", "F3", "S1"]

    def test_tabulates_the_stored_arrays(self, cycle):
        rows = [row for row in Page(text_of(person(cycle, "dno").get("/?node=S1"))).rows if len(row) == 12]
        planned, delivered = RunNode.objects.get(node__code="S1"), CycleNode.objects.get(node__code="S1")
        header, body = rows[0], rows[1:]

        assert header[3:] == [
            f"{label}kW"
            for label in (
                "Background expected",
                "Rating",
                "Limit for EVs",
                "EVs without dispatch",
                "EVs planned",
                "EVs metered",
                "Setpoints",
                "Reserve for overrides",
                "Background as it was",
            )
        ]
        shown = np.array([[float(value) for value in row[3:]] for row in body])
        stored = [planned.background_kw, [planned.rating_kw] * 48, planned.limit_kw, delivered.uncontrolled_kw]
        stored += [planned.planned_kw, delivered.metered_kw, planned.ceiling_kw, planned.reserve_kw]
        stored += [delivered.background_kw]
        np.testing.assert_allclose(shown, np.array(stored).T, atol=0.005001)

    def test_draws_one_curve_for_each_kind_of_power(self, cycle):
        tags = Page(text_of(person(cycle, "dno").get("/?node=F1"))).tags
        drawn = [attrs["class"] for tag, attrs in tags if tag == "path" and "series " in (attrs.get("class") or "")]

        kinds = ["background", "rating", "limit", "uncontrolled", "planned", "metered"]
        assert drawn == [f"series series-{kind}" for kind in kinds] * 2  # the legend, then the chart

    def test_says_where_charging_without_dispatch_would_pass_the_limit(self, cycle):
        page = text_of(person(cycle, "dno").get("/?node=F1"))

        assert "Planned EV power: within the limit in all 48 periods." in page
        assert "Without dispatch it would have been: over the rating in" in page

    @pytest.mark.parametrize("name", ["dno", "market_operator"])
    @pytest.mark.parametrize("node", ["F2", "F3"])
    def test_hides_a_handful_of_evses_and_who_would_give_them_away(self, cycle, name, node):
        page = text_of(person(cycle, name).get(f"/?node={node}"))

        assert f"EV-only figures of {node} are not shown" in page
        assert "series-limit" in page
        assert "series-planned" not in page
        assert "series-metered" not in page
        assert "series-uncontrolled" not in page
        header = next(row for row in Page(page).rows if row[:1] == ["Local time"])
        limits = ["Background expected", "Rating", "Limit for EVs", "Reserve for overrides", "Background as it was"]
        assert header[3:] == [f"{label}kW" for label in limits]

    def test_hides_the_whole_of_a_tiny_area(self):
        cycle = make_cycle(summary={**SUMMARY, "n_evse": 4})
        for code, n_evse in {"S1": 4, "F1": 4, "F2": 0, "F3": 0}.items():
            CycleNode.objects.filter(node__code=code).update(n_evse=n_evse)

        page = text_of(person(cycle, "dno").get("/"))

        assert "The area has fewer than five EVSEs" in page
        assert "192.5" not in page

    def test_counts_findings_with_their_severity(self, cycle):
        rows = Page(text_of(person(cycle, "dno").get("/"))).rows

        found = [row for row in rows if len(row) == 3]
        expected = [["▲Alarm", "settle.few_days", "1"], ["◆Warning", "session.reversed", "3"]]
        assert found == [["Severity", "Code", "Count"], *expected]

    def test_lists_all_statements_with_their_files(self, cycle):
        page = text_of(person(cycle, "dno").get("/"))

        for statement in cycle.statements.values():
            assert f"/statements/{statement.pk}.csv" in page

    def test_labels_a_clock_change_day(self):
        cycle = make_cycle(date(2026, 10, 24))
        page = text_of(person(cycle, "dno").get("/"))

        assert ">01:00 BST</text>" in page
        assert ">01:00 GMT</text>" in page
        assert "(50 settlement periods)" in page
        assert len([row for row in Page(page).rows if len(row) == 12]) == 51


class TestOverviewOfAFleet:
    def test_shows_own_plan_meters_and_money_only(self, cycle):
        page = text_of(person(cycle, "flexco").get("/"))
        rows = [row[3:] for row in Page(page).rows if len(row) == 6]

        assert rows[0] == ["EVs plannedkW", "EVs meteredkW", "SetpointskW"]
        assert rows[1:5] == [["5.00", "5.00", "7.50"], ["5.00", "5.00", "7.50"], ["0.00", "0.00", "7.50"], ["0.00"] * 3]
        assert len(rows) == 49
        assert '<dt>Peak planned</dt><dd>5.0 <span class="unit">kW' in page
        assert '<dt>Energy metered</dt><dd>5.0 <span class="unit">kWh' in page
        assert '<dt>Payment</dt><dd>4.28 <span class="unit">GBP' in page

    @pytest.mark.parametrize(("name", "other"), [("flexco", "voltway"), ("voltway", "flexco")])
    def test_shows_nothing_of_another_dsrsp_or_the_network(self, cycle, name, other):
        page = text_of(person(cycle, name).get("/?node=F1"))

        assert other not in page.lower()
        assert f"/statements/{cycle.statements[other].pk}.csv" not in page
        assert f"/statements/{cycle.statements[name].pk}.csv" in page
        for secret in ("series-limit", "series-rating", "series-background", "series-uncontrolled", "<select", "96.4"):
            assert secret not in page

    def test_says_how_many_readings_are_missing(self, cycle):
        unread = make_evse("unread", node=cycle.nodes["F1"], dsrsp=cycle.dsrsps["voltway"])
        twin = Setpoint.objects.for_tenant(cycle.dsrsps["voltway"]).get()
        twin.pk, twin.evse = None, unread
        twin.save()

        page = text_of(person(cycle, "voltway").get("/"))

        assert "48 half-hourly readings of your meters are missing" in page
        assert ["14.00", "7.00", "21.00"] in [row[3:] for row in Page(page).rows]

    def test_counts_own_findings_only(self, cycle):
        assert ["◆Warning", "session.reversed", "2"] in Page(text_of(person(cycle, "flexco").get("/"))).rows
        assert "Nothing odd was noticed." in text_of(person(cycle, "voltway").get("/"))

    def test_does_not_tell_why_a_cycle_failed(self, cycle):
        CycleRun.objects.update(state="failed", error="voltway sent no meters")

        page = text_of(person(cycle, "flexco").get("/"))

        assert "voltway" not in page
        assert "The cycle stopped before it was complete" in page


class TestOverviewOfControl:
    def test_shows_the_networks_side_what_all_together_may_move(self, cycle):
        page = text_of(person(cycle, "dno").get("/"))

        assert "<strong>0.02 MW</strong>" in page  # three EVSEs of 7.36 kW
        assert "of 300 MW, from which load control is an essential service" in page
        assert "the cap is 290 MW" in page

    def test_shows_a_dsrsp_its_own_and_nothing_of_the_whole(self, cycle):
        page = text_of(person(cycle, "voltway").get("/"))

        assert "<strong>0.01 MW</strong>" in page
        assert "of 300 MW" not in page

    def test_shows_a_market_operator_none_of_it(self, cycle):
        assert "Under control" not in text_of(person(cycle, "market_operator").get("/"))

    def test_leads_to_what_waits_for_a_second_person(self, cycle):
        act = make_act(cycle.dno)
        page = text_of(person(cycle, "dno").get("/"))

        assert "Waiting for a second person: 1" in page
        assert f'href="/control-acts/{act.pk}/"' in page
        assert "Waiting for" not in text_of(person(cycle, "other_dno").get("/"))
        assert "Waiting for" not in text_of(person(cycle, "flexco").get("/"))

    def test_leads_to_network_and_run_who_may_see_them(self, cycle):
        addresses = {
            attrs.get("href") for tag, attrs in Page(text_of(person(cycle, "dno").get("/"))).tags if tag == "a"
        }
        assert {"/network/", "/network/F1/", f"/runs/{cycle.row.run_id}/"} <= addresses

        own = {attrs.get("href") for tag, attrs in Page(text_of(person(cycle, "flexco").get("/"))).tags if tag == "a"}
        assert f"/runs/{cycle.row.run_id}/" in own
        assert not {address for address in own if address and address.startswith("/network")}

    def test_counts_no_handful_in_the_names_of_nodes(self, cycle):
        page = text_of(person(cycle, "dno").get("/"))

        assert "Feeder F1, 12 EVSEs" in page
        assert "Feeder F2<" in page


class TestOverviewStates:
    def test_without_any_cycle_says_so(self, client):
        log_in(client, make_person("ada", make_dno()))

        assert "No cycle yet" in text_of(client.get("/"))

    def test_failed_shows_the_error_and_the_way_to_the_last_complete_one(self, cycle):
        done = cycle.row
        failed = CycleRun.objects.create(
            charging_day=done.charging_day,
            area=done.area,
            as_of=cycle.grid.ends_at,
            state="failed",
            error="no forecast <known>",
            started_at=cycle.grid.ends_at,
            finished_at=cycle.grid.ends_at,
        )
        client = person(cycle, "dno")
        page = text_of(client.get("/"))

        assert "no forecast &lt;known&gt;" in page
        assert "Findings are counted once the cycle is complete." in page
        assert f"?cycle={done.pk}" in page
        assert "<dt>" not in page
        assert "Cycle done" in text_of(client.get(f"/?cycle={done.pk}"))
        assert client.get(f"/?cycle={failed.pk}").status_code == 200

    def test_running_before_delivery_shows_limits_and_no_ev_power(self, cycle):
        CycleNode.objects.all().delete()
        CycleRun.objects.update(state="running", finished_at=None, summary={})

        page = text_of(person(cycle, "dno").get("/"))

        assert "Cycle running" in page
        assert "series-limit" in page
        assert "series-planned" not in page

    @pytest.mark.parametrize("asked", ["999999", "x", "-1", "1e3", "٣", "9" * 40])
    def test_asked_for_an_unknown_cycle_is_not_found(self, cycle, asked):
        assert person(cycle, "dno").get("/", {"cycle": asked}).status_code == 404

    def test_of_another_dno_is_not_found(self, cycle):
        assert person(cycle, "other_dno").get(f"/?cycle={cycle.row.pk}").status_code == 404

    def test_without_a_membership_is_forbidden_with_a_sentence(self, cycle):
        response = person(cycle, "nobody").get("/")

        assert response.status_code == 403
        assert "act for no organisation yet" in text_of(response)


class TestContentSecurity:
    @pytest.mark.parametrize(
        ("name", "address", "status"),
        [
            ("dno", "/", 200),
            ("flexco", "/", 200),
            ("idle", "/", 200),
            ("nobody", "/", 403),
            ("dno", "/nowhere", 404),
            ("nobody", "/login/", 200),
        ],
    )
    def test_needs_no_inline_style_or_script_and_nothing_from_elsewhere(self, cycle, name, address, status):
        response = person(cycle, name).get(address)
        tags = Page(text_of(response)).tags

        assert response.status_code == status
        assert "style-src 'self'" in response.headers["Content-Security-Policy"]
        assert "unsafe" not in response.headers["Content-Security-Policy"]
        assert {tag for tag, _ in tags}.isdisjoint({"style", "iframe", "object"})
        for tag, attrs in tags:
            assert tag != "script" or attrs.get("src") or attrs["type"] == "application/json"
            assert not [key for key in attrs if key == "style" or key.startswith("on")]
            for key in ("href", "src", "action"):
                assert (attrs.get(key) or "/").startswith(("/", "#", "?"))

    def test_serves_its_style_sheet_hashed(self, client):
        tags = Page(text_of(client.get("/login/"))).tags
        (href,) = (attrs["href"] for tag, attrs in tags if tag == "link" and attrs["rel"] == "stylesheet")
        response = client.get(href)

        assert href.startswith("/static/headroom/site.")
        assert href != "/static/headroom/site.css"
        assert (response.status_code, response.headers["Content-Type"]) == (200, 'text/css; charset="utf-8"')
        assert b"--ground" in b"".join(response.streaming_content)

    def test_keeps_pages_out_of_shared_caches(self, cycle):
        assert "no-store" in person(cycle, "dno").get("/").headers["Cache-Control"]


class TestHealth:
    def test_is_well_before_the_first_cycle(self, client):
        response = client.get("/healthz")

        assert (response.status_code, json.loads(response.content)) == (
            200,
            {"status": "well", "database": "well", "jobs": "well", "last_cycle": None},
        )

    def test_names_the_last_cycle_and_no_one(self, client, cycle):
        response = client.get("/healthz")

        assert response.status_code == 200
        assert json.loads(response.content)["last_cycle"] == {
            "charging_day": "2026-01-14",
            "state": "done",
            "finished_at": "2026-01-14T11:00:00+00:00",
        }

    def test_is_unwell_after_a_failed_cycle_without_telling_why(self, client, cycle):
        CycleRun.objects.update(state="failed", error="secret")
        response = client.get("/healthz")

        assert response.status_code == 503
        assert b"secret" not in response.content

    def test_is_unwell_when_a_cycle_is_stuck(self, client, cycle):
        CycleRun.objects.update(state="running", finished_at=None)

        assert client.get("/healthz").status_code == 503

    @pytest.mark.django_db(transaction=True)  # outside a transaction, as the site is
    def test_is_unwell_without_a_database(self, client):
        def refuse(*_arguments):
            raise OperationalError("connection to host db-7 refused")

        with connection.execute_wrapper(refuse):
            response = client.get("/healthz")

        assert response.status_code == 503
        assert json.loads(response.content)["database"] == "unwell"
        assert b"db-7" not in response.content
