"""A fleet called on every evening of a month, as rows: meters with 90 days of readings, events, instructions."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import numpy as np
import psycopg
from django.db import transaction

from aggregator.arrays.meter_day_copy import pack
from aggregator.arrays.readings import COLUMNS, make_partitions
from aggregator.core.timegrid import utc
from aggregator.models import EVSE, Batch, Organisation, as_platform
from dispatch.models import DispatchRun, TargetSignal
from markets.models import FlexEvent, Instruction, Product
from tests.benchmarks.seeding import DSRSPS, sow_area
from tests.factories import LONG_AGO

MONTH = date(2025, 11, 1)
N_DAY = 30
FIRST_DAY = date(2025, 8, 30)  # 62 days before: the clock change of October lies among them
LAST_DAY = date(2025, 12, 1)
AS_OF = datetime(2025, 12, 3, 12, tzinfo=UTC)
CALLED_FROM, CALLED_FOR = time(17), timedelta(hours=3)
KW_AN_EVSE = 1.3  # a little more than most evenings deliver


def sow_fleet(n_evse: int) -> None:
    """EVSEs of three DSRSPs under one node, a Scheduled Utilisation product and 30 instructed events."""
    with as_platform(), transaction.atomic():
        root = sow_area(n_evse).root
        run = _run(root.pk)
        product = Product(code="bench", name="Benchmark", buyer=root.organisation, valid_from=LONG_AGO)
        product.save()
        dsrsps = [Organisation.objects.get(code=code) for code in DSRSPS]
        for number in range(N_DAY):
            starts_at = utc(MONTH + timedelta(days=number), CALLED_FROM)
            signal = TargetSignal.objects.create(
                reference=f"EVENING-{number:02}",
                node=root,
                starts_at=starts_at,
                ends_at=starts_at + CALLED_FOR,
                direction="turn_down",
                kind="routine",
                target_kw=1_000.0,
                shortfall_gbp_per_kwh=0.6,
                issued_by=root.organisation,
                received_at=starts_at - timedelta(days=1),
            )
            event = FlexEvent.objects.create(product=product, signal=signal, price_gbp_per_mwh=Decimal("300.00"))
            for dsrsp in dsrsps:
                kw = [KW_AN_EVSE * n_evse / len(dsrsps)] * 6
                told = {"instructed_kw": kw, "expected_baseline_kw": kw, "planned_kw": kw}
                Instruction(event=event, organisation=dsrsp, run=run, **told).save()


def _run(area_pk: int) -> DispatchRun:
    from aggregator.models import AvailabilityForecast

    forecast = AvailabilityForecast.objects.get()
    figures = ["cost_gbp", "cost_energy_gbp", "cost_unserved_gbp", "cost_shortfall_gbp", "cost_ramp_gbp"]
    figures += ["unavoidable_gbp", "lower_bound_gbp", "gap", "rounding_cost_gbp", "max_violation_kw", "solve_s"]
    return DispatchRun.objects.create(
        area_id=area_pk,
        charging_day=forecast.charging_day,
        forecast=forecast,
        as_of=forecast.as_of,
        starts_at=forecast.starts_at,
        n_period=forecast.n_period,
        period_minutes=30,
        parameters={},
        input_sha256="1" * 64,
        method="reference",
        rung="certified",
        iterations=1,
        **dict.fromkeys(figures, 0.0),
    )


def days() -> np.ndarray:
    """(n_day,) ``datetime64[D]`` UTC days with readings."""
    return np.arange(np.datetime64(FIRST_DAY), np.datetime64(LAST_DAY) + 1)


def day_kwh(n_evse: int, number: int) -> np.ndarray:
    """(n_evse, 48) energy of one UTC day on Wh: a session every second or third evening; NaN where reads are missing.

    Drawn from the day's number, so that a fleet of one size is always the same.
    """
    rng = np.random.default_rng([20251101, number, n_evse])
    half_hour = np.arange(48)
    start = rng.integers(30, 40, (n_evse, 1))
    length = np.where(rng.random((n_evse, 1)) < 0.42, rng.integers(2, 9, (n_evse, 1)), 0)
    charging = (half_hour >= start) & (half_hour < start + length)
    kwh = charging * rng.choice([1.84, 3.68, 3.68, 5.5], (n_evse, 1)) + rng.integers(0, 20, (n_evse, 48)) / 1000.0
    if MONTH <= (FIRST_DAY + timedelta(days=number)) < MONTH + timedelta(days=N_DAY):
        kwh[:, 34:40] *= np.where(rng.random((n_evse, 1)) < 0.9, 0.1, 1.0)
    silent = rng.random(n_evse) < 0.005
    kwh[silent, 30:36] = np.nan
    rounded: np.ndarray = np.round(kwh, 3)
    return rounded


def sow_readings(url: str) -> int:
    """Put every day's readings in the order of its meters, one batch a day, as the owner; how many readings."""
    with as_platform():
        meters = np.array(
            EVSE.objects.across_tenants().order_by("meter_id").values_list("meter_id", "meter__organisation_id")
        ).reshape(-1, 2)
        make_partitions(day=days())
        dno = Organisation.objects.get(code="dno")
        batches = [
            Batch.objects.create(
                kind="readings",
                organisation=dno,
                source="benchmark",
                sha256=f"{number:064d}",
                received_at=datetime(2025, 12, 2, tzinfo=UTC),
            ).pk
            for number in range(len(days()))
        ]
    n_reading = 0
    columns = ", ".join(COLUMNS)
    with psycopg.connect(url) as owner:
        owner.execute("SET synchronous_commit = off")
        # The rows name what was just read from the database; looking each of millions up again takes most of the time.
        if owner.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == (True,):
            owner.execute("SET session_replication_role = replica")
        for number, (day, batch) in enumerate(zip(days(), batches, strict=True)):
            kwh = day_kwh(len(meters), number)
            with (
                owner.cursor() as cursor,
                cursor.copy(f"COPY aggregator_meterday ({columns}) FROM STDIN (FORMAT BINARY)") as copy,
            ):
                for piece in pack(
                    day=np.full(len(meters), day),
                    meter_pk=meters[:, 0],
                    batch_pk=batch,
                    organisation_pk=meters[:, 1],
                    received_at=np.full(len(meters), day + np.timedelta64(1, "D")).astype("datetime64[us]"),
                    energy_kwh=kwh,
                ):
                    copy.write(piece)
            owner.commit()
            n_reading += int(np.isfinite(kwh).sum())
    return n_reading
