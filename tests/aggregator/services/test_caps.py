"""What may be controlled in all, and that nobody gets beyond it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from aggregator.arrays.fleet import load_size_below
from aggregator.core.registration import Registration
from aggregator.models import EVSE, Enrolment, Event, NetworkNode, acting_for
from aggregator.services.caps import CapExceeded, committed_kw, controllable, controllable_mw_of
from aggregator.services.register_fleet import register_fleet
from tests.factories import make_csms, make_evse, make_feeder, make_node, make_organisation

pytestmark = pytest.mark.django_db
committed = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
CAP_MW = 0.074  # ten EVSEs of 7.4 kW


@pytest.fixture(autouse=True)
def surroundings(settings):
    settings.CONTROLLABLE_CAP_MW = CAP_MW


def rows(n: int, prefix: str = "e", rated_kw: float = 7.4, **stated: object) -> tuple[Registration, ...]:
    fields = {"csms": "csms", "dsrsp": "flexco", "node": "f", "rated_kw": rated_kw, **stated}
    return tuple(Registration(line, f"{prefix}{line}", **fields) for line in range(1, n + 1))


def register(*stated: Registration, sha256: str = "a", now: datetime = NOW):
    make_csms()
    make_organisation("flexco")
    if not NetworkNode.objects.filter(code="f").exists():
        make_feeder("f")
    platform = make_organisation("platform", "platform")
    return register_fleet(organisation=platform, rows=stated, source="evses.csv", sha256=sha256.ljust(64, "0"), now=now)


class TestRefuseAboveCap:
    @pytest.mark.parametrize(("rated_kw", "is_taken"), [(6.66, True), (7.4, True), (7.474, False), (74.0, False)])
    def test_goes_by_the_cap(self, rated_kw, is_taken):
        stated = rows(10, rated_kw=rated_kw)
        if is_taken:
            assert register(*stated).n_accepted == 10
            return
        with pytest.raises(CapExceeded):
            register(*stated)
        assert not EVSE.objects.across_tenants().exists()
        assert not Event.objects.across_tenants().exists()

    def test_names_the_row_that_goes_beyond(self):
        register(*rows(8))
        with pytest.raises(CapExceeded) as refused:
            register(*rows(4, "more"), sha256="b")
        (error,) = refused.value.errors
        assert (error.line, error.column) == (3, "rated_kw")
        assert refused.value.code == "fleet.cap_exceeded"
        details = refused.value.details
        assert (details["field"], details["id"], details["expected"]) == (
            "rated_kw",
            "more3",
            "at most 0.074 MW in all",
        )
        assert details["value"] == pytest.approx(0.0888)
        assert "more3" in refused.value.message
        assert EVSE.objects.across_tenants().count() == 8

    def test_counts_enrolments_that_start_later(self):
        register(*rows(8, enrolled_from=NOW + 30 * DAY))
        with pytest.raises(CapExceeded):
            register(*rows(3, "more"), sha256="b")

    def test_counts_no_enrolment_that_has_ended(self):
        register(*rows(8, enrolled_from=NOW - 30 * DAY, enrolled_to=NOW))
        assert register(*rows(10, "more"), sha256="b").n_accepted == 10

    def test_counts_an_evse_once_that_changes_its_dsrsp(self):
        register(*rows(10))
        make_organisation("voltway")
        switched = rows(10, dsrsp="voltway", enrolled_from=NOW + DAY)
        assert register(*switched, sha256="b").n_accepted == 10
        assert committed_kw(now=NOW) == pytest.approx(74.0)

    def test_counts_a_rating_that_is_raised(self):
        register(*rows(10))
        with pytest.raises(CapExceeded):
            register(*rows(1, rated_kw=11.0), sha256="b")
        assert EVSE.objects.across_tenants().get(identity__csms_ref="e1").rated_kw == 7.4

    def test_lets_a_fleet_shrink_though_the_cap_was_lowered(self, settings):
        register(*rows(10))
        settings.CONTROLLABLE_CAP_MW = 0.01
        assert register(*rows(1, rated_kw=3.6), sha256="b").n_accepted == 1
        with pytest.raises(CapExceeded):
            register(*rows(1, "more"), sha256="c")

    @committed
    def test_holds_though_many_register_at_once(self):
        register(*rows(2))
        platforms = [make_organisation(f"platform-{number}", "platform") for number in range(6)]
        start = threading.Barrier(len(platforms))

        def one(number: int) -> int:
            try:
                connection.ensure_connection()
                start.wait(timeout=60)
                result = register_fleet(
                    organisation=platforms[number],
                    rows=rows(3, f"fleet{number}-"),
                    source="evses.csv",
                    sha256=str(number).ljust(64, "0"),
                    now=NOW,
                )
            except CapExceeded:
                return 0
            finally:
                connection.close()
            return result.n_accepted

        with ThreadPoolExecutor(len(platforms)) as pool:
            taken = list(pool.map(one, range(len(platforms))))
        assert sorted(taken) == [0, 0, 0, 0, 3, 3]
        assert committed_kw(now=NOW) == pytest.approx(8 * 7.4)


class TestControllable:
    def test_shows_what_is_in_force_beside_cap_and_threshold(self):
        node, voltway = make_node("f"), make_organisation("voltway")
        make_evse("one", node=node)
        make_evse("two", node=node, rated_kw=22.0, dsrsp=voltway)
        make_evse("over", node=node, enrolled_to=NOW)
        make_evse("coming", node=node, rated_kw=11.0, enrolled_from=NOW + DAY)
        make_evse("nobody's", node=node, enrolled_from=None)
        gauge = controllable(now=NOW)
        assert gauge.mw_by_dsrsp == {"flexco": pytest.approx(0.0074), "voltway": pytest.approx(0.022)}
        assert (gauge.mw, gauge.committed_mw) == (pytest.approx(0.0294), pytest.approx(0.0404))
        assert (gauge.cap_mw, gauge.threshold_mw) == (CAP_MW, 300.0)
        with acting_for(voltway):
            assert controllable_mw_of(dsrsp=voltway, now=NOW) == pytest.approx(0.022)
            assert controllable_mw_of(dsrsp=make_organisation("newcomer"), now=NOW) == 0

    def test_is_nothing_without_evses(self):
        gauge = controllable(now=NOW)
        assert (gauge.mw, gauge.committed_mw, gauge.mw_by_dsrsp) == (0.0, 0.0, {})


class TestLoadSizeBelow:
    def test_adds_up_everything_below_enrolled_at_some_time_of_the_window(self):
        feeder = make_feeder("f")
        phase = NetworkNode.objects.get(code="f-A")
        make_evse("one", node=feeder)
        fast = make_evse("two", node=phase, rated_kw=22.0)
        EVSE.objects.across_tenants().filter(pk=fast.pk).update(delay_max_s=0)
        make_evse("ends", node=phase, rated_kw=3.0, enrolled_to=NOW + timedelta(minutes=1))
        make_evse("starts", node=phase, rated_kw=5.0, enrolled_from=NOW + timedelta(minutes=29))
        make_evse("over", node=phase, enrolled_to=NOW)
        make_evse("later", node=phase, enrolled_from=NOW + timedelta(minutes=30))
        make_evse("elsewhere", node=make_feeder("g"))
        window = {"starts_at": NOW, "ends_at": NOW + timedelta(minutes=30)}
        size = load_size_below(node_pk=feeder.pk, **window)
        assert (size.n_evse, size.rated_kw) == (4, pytest.approx(37.4))
        assert size.kw_per_minute == pytest.approx((7.4 + 3.0 + 5.0) / 10 + 22.0)
        assert load_size_below(node_pk=phase.pk, **window).n_evse == 3

    def test_counts_an_evse_once_that_changes_its_dsrsp_in_the_window(self):
        evse = make_evse("one", enrolled_to=NOW + timedelta(minutes=10))
        Enrolment(
            evse=evse,
            dsrsp=make_organisation("voltway"),
            starts_at=NOW + timedelta(minutes=10),
            consented_at=NOW,
        ).save()
        size = load_size_below(node_pk=evse.node_id, starts_at=NOW, ends_at=NOW + timedelta(minutes=30))
        assert size.n_evse == 1
