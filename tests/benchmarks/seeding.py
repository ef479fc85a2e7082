"""A generated area as rows, as large as wanted: what a run of it reads, put there by the database itself."""
# ruff: noqa: S608 - every word of the statements stands here

from dataclasses import dataclass
from datetime import date, time, timedelta

import numpy as np
from django.db import connection, transaction

from aggregator.arrays.readings import store_meter_days
from aggregator.core.timegrid import charging_day, utc
from aggregator.models import AvailabilityForecast, Batch, NetworkNode, Organisation, Tariff, TariffDay, as_platform
from dispatch.models import TargetSignal
from tests.factories import LONG_AGO, make_dno, make_meter, make_node, make_organisation

DAY = date(2026, 1, 15)
GRID = charging_day(DAY)
AS_OF = GRID.starts_at - timedelta(hours=2)
TARIFF = "benchmark"
DSRSPS = ("amber", "blue", "clear")
EVSES_A_FEEDER, FEEDERS_A_SUBSTATION, SUBSTATIONS_A_PRIMARY = 50, 4, 40
CUSTOMERS_A_FEEDER = 100
MONITORED_DAYS = 57
# Of each level: its codes, how many below it share one of the level above, and kVA for every feeder under it.
LEVELS = (
    ("primary", "P", SUBSTATIONS_A_PRIMARY * FEEDERS_A_SUBSTATION, None, 240.0),
    ("distribution", "D", FEEDERS_A_SUBSTATION, "P", 280.0),
    ("feeder", "F", 1, "D", 330.0),
)


@dataclass(frozen=True, slots=True)
class Sown:
    """What a run is asked for."""

    forecast: AvailabilityForecast
    root: NetworkNode


def sow_area(n_evse: int, *, has_phases: bool = False) -> Sown:
    """Write an area with ``n_evse`` EVSEs, all with a planned session, of three DSRSPs, under limits that bind.

    One EVSE in ten is three-phase. Homes hang on the phases of their feeder where it has them. Numbers come from the
    rows' own counters, so the same size is the same area.
    """
    with as_platform(), transaction.atomic():
        dno = make_dno()
        root = make_node("B", "primary", rating_kva=None, dno=dno)
        dsrsps = [make_organisation(code) for code in DSRSPS]
        batch = Batch.objects.create(
            kind="network", organisation=dno, source="benchmark", sha256="0" * 64, received_at=LONG_AGO
        )
        _sow_nodes(n_evse, root, has_phases=has_phases)
        _sow_evses(n_evse, dsrsps, has_phases=has_phases)
        _sow_prices(batch)
        _sow_request(root)
        forecast = _sow_sessions(root)
        _sow_monitors(batch)
    return Sown(forecast, root)


