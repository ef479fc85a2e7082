"""The demo in the database: seeded once for all tests of this module, then rolled back."""

from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from django.core.management import call_command
from django.db import transaction

from aggregator.arrays.network import find_node, load_area
from aggregator.arrays.prices import find_tariff, load_prices_gbp_per_kwh
from aggregator.arrays.readings import load_energy_kwh
from aggregator.core.timegrid import charging_day
from aggregator.models import (
    EVSE,
    Batch,
    CarbonDay,
    ChargingSession,
    Enrolment,
    EvseIdentity,
    Finding,
    Meter,
    MeterDay,
    NetworkNode,
    NodeRating,
    TariffDay,
)
from dispatch.models import TargetSignal
from markets.core.demo_area import demo_area
from markets.core.demo_calendar import AS_OF, CHARGING_DAY, FIRST_DAY, utc_day
from markets.core.demo_prices import TARIFF_CODE
from markets.models import FlexEvent
from markets.services.demo import ALL_KNOWN_AT, STEPS, seed_demo

pytestmark = pytest.mark.django_db  # its own transaction stands within the module's; unmarked, no test database is made

AREA = demo_area()
DAY = charging_day(CHARGING_DAY)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("var")


@pytest.fixture(scope="module")
def rolled_back(django_db_setup: None, django_db_blocker) -> Iterator[None]:
    """One transaction around the tests of this module: the seeding takes seconds, the tests only read."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield
        transaction.set_rollback(True)


class Interrupted(Exception):
    pass


@pytest.fixture(scope="module")
def left_by_interruption(rolled_back: None, folder: Path) -> tuple[bool, bool]:
    """Whether nodes and log-ins stand after a seeding that broke off before its last step."""

    def break_off(step: str) -> None:
        if step == list(STEPS)[-1]:
            raise Interrupted

    with pytest.raises(Interrupted):
        seed_demo(log_ins=folder / "interrupted.txt", progress=break_off)
    return NetworkNode.objects.exists(), (folder / "interrupted.txt").exists()


@pytest.fixture(scope="module")
def rows_of_another_database(left_by_interruption: tuple[bool, bool], folder: Path) -> dict[str, list[tuple]]:
    """Rows of a seeding that is undone: the next one meets other keys, as another database would."""
    with transaction.atomic():
        seed_demo(log_ins=folder / "other-logins.txt")
        rows = stored_rows()
        transaction.set_rollback(True)
    return rows


@pytest.fixture(scope="module")
def seeded(rows_of_another_database: dict[str, list[tuple]], folder: Path) -> list[str]:
    """Names of the steps taken."""
    steps: list[str] = []
    assert seed_demo(log_ins=folder / "demo-logins.txt", progress=steps.append).is_new
    return steps


def stored_rows() -> dict[str, list[tuple]]:
    """Every fact of the demo by names instead of database keys, in an order of its own."""
    sources = {
        "nodes": NetworkNode.objects.values_list(
            "code", "name", "kind", "parent__code", "phase", "organisation__code", "n_customers", "admd_kw"
        ),
        "ratings": NodeRating.objects.values_list(
            "node__code", "valid_from", "rating_kva", "power_factor", "cyclic_factor", "diversity", "ramp_kw"
        ),
        "meters": Meter.objects.across_tenants().values_list(
            "code", "kind", "node__code", "accuracy_class", "organisation__code"
        ),
        "evses": EVSE.objects.across_tenants().values_list(
            "pseudonym", "node__code", "phases", "rated_kw", "scenario", "meter__code", "firmware", "delay_max_s"
        ),
        "identities": EvseIdentity.objects.across_tenants().values_list("evse__pseudonym", "csms__code", "csms_ref"),
        "enrolments": Enrolment.objects.across_tenants().values_list(
            "evse__pseudonym", "dsrsp__code", "starts_at", "ends_at", "consented_at"
        ),
        "sessions": ChargingSession.objects.across_tenants().values_list(
            "evse__pseudonym",
            "session_ref",
            "organisation__code",
            "plug_in_at",
            "plug_out_at",
            "energy_kwh",
            "received_at",
        ),
        "readings": MeterDay.objects.across_tenants().values_list(
            "meter__code", "day", "organisation__code", "received_at", "energy_kwh"
        ),
        "prices": TariffDay.objects.values_list("tariff__code", "day", "received_at", "price_gbp_per_kwh"),
        "carbon": CarbonDay.objects.values_list("day", "received_at", "forecast_gco2_per_kwh", "actual_gco2_per_kwh"),
        "batches": Batch.objects.values_list("kind", "source", "sha256", "received_at"),
        "requests": TargetSignal.objects.values_list("reference", "node__code", "starts_at", "ends_at", "target_kw"),
        "events": FlexEvent.objects.values_list("signal__reference", "product__code", "price_gbp_per_mwh"),
    }
    return {name: sorted(rows, key=repr) for name, rows in sources.items()}


@pytest.mark.usefixtures("seeded")
class TestSeedDemo:
    def test_tells_each_step_once(self, seeded):
        assert seeded == list(STEPS)

    def test_registers_the_network_as_drawn(self):
        area = load_area(root=find_node("NM"), starts_at=DAY.starts_at, ends_at=DAY.ends_at)
        assert sorted(area.codes) == sorted(node.code for node in AREA.nodes)
        by_code = {node.code: node for node in AREA.nodes}
        for code, parent, kva, ramp_kw in zip(area.codes, area.parent, area.rating_kva, area.ramp_kw, strict=True):
            node = by_code[code]
            assert (node.parent is None and parent < 0) or area.codes[parent] == node.parent
            assert kva == node.rating_kva
            assert ramp_kw == (np.inf if node.ramp_kw is None else node.ramp_kw)
        assert area.n_customers.sum() == 420

    def test_registers_each_evse_with_its_pseudonym_place_and_rating(self):
        stored = {
            row[0]: row[1:]
            for row in EVSE.objects.across_tenants().values_list(
                "pseudonym", "node__code", "rated_kw", "phases", "scenario", "meter__code"
            )
        }
        fleet = AREA.fleet
        columns = (fleet.node_codes, fleet.rated_kw, fleet.phases, fleet.scenarios, fleet.meter_codes)
        assert stored == dict(
            zip(fleet.evse_ids.tolist(), zip(*(c.tolist() for c in columns), strict=True), strict=True)
        )

    def test_stores_every_session_known_when_it_ended_and_finds_nothing_odd(self):
        sessions = AREA.sessions
        stored = ChargingSession.objects.across_tenants().order_by("session_ref")
        rows = list(stored.values_list("evse__pseudonym", "plug_in_at", "plug_out_at", "energy_kwh", "received_at"))
        order = np.argsort(sessions.session_ids)
        assert [row[0] for row in rows] == sessions.evse_ids[sessions.evse[order]].tolist()
        assert [row[3] for row in rows] == sessions.energy_kwh[order].tolist()
        in_at = [at.astype(object) for at in sessions.plug_in_at[order]]
        out_at = [at.astype(object) for at in sessions.plug_out_at[order]]
        assert [row[1].replace(tzinfo=None) for row in rows] == in_at
        assert [row[2].replace(tzinfo=None) for row in rows] == out_at
        assert [row[4].replace(tzinfo=None) for row in rows] == out_at
        assert not Finding.objects.across_tenants().exists()

    def test_gives_sessions_and_readings_to_the_dsrsp_of_their_time(self):
        moved = {enrolment.evse: enrolment for enrolment in AREA.fleet.enrolments if enrolment.ends_at}
        assert len(moved) == 6
        for evse, first in moved.items():
            pseudonym = AREA.fleet.evse_ids[evse]
            sessions = ChargingSession.objects.across_tenants().filter(evse__pseudonym=pseudonym)
            assert sessions.count() > 0
            for session in sessions.select_related("organisation"):
                assert (session.organisation.code == first.dsrsp) == (session.plug_in_at < first.ends_at)
            days = MeterDay.objects.across_tenants().filter(meter__evse__pseudonym=pseudonym)
            before = days.filter(day__lt=first.ends_at.date())
            assert set(before.values_list("organisation__code", flat=True)) == {first.dsrsp}
            assert before.count() == (first.ends_at.date() - FIRST_DAY).days

    @pytest.mark.parametrize("kind", ["asset", "feeder"])
    def test_stores_the_readings_as_drawn(self, kind):
        codes, expected = (
            (AREA.fleet.meter_codes, AREA.asset_kwh)
            if kind == "asset"
            else (AREA.demand.meter_codes, AREA.demand.energy_kwh)
        )
        pks = dict(Meter.objects.across_tenants().filter(kind=kind).values_list("code", "pk"))
        assert sorted(pks) == sorted(codes)
        stored = load_energy_kwh(
            meter_pks=np.array([pks[code] for code in codes]),
            first_day=FIRST_DAY,
            last_day=utc_day(71),
            as_of=ALL_KNOWN_AT,
        ).energy_kwh.reshape(len(codes), -1)
        n_known = 70 * 48 + 24 if kind == "asset" else 72 * 48
        np.testing.assert_array_equal(stored[:, :n_known], expected[:, :n_known])
        assert np.isnan(stored[:, n_known:]).all()

    def test_knows_at_the_cycles_time_nothing_that_happened_later(self):
        known_days = MeterDay.objects.across_tenants().filter(received_at__lte=AS_OF)
        assert known_days.order_by("-day").first().day == utc_day(68)  # the day before, whole
        known = ChargingSession.objects.across_tenants().filter(received_at__lte=AS_OF)
        assert known.order_by("-plug_out_at").first().plug_out_at <= AS_OF
        on_the_day = ChargingSession.objects.across_tenants().filter(plug_in_at__gte=DAY.starts_at)
        assert on_the_day.count() > 100
        assert not on_the_day.filter(received_at__lte=DAY.starts_at).exists()
        outturns = [row for row in CarbonDay.objects.filter(received_at__lte=AS_OF) if row.actual_gco2_per_kwh[0]]
        assert max(row.day for row in outturns) == utc_day(68)

    def test_knows_at_the_cycles_time_the_prices_of_the_whole_charging_day(self):
        prices = load_prices_gbp_per_kwh(tariff=find_tariff(TARIFF_CODE), grid=DAY, as_of=AS_OF)
        first = 70 * 48 + 24
        np.testing.assert_array_equal(prices.values, AREA.prices.price_gbp_per_kwh[first : first + 48])
        assert not prices.findings

    def test_puts_the_request_under_the_product(self):
        event = FlexEvent.objects.get()
        assert (event.signal.node.code, event.signal.direction, event.signal.target_kw) == ("NM", "turn_down", 64)
        assert (event.product.code, event.product.version) == ("scheduled-utilisation", 1)
        assert event.product.buyer == event.signal.issued_by
        assert event.price_gbp_per_mwh == AREA.request.price_gbp_per_mwh

    def test_changes_nothing_the_second_time(self, folder):
        before, log_ins = stored_rows(), (folder / "demo-logins.txt").read_bytes()
        steps: list[str] = []
        again = seed_demo(log_ins=folder / "demo-logins.txt", progress=steps.append)
        assert (again.is_new, again.n_log_in_set, steps) == (False, 0, [])
        assert stored_rows() == before
        assert (folder / "demo-logins.txt").read_bytes() == log_ins

    def test_says_so_on_the_command_line(self, folder, settings):
        settings.VAR_DIR = folder
        out = StringIO()
        call_command("seed_demo", stdout=out)
        assert out.getvalue().splitlines() == [
            "The demo area is there already (charging day 2026-01-15, seed 20260115)."
        ]

    def test_gives_identical_rows_in_another_database(self, rows_of_another_database):
        assert stored_rows() == rows_of_another_database

    def test_leaves_nothing_when_it_breaks_off(self, left_by_interruption):
        assert left_by_interruption == (False, False)
