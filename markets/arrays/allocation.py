"""P375 between rows and arrays: registrations, what their meters read, and what was filed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

import numpy as np
from django.db.models import F, Q

from aggregator.arrays.calendar import bank_holidays
from aggregator.arrays.readings import load_energy_kwh
from aggregator.core.intervals import to_datetime64
from aggregator.core.meter_energy import MeterEnergy
from aggregator.core.readings import HALF_HOUR, PERIODS_A_DAY
from aggregator.core.timegrid import LONDON, TimeGrid, settlement_day
from aggregator.core.types import BoolArray, FloatArray, TimeArray
from aggregator.models import Organisation
from markets.arrays.settlement import event_grid
from markets.core.allocation import Allocation, AssetEnergy, filed_decimal
from markets.core.baseline import BaselineHistory, BaselineRule, event_baseline
from markets.core.delivered_file import PairVolume
from markets.core.energy import decimal_kwh
from markets.core.history import adjustment_starts, candidate_days, local_dates, same_local_time
from markets.models import (
    AssetRegistration,
    BoundaryVolume,
    DeliveredVolumeFile,
    DeviationVolume,
    FlexEvent,
    Instruction,
    InstructionStop,
)

ONE_DAY = timedelta(days=1)
NEVER = np.datetime64("9999-01-01", "us")


@dataclass(frozen=True, slots=True)
class FiledDay:
    """One firm's assets on one settlement date.

    Attributes:
        registrations: (n_asset,) in force that day, by import AMSID.
        grid: the day's settlement periods.
        energy: what was metered and expected; no baseline outside the events the firm was called in.
        called: (n_period,) it was called in.
    """

    registrations: tuple[AssetRegistration, ...]
    grid: TimeGrid
    energy: AssetEnergy
    called: BoolArray


def load_registrations(*, organisation: Organisation, day: date) -> tuple[AssetRegistration, ...]:
    """Registrations of one firm in force on a settlement date, by import AMSID."""
    in_force = Q(valid_from__lte=day) & (Q(valid_to__isnull=True) | Q(valid_to__gt=day))
    found = AssetRegistration.objects.for_tenant(organisation).filter(in_force)
    return tuple(found.select_related("unit", "meter", "boundary_meter").order_by("import_amsid"))


def load_filed_day(
    *,
    organisation: Organisation,
    day: date,
    registrations: tuple[AssetRegistration, ...],
    rule: BaselineRule,
    as_of: datetime,
) -> FiledDay:
    """Load what was known at ``as_of`` of a firm's assets on a settlement date.

    An event that runs over midnight has the baseline it has as a whole; of two events at once the earlier one's stands.
    """
    grid = settlement_day(day)
    baseline_kwh = np.full((len(registrations), grid.n_period), np.nan)
    called = np.zeros(grid.n_period, dtype=np.bool_)
    for event in _events(organisation, grid):
        inside, of_event_kwh = _event_baseline(organisation, event, registrations, rule, grid, as_of)
        fresh = inside >= 0
        fresh[fresh] &= ~called[inside[fresh]]
        baseline_kwh[:, inside[fresh]] = of_event_kwh[:, fresh]
        called[inside[fresh]] = True
    boundaries = sorted({one.import_msid for one in registrations})
    return FiledDay(
        registrations,
        grid,
        AssetEnergy(
            asset_ids=tuple(one.import_amsid for one in registrations),
            boundary_ids=tuple(boundaries),
            boundary=np.array([boundaries.index(one.import_msid) for one in registrations], dtype=np.int64),
            metered_kwh=_metered(tuple(one.meter_id for one in registrations), grid, as_of),
            baseline_kwh=baseline_kwh,
            boundary_kwh=_boundary_kwh(registrations, boundaries, grid, as_of),
            max_import_kw=np.array([one.max_import_kw for one in registrations], dtype=np.float64),
            max_export_kw=np.array([one.max_export_kw for one in registrations], dtype=np.float64),
        ),
        called,
    )


def _events(organisation: Organisation, grid: TimeGrid) -> list[FlexEvent]:
    """Events of the day the firm was called in, by their start."""
    told = Instruction.objects.for_tenant(organisation)
    events = FlexEvent.objects.filter(
        instructions__in=told, signal__starts_at__lt=grid.ends_at, signal__ends_at__gt=grid.starts_at
    )
    return list(events.select_related("signal").distinct().order_by("signal__starts_at", "pk"))


def _event_baseline(
    organisation: Organisation,
    event: FlexEvent,
    registrations: Sequence[AssetRegistration],
    rule: BaselineRule,
    grid: TimeGrid,
    as_of: datetime,
) -> tuple[np.ndarray, FloatArray]:
    """(n_event_period,) index of each period called on the day, -1 for the others; and (n_asset, …) baselines."""
    of_event = event_grid(event.signal)
    starts = of_event.period_starts()
    window = adjustment_starts(
        of_event.starts_at, n_periods=rule.adjustment_periods, gap_periods=rule.adjustment_gap_periods
    )
    days = candidate_days(starts, window, lookback_days=rule.lookback_days)
    energy = load_energy_kwh(
        meter_pks=np.array([one.meter_id for one in registrations], dtype=np.int64),
        first_day=days[0] - ONE_DAY,
        last_day=of_event.ends_at.date(),
        as_of=as_of,
    )
    called = _called_days(organisation, event, days)
    history = BaselineHistory(
        row_ids=tuple(one.import_amsid for one in registrations),
        grid=of_event,
        days=days,
        holidays=frozenset(bank_holidays(days[0], of_event.ends_at.astimezone(LONDON).date())),
        is_event_day=np.broadcast_to(called, (len(registrations), len(days))),
        event_kwh=np.stack([_at(energy, same_local_time(starts, day)) for day in days], axis=1),
        adjustment_kwh=np.stack([_at(energy, same_local_time(window, day)) for day in days], axis=1),
        adjustment_metered_kwh=_at(energy, window),
    )
    index = ((starts - grid.period_starts()[0]) // HALF_HOUR).astype(np.int64)
    is_called = (index >= 0) & (index < grid.n_period) & (starts < _stopped_at(organisation, event, as_of))
    inside = np.where(is_called, index, -1)
    return inside, event_baseline(history, rule).baseline_kwh


def _stopped_at(organisation: Organisation, event: FlexEvent, as_of: datetime) -> np.datetime64:
    """When the firm was told to stop, as known then; never, where it was not."""
    stops = InstructionStop.objects.for_tenant(organisation).filter(instruction__event=event, recorded_at__lte=as_of)
    first = stops.order_by("stopped_at").values_list("stopped_at", flat=True).first()
    return to_datetime64(first) if first else NEVER


def _called_days(organisation: Organisation, event: FlexEvent, days: Sequence[date]) -> BoolArray:
    """(n_day,) on which the firm was called before, whatever the zone."""
    earlier = Instruction.objects.for_tenant(organisation).exclude(event=event)
    earlier = earlier.exclude(stops__stopped_at__lte=F("event__signal__starts_at")).select_related("event__signal")
    called = {day for one in earlier for day in local_dates(event_grid(one.event.signal).period_starts())}
    return np.array([day in called for day in days], dtype=np.bool_)


def _at(energy: MeterEnergy, instants: TimeArray) -> FloatArray:
    """(n_meter, n_instant) energy of the half-hours that start at these instants."""
    period = ((instants - np.datetime64(energy.first_day, "s")) // HALF_HOUR).astype(np.int64)
    values: FloatArray = energy.energy_kwh.reshape(len(energy.energy_kwh), energy.n_day * PERIODS_A_DAY)[:, period]
    return values


def _metered(meter_pks: Sequence[int], grid: TimeGrid, as_of: datetime) -> FloatArray:
    energy = load_energy_kwh(
        meter_pks=np.array(meter_pks, dtype=np.int64),
        first_day=grid.starts_at.date(),
        last_day=(grid.ends_at - timedelta(seconds=1)).date(),
        as_of=as_of,
    )
    return energy.on_grid(grid)


def _boundary_kwh(
    registrations: Sequence[AssetRegistration], boundaries: Sequence[str], grid: TimeGrid, as_of: datetime
) -> FloatArray:
    """(n_boundary, n_period) NaN where a boundary's readings do not come here."""
    meter_of = {one.import_msid: one.boundary_meter_id for one in registrations if one.boundary_meter_id}
    energy_kwh = np.full((len(boundaries), grid.n_period), np.nan)
    known = [at for at, msid in enumerate(boundaries) if msid in meter_of]
    if known:
        energy_kwh[known] = _metered([meter_of[boundaries[at]] for at in known], grid, as_of)
    return energy_kwh


