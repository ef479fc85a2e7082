from datetime import UTC, date, datetime, timedelta

import pytest
from django.utils import timezone

from aggregator.models import Membership, Meter, NetworkNode, NodeRating
from dispatch.models import RunNode, TargetSignal
from tests.dispatch.monitors import make_monitor
from tests.factories import make_dno, make_organisation
from tests.markets.builders import Cycle, make_cycle, make_own_plan, make_person
from tests.markets.site import Page, text_of
from tests.people import log_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]


@pytest.fixture
def cycle() -> Cycle:
    """Six more EVSEs at F1, so nine there; three at F2, and none at F3."""
    cycle = make_cycle()
    for code, n in (("F1", 6), ("F2", 3)):
        make_own_plan(
            cycle.row.run,
            make_organisation(f"of-{code.lower()}"),
            cycle.nodes[code],
            cycle.row.delivery_batch,
            cycle.grid,
            kw=[4.0] * n,
        )
    return cycle


@pytest.fixture
def control_room(client, cycle):
    return log_in(client, make_person("ada", cycle.dno, "control_room_operator"))


def lines(page: str) -> dict[str, list[str]]:
    """Cells of the tree's rows, by node."""
    tree = page[page.index('id="tree"') :]
    return {row[0].lstrip("▾▸").split(" ")[0]: row for row in Page(tree).rows if len(row) == 8 and row[0] != "Node"}


class TestNetwork:
    def test_shows_the_tree_with_load_headroom_peak_and_time(self, control_room, cycle):
        found = lines(text_of(control_room.get("/network/?open=P1&open=S1")))
        planned = RunNode.objects.get(node__code="S1")
        load_kw = [a + b for a, b in zip(planned.background_kw, planned.planned_kw, strict=True)]
        at = cycle.grid.starts()[load_kw.index(max(load_kw))]

        assert list(found)[:2] == ["P1", "S1Mill"]
        assert set(found) == {"P1", "S1Mill", "F1", "F2", "F3"}
        assert found["S1Mill"][3] == f"{planned.rating_kw - max(load_kw):.1f}"
        assert found["S1Mill"][4:6] == [f"{max(load_kw):.1f}", f"{at:%a %H:%M} GMT"]

    def test_tells_counts_of_five_and_more_only(self, control_room):
        found = lines(text_of(control_room.get("/network/?open=P1&open=S1")))

        assert {code: row[6] for code, row in found.items()} == {
            "P1": "12",
            "S1Mill": "12",
            "F1": "not shown",
            "F2": "under 5",
            "F3": "0",
        }

    def test_leaves_the_evs_of_a_handful_out_of_the_load(self, control_room):
        planned = RunNode.objects.get(node__code="F2")
        found = lines(text_of(control_room.get("/network/?open=P1&open=S1")))

        assert found["F2"][4] == f"{max(planned.background_kw):.1f}"
        assert found["F2"][2].endswith("without EVs")

    def test_opens_the_top_and_no_more(self, control_room):
        assert set(lines(text_of(control_room.get("/network/")))) == {"P1", "S1Mill"}

    def test_names_the_worst_feeders_first(self, control_room):
        RunNode.objects.filter(node__code="F3").update(background_kw=[1_000.0] * 48)
        page = text_of(control_room.get("/network/"))
        worst = page[page.index("Feeders nearest") : page.index('id="tree"')]

        assert [row[0] for row in Page(worst).rows if len(row) == 8] == ["Node", "F3", "F1", "F2"]
        assert "OVER" in worst

    def test_finds_by_words(self, control_room):
        assert set(lines(text_of(control_room.get("/network/?q=mill+lane")))) == {"S1Mill"}
        assert "No node of yours holds these words." in text_of(control_room.get("/network/?q=nowhere"))

    def test_gives_htmx_the_tree_alone(self, control_room):
        part = text_of(control_room.get("/network/?open=P1", headers={"HX-Request": "true"}))

        assert part.lstrip().startswith('<section class="panel" id="tree"')
        assert "<html" not in part

    def test_of_another_dno_is_empty(self, client, cycle):
        page = text_of(
            log_in(client, make_person("eve", make_dno("other-dno"), "control_room_operator")).get("/network/")
        )

        assert "S1" not in page
        assert "No run has planned any of these 0 nodes yet" in page

    @pytest.mark.parametrize(
        ("kind", "role", "status"),
        [
            ("dsrsp", Membership.Role.OPERATOR, 403),
            ("market_operator", Membership.Role.MARKET_OPERATOR, 403),
            ("platform", Membership.Role.PLATFORM_ADMIN, 200),
            ("platform", Membership.Role.AUDITOR, 200),
            ("dno", Membership.Role.AUDITOR, 200),
        ],
    )
    def test_is_for_the_network_side_only(self, client, cycle, kind, role, status):
        organisation = cycle.dno if kind == "dno" else make_organisation(f"a-{kind}", kind)
        client = log_in(client, make_person("mel", organisation, role))

        assert client.get("/network/").status_code == status
        assert client.get("/network/F1/").status_code == status

    def test_does_not_grow_in_queries_with_the_network(self, control_room, cycle, django_assert_max_num_queries):
        for index in range(30):
            NetworkNode.objects.create(
                code=f"X{index}", kind="feeder", parent=cycle.nodes["S1"], organisation=cycle.dno
            )
        with django_assert_max_num_queries(25):
            control_room.get("/network/?open=P1&open=S1")


