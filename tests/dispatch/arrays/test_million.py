"""From rows to rows on a generated area: the path of a million EVSEs, walked with two thousand."""

import importlib

import numpy as np
import pytest
from django.db import IntegrityError, connection

from aggregator.models import EVSE, Enrolment, EvseForecast, Finding
from dispatch.arrays.runs import load_ceilings
from dispatch.core.assemble import RunParameters
from dispatch.models import DispatchRun, RunNode, Setpoint
from dispatch.services.runs import run_dispatch
from tests.benchmarks.seeding import AS_OF, TARIFF, sow_area

pytestmark = pytest.mark.django_db

N_EVSE = 2_000


def dispatch(n_evse: int = N_EVSE, *, has_phases: bool = True) -> DispatchRun:
    sown = sow_area(n_evse, has_phases=has_phases)
    parameters = RunParameters(method="greedy")
    return run_dispatch(forecast=sown.forecast, as_of=AS_OF, tariff_code=TARIFF, parameters=parameters)


class TestFromRowsToRows:
    def test_writes_what_it_read_and_adds_up(self):
        run = dispatch()
        rows = list(Setpoint.objects.across_tenants().filter(run=run).select_related("evse__node__parent"))
        assert len(rows) == N_EVSE
        asked = dict(EvseForecast.objects.across_tenants().values_list("evse_id", "energy_kwh"))
        windows = dict(EvseForecast.objects.across_tenants().values_list("evse_id", "start_period"))
        served_kwh = 0.0
        for row in rows:
            assert row.energy_kwh + row.unserveable_kwh == pytest.approx(asked[row.evse_id])
            assert row.start_period == windows[row.evse_id]
            assert row.ampere_kw == 0.23 * row.evse.phases
            assert row.organisation_id == row.evse.meter.organisation_id
            served_kwh += row.energy_kwh - row.unserved_kwh
        assert 0 < served_kwh < sum(asked.values())  # limits bind
        of_node = {node.node_id: node for node in RunNode.objects.filter(run=run).select_related("node")}
        feeders = {node.pk: np.zeros(run.n_period) for node in (one.node for one in of_node.values())}
        for row in rows:
            feeder = row.evse.node if row.evse.node.kind == "feeder" else row.evse.node.parent
            feeders[feeder.pk] += row.setpoint_kw
        for pk, node in of_node.items():
            if node.node.kind == "feeder":
                np.testing.assert_allclose(feeders[pk], node.ceiling_kw, atol=1e-9)
                assert (np.array(node.ceiling_kw) <= np.array(node.limit_kw) + 1e-6).all()

    def test_reads_back_what_it_wrote(self):
        run = dispatch(300, has_phases=False)
        ceilings = load_ceilings(run=run)
        assert ceilings.evse_ids.tolist() == sorted(EVSE.objects.across_tenants().values_list("pseudonym", flat=True))
        stored = {row.evse_id: row for row in Setpoint.objects.across_tenants().filter(run=run)}
        for at, pk in enumerate(ceilings.evse_pks.tolist()):
            assert ceilings.setpoint_a[at].tolist() == stored[pk].setpoint_a
            assert ceilings.planned_a[at].tolist() == stored[pk].planned_a

    def test_tells_each_dsrsp_of_its_own_shortfalls(self):
        run = dispatch()
        found = Finding.objects.across_tenants().filter(source=f"run:{run.pk}", code="dispatch.unserved")
        owner = dict(
            Setpoint.objects.across_tenants().filter(run=run).values_list("evse__pseudonym", "organisation_id")
        )
        short = {
            row.evse.pseudonym
            for row in Setpoint.objects.across_tenants().filter(run=run).select_related("evse")
            if row.unserved_kwh + row.unserveable_kwh > 1e-3
        }
        assert short
        assert {one.subject for one in found} == short
        assert all(one.organisation_id == owner[one.subject] for one in found)


class TestReferences:
    """Checked for a statement's rows at once, and as strictly as a foreign key would."""

    def setpoint(self, **other: int) -> Setpoint:
        row = Setpoint.objects.across_tenants().first()
        assert row is not None
        Setpoint.objects.across_tenants().filter(pk=row.pk).delete()
        row.pk = None
        for name, value in other.items():
            setattr(row, name, value)
        return row

    @pytest.mark.parametrize("name", ["run_id", "evse_id", "organisation_id"])
    def test_a_row_of_nothing_is_refused(self, name):
        dispatch(60)
        with pytest.raises(IntegrityError, match=f"{name} 999999999"):
            self.setpoint(**{name: 999_999_999}).save()

    def test_an_evse_with_setpoints_stays(self):
        dispatch(60)
        evse = EVSE.objects.across_tenants().first()
        assert evse is not None
        Enrolment.objects.across_tenants().filter(evse=evse).delete()
        EvseForecast.objects.across_tenants().filter(evse=evse).delete()
        with connection.cursor() as cursor, pytest.raises(IntegrityError, match="setpoints still name rows"):
            cursor.execute("DELETE FROM aggregator_evse WHERE id = %s", [evse.pk])

    def test_a_run_takes_its_setpoints_with_it(self):
        run = dispatch(60)
        run.delete()
        assert not Setpoint.objects.across_tenants().exists()


OLD = """
CREATE TEMP TABLE old_rows (
    evse_id bigint, planned_kw float8[], setpoint_a smallint[], setpoint_kw float8[], ampere_kw float8,
    planned_a smallint[]
) ON COMMIT DROP
"""


class TestRowsOfBefore:
    """Rows that held kW become amperes and kW again, to the last bit."""

    def test_forth_and_back(self):
        sow_area(60)
        moved = importlib.import_module("dispatch.migrations.0007_amperes_of_kw")
        evses = list(EVSE.objects.across_tenants().order_by("pk")[:12])
        rng = np.random.default_rng(1)
        rows = []
        for at, evse in enumerate(evses):
            unit_kw = 0.23 * evse.phases
            setpoint_a = rng.choice([0, 6, 7, 13, 32, 32767], 48) if at % 3 else np.zeros(48, dtype=int)
            planned_a = np.minimum(setpoint_a, rng.integers(0, 40, 48))
            rows.append((evse.pk, (planned_a * unit_kw).tolist(), setpoint_a.tolist(), (setpoint_a * unit_kw).tolist()))
        read = "SELECT evse_id, planned_kw, setpoint_a, setpoint_kw FROM old_rows ORDER BY evse_id"
        with connection.cursor() as cursor:
            cursor.execute(OLD)
            cursor.executemany("INSERT INTO old_rows VALUES (%s, %s, %s::smallint[], %s, NULL, NULL)", rows)
            for forwards in (moved.AMPERE_KW, moved.PLANNED_A):
                cursor.execute(forwards.format(table="old_rows"))
            cursor.execute("SELECT ampere_kw, planned_a, evse_id FROM old_rows ORDER BY evse_id")
            found = cursor.fetchall()
            assert [row[0] for row in found] == [0.23 * evse.phases for evse in evses]
            assert [(np.array(row[1]) * row[0]).tolist() for row in found] == [row[1] for row in rows]
            cursor.execute("UPDATE old_rows SET planned_kw = NULL, setpoint_kw = NULL")
            for kw, a in (("planned_kw", "planned_a"), ("setpoint_kw", "setpoint_a")):
                cursor.execute(moved.KW.format(table="old_rows", kw=kw, a=a))
            cursor.execute(read)
            assert [tuple(row) for row in cursor.fetchall()] == rows