def pair_volumes(day: FiledDay, allocation: Allocation) -> tuple[PairVolume, ...]:
    """The volumes of each asset as the file names them."""
    return tuple(
        PairVolume(
            gsp_group_id=one.unit.gsp_group_id,
            bm_unit_id=one.unit.bm_unit_id,
            import_msid=one.import_msid,
            export_msid=one.export_msid,
            import_amsid=one.import_amsid,
            export_amsid=one.export_amsid,
            volumes=tuple(
                (period + 1, filed_decimal(allocation.filed_mwh[asset, period]))
                for period in np.flatnonzero(~np.isnan(allocation.filed_mwh[asset])).tolist()
            ),
        )
        for asset, one in enumerate(day.registrations)
    )


def newest_files(*, organisation: Organisation, day: date) -> tuple[DeliveredVolumeFile | None, int]:
    """The newest file of a settlement date, if any, and the last sequence of all of the firm's."""
    files = DeliveredVolumeFile.objects.for_tenant(organisation).order_by("-sequence")
    last = files.values_list("sequence", flat=True).first()
    return files.filter(settlement_date=day).first(), last or 0


def store_file(*, file: DeliveredVolumeFile, day: FiledDay, allocation: Allocation) -> DeliveredVolumeFile:
    """Write a file with its volumes; call it in a transaction."""
    file.save(force_insert=True)
    DeviationVolume.objects.across_tenants().bulk_create(deviation_rows(file, day, allocation), batch_size=5_000)
    BoundaryVolume.objects.across_tenants().bulk_create(boundary_rows(file, day, allocation), batch_size=5_000)
    return file