class TestNode:
    def test_shows_limit_background_ev_power_and_headroom_with_units(self, control_room):
        planned = RunNode.objects.get(node__code="S1")
        page = text_of(control_room.get("/network/S1/"))
        header, *body = [row for row in Page(page).rows if len(row) == 10]

        assert header[3:] == [
            f"{label}kW"
            for label in (
                "Background expected",
                "Rating",
                "Limit for EVs",
                "EVs planned",
                "Setpoints",
                "Reserve for overrides",
                "Headroom left",
            )
        ]
        assert len(body) == 48
        first = [planned.background_kw[0], planned.rating_kw, planned.limit_kw[0], planned.planned_kw[0]]
        assert [float(value) for value in body[0][3:7]] == pytest.approx(first, abs=0.00501)
        left_kw = planned.rating_kw - planned.background_kw[0] - planned.planned_kw[0]
        assert float(body[0][9]) == pytest.approx(left_kw, abs=0.00501)
        assert "Distribution substation S1 Mill Lane" in page

    @pytest.mark.parametrize("code", ["F1", "F2"])
    def test_hides_ev_power_of_a_handful_and_of_who_would_tell_it(self, control_room, code):
        page = text_of(control_room.get(f"/network/{code}/"))
        header = next(row for row in Page(page).rows if row[:1] == ["Local time"])

        assert f"EV-only figures of {code} are not shown" in page
        assert header[3:] == [
            f"{label}kW"
            for label in ("Background expected", "Rating", "Limit for EVs", "Reserve for overrides", "Headroom left")
        ]
        for secret in ("series-planned", "EV peak planned", "Worth of one more kW"):
            assert secret not in page

    def test_hides_what_a_newer_run_plans_for_a_handful_though_an_older_one_planned_many(self, client):
        """Figures are those of the run that planned a node last, so its EVSEs count, not those of all runs together."""
        cycle = make_cycle()
        batch, feeder, grid = cycle.row.delivery_batch, cycle.nodes["F3"], cycle.grid
        for code, n in (("F1", 6), ("F3", 6)):
            own = make_organisation(f"of-{code.lower()}")
            make_own_plan(cycle.row.run, own, cycle.nodes[code], batch, grid, kw=[4.0] * n)
        client = log_in(client, make_person("ada", cycle.dno, "control_room_operator"))
        assert "EV peak planned" in text_of(client.get("/network/F3/"))

        planned = RunNode.objects.get(node=feeder)
        planned.run.pk, planned.run.area, planned.run.input_sha256 = None, feeder, "9" * 64
        planned.run.save()
        planned.pk, planned.run = None, planned.run
        planned.save()
        make_own_plan(planned.run, make_organisation("late"), feeder, batch, grid, kw=[4.0] * 3)

        page = text_of(client.get("/network/F3/"))
        assert "EV-only figures of F3 are not shown" in page
        assert "EV peak planned" not in page
        assert lines(text_of(client.get("/network/?open=P1&open=S1")))["F3"][2].endswith("without EVs")

    def test_shows_the_platform_everything(self, client, cycle):
        client = log_in(client, make_person("root", make_organisation("headroom", "platform"), "platform_admin"))

        assert "EV peak planned" in text_of(client.get("/network/F2/"))

    @pytest.mark.parametrize("address", ["/network/nowhere/", "/network/%00/", "/network/F1/limit/x/"])
    def test_that_is_not_there_is_not_found(self, control_room, address):
        assert control_room.get(address).status_code == 404

    def test_of_another_dno_is_not_found(self, client, cycle):
        client = log_in(client, make_person("eve", make_dno("other-dno"), "control_room_supervisor"))

        assert client.get("/network/F1/").status_code == 404

    def test_takes_any_code(self, control_room, cycle):
        code = "A/B #1?x=ü"
        NetworkNode.objects.create(code=code, kind="feeder", parent=cycle.nodes["S1"], organisation=cycle.dno)
        page = text_of(control_room.get("/network/?open=P1&open=S1"))
        (address,) = {
            attrs["href"] for tag, attrs in Page(page).tags if tag == "a" and "/network/A" in (attrs.get("href") or "")
        }

        assert "No run has planned" in text_of(control_room.get(address))

    def test_lists_ratings_with_the_one_in_force(self, control_room, cycle):
        now = timezone.now()
        NodeRating.objects.filter(node=cycle.nodes["F1"]).update(valid_to=now - timedelta(days=1))
        NodeRating.objects.create(
            node=cycle.nodes["F1"], rating_kva=50, valid_from=now - timedelta(days=1), source="survey <7>"
        )
        page = text_of(control_room.get("/network/F1/"))
        rows = [row for row in Page(page).rows if len(row) == 9 and row[0] != "Valid from"]

        assert [row[1] == "in force" for row in rows] == [True, False]
        assert rows[0][2:4] == ["49.0", "50.0"]
        assert "survey &lt;7&gt;" in page

    def test_lists_requests_at_it(self, control_room, cycle):
        page = text_of(control_room.get("/network/S1/"))

        assert TargetSignal.objects.get().reference in page
        assert "Turn down, EV power at most" in page
        assert "No dispatch has been requested" in text_of(control_room.get("/network/F1/"))

    def test_labels_a_clock_change_day(self, client):
        cycle = make_cycle(date(2026, 10, 24))
        page = text_of(log_in(client, make_person("ada", cycle.dno, "control_room_operator")).get("/network/S1/"))

        assert ">01:00 BST</text>" in page
        assert ">01:00 GMT</text>" in page
        assert '"01:30 BST", "01:00 GMT"' in page