def _sow_nodes(n_evse: int, root: NetworkNode, *, has_phases: bool) -> None:
    n_feeder = -(-n_evse // EVSES_A_FEEDER)
    n_primary = -(-n_feeder // (FEEDERS_A_SUBSTATION * SUBSTATIONS_A_PRIMARY))
    _rate(f"VALUES ({root.pk}, {220.0 * n_primary * FEEDERS_A_SUBSTATION * SUBSTATIONS_A_PRIMARY})")
    for kind, letter, n_under, parent, kva in LEVELS:
        above = f"(SELECT id FROM aggregator_networknode WHERE code = '{parent}' || at * {n_under} / {{each}})"
        each = next((level[2] for level in LEVELS if level[1] == parent), 1)
        _run(
            f"""
            INSERT INTO aggregator_networknode
                (code, name, kind, parent_id, phase, organisation_id, n_customers, admd_kw)
            SELECT '{letter}' || at, '', '{kind}', {above.format(each=each) if parent else root.pk}, '',
                {root.organisation_id}, {CUSTOMERS_A_FEEDER if kind == "feeder" else 0}, 1.5
            FROM generate_series(0, {-(-n_feeder // n_under) - 1}) AS at
            """
        )
        # By rank, not by key: keys go on counting from one database, or test, to the next.
        spread = f"{kva} * {n_under} * (0.85 + 0.3 * mod(row_number() OVER (ORDER BY id) * 7919, 101) / 100.0)"
        _rate(f"SELECT id, {spread} FROM aggregator_networknode WHERE code ~ '^{letter}[0-9]+$'")
    if has_phases:
        _run(
            """
            INSERT INTO aggregator_networknode
                (code, name, kind, parent_id, phase, organisation_id, n_customers, admd_kw)
            SELECT code || '-' || letter, '', 'phase', id, letter, organisation_id, 0, 1.5
            FROM aggregator_networknode CROSS JOIN unnest(ARRAY['A', 'B', 'C']) AS each (letter)
            WHERE kind = 'feeder'
            """
        )
        kva = "160.0 + mod(row_number() OVER (ORDER BY id) * 7919, 40)"
        _rate(f"SELECT id, {kva} FROM aggregator_networknode WHERE kind = 'phase'")


def _rate(nodes_and_kva: str) -> None:
    _run(
        f"""
        INSERT INTO aggregator_noderating
            (node_id, valid_from, rating_kva, power_factor, cyclic_factor, diversity, ramp_kw, source)
        SELECT node_id, '2010-01-01Z', kva, 0.98, 1.0, 1.0, NULL, '' FROM ({nodes_and_kva}) AS rated (node_id, kva)
        """
    )


def _sow_evses(n_evse: int, dsrsps: list[Organisation], *, has_phases: bool) -> None:
    owner = f"(ARRAY{[dsrsp.pk for dsrsp in dsrsps]}::bigint[])[1 + mod(at, {len(dsrsps)})]"
    series = f"generate_series(0, {n_evse - 1}) AS at"
    phase = "CASE WHEN mod(at, 10) = 0 THEN '' ELSE '-' || substr('ABC', 1 + mod(at, 3), 1) END" if has_phases else "''"
    _run(
        f"""
        INSERT INTO aggregator_meter (code, kind, node_id, accuracy_class, organisation_id)
        SELECT 'asset-' || at, 'asset', NULL, '', {owner} FROM {series}
        """
    )
    _run(
        f"""
        INSERT INTO aggregator_evse
            (pseudonym, node_id, phases, rated_kw, min_current_a, scenario, meter_id, firmware, delay_max_s)
        SELECT 'evse_' || md5(at::text), node.id, CASE WHEN mod(at, 10) = 0 THEN 3 ELSE 1 END,
            CASE WHEN mod(at, 10) = 0 THEN 22.08 WHEN mod(at, 4) = 0 THEN 3.68 ELSE 7.36 END, 6.0,
            'off_street_residential', meter.id, '', 600
        FROM {series}
        JOIN aggregator_networknode AS node ON node.code = 'F' || at / {EVSES_A_FEEDER} || {phase}
        JOIN aggregator_meter AS meter ON meter.code = 'asset-' || at
        ORDER BY at
        """
    )
    _run(
        """
        INSERT INTO aggregator_enrolment
            (evse_id, dsrsp_id, starts_at, ends_at, consented_at, consent_evidence, services)
        SELECT evse.id, organisation_id, '2020-01-01Z', NULL, '2020-01-01Z', '', '{routine}'
        FROM aggregator_evse AS evse JOIN aggregator_meter AS meter ON meter.id = meter_id
        """
    )


def _sow_sessions(root: NetworkNode) -> AvailabilityForecast:
    """Evening arrivals, morning departures, needs of 4 to 40 kWh."""
    forecast = AvailabilityForecast.objects.create(
        charging_day=DAY,
        area=root,
        as_of=AS_OF,
        starts_at=GRID.starts_at,
        n_period=GRID.n_period,
        method="benchmark",
        rule={"min_probability": 0.2},
        input_sha256="0" * 64,
        quantiles=[0.1, 0.5, 0.9],
        n_session_known=0,
    )
    _run(
        f"""
        INSERT INTO aggregator_evseforecast
            (forecast_id, evse_id, organisation_id, probability, plug_in_h, plug_out_h, energy_quantiles_kwh,
             start_period, end_period, energy_kwh)
        SELECT {forecast.pk}, evse_id, dsrsp_id, 0.3 + 0.006 * draw, ARRAY[5, 6, 7], ARRAY[19, 20, 21], ARRAY[4, 9, 20],
            8 + mod(draw, 13), 36 + mod(draw * 7, 12), 4 + 0.003 * draw * draw
        FROM (SELECT evse_id, dsrsp_id, mod(row_number() OVER (ORDER BY evse_id) * 7919, 110) AS draw
              FROM aggregator_enrolment) AS drawn
        ORDER BY evse_id
        """
    )
    return forecast


def _sow_prices(batch: Batch) -> None:
    tariff = Tariff.objects.create(code=TARIFF, name="Benchmark")
    hour = np.arange(48) / 2
    price = 0.18 + 0.12 * np.exp(-(((hour - 18) / 2) ** 2)) - 0.08 * np.exp(-(((hour - 3.5) / 2.5) ** 2))
    for ahead in range(-1, 3):
        TariffDay.objects.create(
            tariff=tariff,
            day=DAY + timedelta(days=ahead),
            received_at=LONG_AGO,
            batch=batch,
            price_gbp_per_kwh=price.round(4).tolist(),
        )


def _sow_request(root: NetworkNode) -> None:
    """A turn-down of one primary from 17:00 to 19:00."""
    TargetSignal.objects.create(
        reference="BENCH-1",
        node=NetworkNode.objects.get(code="P0"),
        starts_at=utc(DAY, time(17)),
        ends_at=utc(DAY, time(19)),
        direction="turn_down",
        kind="routine",
        target_kw=2_000.0,
        shortfall_gbp_per_kwh=0.6,
        issued_by=root.organisation,
        received_at=AS_OF - timedelta(hours=1),
    )


def _sow_monitors(batch: Batch) -> None:
    """A monitor at every primary that read the same through each half-hour of the weeks before."""
    primaries = list(NetworkNode.objects.filter(code__regex=r"^P[0-9]+$").order_by("pk"))
    meters = [
        make_meter(f"{node.code}-monitor", "feeder", node=node, organisation=node.organisation) for node in primaries
    ]
    days = np.datetime64(AS_OF.date() - timedelta(days=MONITORED_DAYS), "D") + np.arange(MONITORED_DAYS)
    n_row = len(meters) * MONITORED_DAYS
    evening_kw = 0.6 + 0.4 * np.exp(-(((np.arange(48) / 2 - 18) / 3) ** 2))
    store_meter_days(
        batch_pk=batch.pk,
        day=np.tile(days, len(meters)),
        meter_pk=np.repeat([meter.pk for meter in meters], MONITORED_DAYS),
        organisation_pk=np.repeat([meter.organisation_id for meter in meters], MONITORED_DAYS),
        received_at=np.full(n_row, np.datetime64("2026-01-15T00:00", "us")),
        energy_kwh=np.tile(50.0 * SUBSTATIONS_A_PRIMARY * FEEDERS_A_SUBSTATION * evening_kw, (n_row, 1)),
    )


def _run(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