def deviation_rows(file: DeliveredVolumeFile, day: FiledDay, allocation: Allocation) -> list[DeviationVolume]:
    """One an asset and period with a volume, not stored."""
    return [
        DeviationVolume(
            file=file,
            organisation_id=file.organisation_id,
            registration=day.registrations[asset],
            period=period + 1,
            baseline_kwh=decimal_kwh(day.energy.baseline_kwh[asset, period]),
            metered_kwh=decimal_kwh(day.energy.metered_kwh[asset, period]),
            deviation_kwh=decimal_kwh(allocation.deviation_kwh[asset, period]),
            filed_mwh=filed_decimal(allocation.filed_mwh[asset, period]),
            is_limited=bool(allocation.is_limited[asset, period]),
        )
        for asset, period in np.argwhere(~np.isnan(allocation.filed_mwh)).tolist()
    ]


def boundary_rows(file: DeliveredVolumeFile, day: FiledDay, allocation: Allocation) -> list[BoundaryVolume]:
    """One a boundary and period called, not stored; energies export positive, as filed."""
    supplier_of = {one.import_msid: one.supplier_id for one in day.registrations}
    return [
        BoundaryVolume(
            file=file,
            organisation_id=file.organisation_id,
            import_msid=msid,
            supplier_id=supplier_of[msid],
            period=period + 1,
            metered_kwh=_known(-day.energy.boundary_kwh[boundary, period]),
            secondary_kwh=decimal_kwh(allocation.secondary_kwh[boundary, period]),
            supplier_kwh=_known(allocation.supplier_kwh[boundary, period]),
        )
        for boundary, msid in enumerate(day.energy.boundary_ids)
        for period in np.flatnonzero(day.called).tolist()
    ]


def _known(energy_kwh: float) -> Decimal | None:
    return None if np.isnan(energy_kwh) else decimal_kwh(energy_kwh)