class TestMeasured:
    def make_monitor(self, cycle: Cycle, node: NetworkNode, received_at: datetime) -> Meter:
        return make_monitor(node, cycle.dno, cycle.grid, received_at=received_at, power_kw=6.0)

    def test_power_of_its_own_monitor_stands_beside_what_was_expected(self, control_room, cycle):
        self.make_monitor(cycle, cycle.nodes["F1"], datetime(2026, 1, 15, 13, tzinfo=UTC))
        page = text_of(control_room.get("/network/F1/"))
        header, first, *_ = [
            row for row in Page(page).rows if "Background as it waskW" in row or row[:1] == ["12:00 GMT"]
        ]

        assert first[header.index("Background as it waskW")] == "6.00"

    def test_age_above_is_that_of_the_oldest_below(self, control_room, cycle):
        self.make_monitor(cycle, cycle.nodes["F1"], timezone.now() - timedelta(hours=3))
        self.make_monitor(cycle, cycle.nodes["F2"], timezone.now() - timedelta(hours=5))
        found = lines(text_of(control_room.get("/network/?open=P1&open=S1")))

        assert [found[code][7][:4] for code in ("F1", "F2", "S1Mill", "P1")] == ["03:0", "05:0", "05:0", "05:0"]
        assert found["F3"][7] == "no monitor"
