"""Seed the demo area, through the services that files and the API use."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import numpy as np
from django.db import transaction

from aggregator.core.digest import digest
from aggregator.core.half_hour_series import SeriesRows
from aggregator.core.meter_energy import ReadingValues
from aggregator.core.network_draft import NetworkDraft, NodeDraft, RatingDraft
from aggregator.core.registration import Registration
from aggregator.core.session_rows import SessionRows
from aggregator.core.timegrid import charging_day
from aggregator.core.types import BoolArray, FloatArray, IntArray, StrArray
from aggregator.models import CSMS, Batch, Meter, NetworkNode, Organisation, Tariff
from aggregator.services.batches import PLATFORM
from aggregator.services.ingest_prices import ingest_carbon, ingest_prices
from aggregator.services.ingest_readings import ingest_readings
from aggregator.services.ingest_sessions import ingest_sessions
from aggregator.services.register_fleet import register_fleet
from aggregator.services.register_network import register_network
from dispatch.models import TargetSignal
from dispatch.services.targets import receive_target
from markets.core.demo_area import DemoArea, demo_area
from markets.core.demo_calendar import CHARGING_DAY, DEMO_SEED, FIRST_DAY, utc_days_grid
from markets.core.demo_fleet import CSMSS, DemoFleet
from markets.core.demo_network import POWER_FACTOR, DemoNode
from markets.core.demo_prices import TARIFF_CODE
from markets.models import FlexEvent
from markets.services.demo_people import DNO, register_demo_organisations, seed_log_ins
from markets.services.events import open_event
from markets.services.products import make_product

PRODUCT_CODE = "scheduled-utilisation"
SOURCE = "demo"
LIVE_AT = datetime.combine(FIRST_DAY, time(0), tzinfo=UTC)
# Prices and carbon forecasts of both dates of the charging day are out by then.
PRICES_OUT_AT = datetime.combine(CHARGING_DAY - timedelta(days=1), time(16), tzinfo=UTC)
ALL_KNOWN_AT = utc_days_grid().ends_at
CSMS_NAMES = {"hearthside": "Hearthside Charging", "lanternway": "Lanternway"}
METER_CLASS = Meter.AccuracyClass.TEN_PERCENT


@dataclass(frozen=True, slots=True)
class SeededDemo:
    """What stands in the database; ``is_new`` tells whether this call put it there."""

    is_new: bool
    n_log_in_set: int
    n_node: int
    n_evse: int
    n_session: int
    n_reading: int


Progress = Callable[[str], None]
Organisations = Mapping[str, Organisation]


def seed_demo(*, log_ins: Path, progress: Progress = lambda _step: None, seed: int = DEMO_SEED) -> SeededDemo:
    """Seed the demo unless it is there; all of it or nothing.

    Args:
        log_ins: file that holds the log-ins of the demo's people.
        progress: told the name of each of ``STEPS`` as it begins.
    """
    area = demo_area(seed)
    with transaction.atomic():
        organisations = register_demo_organisations()
        is_new = not FlexEvent.objects.filter(signal__reference=area.request.reference).exists()
        if is_new:
            for title, store in STEPS.items():
                progress(title)
                store(area, organisations)
    return SeededDemo(
        is_new=is_new,
        n_log_in_set=seed_log_ins(organisations=organisations, path=log_ins, now=ALL_KNOWN_AT),
        n_node=len(area.nodes),
        n_evse=len(area.fleet),
        n_session=len(area.sessions),
        n_reading=_n_history_period() * len(area.fleet) + area.demand.energy_kwh.size,
    )


def _seed_network(area: DemoArea, organisations: Organisations) -> None:
    """Nodes and ratings, and a monitor on each measured phase."""
    dno = organisations[DNO]
    draft = NetworkDraft(tuple(_node_draft(node) for node in area.nodes))
    register_network(organisation=dno, draft=draft, source=SOURCE, sha256=_sha(area, "network"), now=LIVE_AT)
    nodes = {node.code: node for node in NetworkNode.objects.filter(code__in=area.demand.node_codes.tolist())}
    Meter.objects.across_tenants().bulk_create(
        Meter(code=str(meter), kind=Meter.Kind.FEEDER, node=nodes[str(node)], organisation=dno)
        for meter, node in zip(area.demand.meter_codes, area.demand.node_codes, strict=True)
    )


def _node_draft(node: DemoNode) -> NodeDraft:
    return NodeDraft(
        code=node.code,
        kind=node.kind,
        parent=node.parent,
        name=node.name,
        phase=node.phase,
        n_customers=node.n_customers,
        admd_kw=node.admd_kw,
        rating=RatingDraft(
            rating_kva=node.rating_kva,
            power_factor=POWER_FACTOR,
            cyclic_factor=node.cyclic_factor,
            ramp_kw=node.ramp_kw,
            source=SOURCE,
        ),
    )


def _seed_fleet(area: DemoArea, organisations: Organisations) -> None:
    for code in CSMSS:
        CSMS.objects.get_or_create(code=code, defaults={"name": CSMS_NAMES[code]})
    register_fleet(
        organisation=organisations[PLATFORM],
        rows=_registrations(area.fleet),
        source=SOURCE,
        sha256=_sha(area, "fleet"),
        now=LIVE_AT,
    )


def _registrations(fleet: DemoFleet) -> tuple[Registration, ...]:
    """One row an enrolment: a change of DSRSP is a second row about the same EVSE."""
    return tuple(
        Registration(
            line=line,
            evse_id=str(fleet.csms_refs[enrolment.evse]),
            csms=str(fleet.csmss[enrolment.evse]),
            dsrsp=enrolment.dsrsp,
            node=str(fleet.node_codes[enrolment.evse]),
            rated_kw=float(fleet.rated_kw[enrolment.evse]),
            phases=int(fleet.phases[enrolment.evse]),
            scenario=str(fleet.scenarios[enrolment.evse]),
            meter_id=str(fleet.meter_codes[enrolment.evse]),
            accuracy_class=METER_CLASS.value,
            firmware=str(fleet.firmwares[enrolment.evse]),
            delay_max_s=int(fleet.delay_max_s[enrolment.evse]),
            enrolled_from=enrolment.starts_at,
            enrolled_to=enrolment.ends_at,
            consented_at=enrolment.consented_at,
            consent_evidence=SOURCE,
            pseudonym=str(fleet.evse_ids[enrolment.evse]),
        )
        for line, enrolment in enumerate(fleet.enrolments, start=1)
    )


def _seed_sessions(area: DemoArea, organisations: Organisations) -> None:
    """Each session is known when it ends, those of the charging day too."""
    sessions = area.sessions
    ingest_sessions(
        organisation=organisations[PLATFORM],
        source=SOURCE,
        sha256=_sha(area, "sessions"),
        received_at=sessions.plug_out_at.max().astype("datetime64[s]").astype(datetime).replace(tzinfo=UTC),
        rows=SessionRows(
            lines=np.arange(1, len(sessions) + 1),
            evse_refs=area.fleet.csms_refs[sessions.evse],
            connectors=np.full(len(sessions), "1"),
            session_refs=sessions.session_ids,
            plug_in_at=sessions.plug_in_at,
            plug_out_at=sessions.plug_out_at,
            energy_kwh=sessions.energy_kwh,
        ),
        backfill=True,
    )


def _seed_asset_readings(area: DemoArea, organisations: Organisations) -> None:
    """What the asset meters read until the charging day begins, zeros too; each day is known at its end."""
    n_period = _n_history_period()
    ingest_readings(
        organisation=organisations[PLATFORM],
        source=f"{SOURCE}, asset meters",
        sha256=_sha(area, "asset readings"),
        received_at=charging_day(CHARGING_DAY).starts_at,
        values=_readings(area.fleet.meter_codes, area.asset_kwh[:, :n_period]),
        backfill=True,
    )


def _seed_demand(area: DemoArea, organisations: Organisations) -> None:
    ingest_readings(
        organisation=organisations[DNO],
        source=f"{SOURCE}, feeder monitors",
        sha256=_sha(area, "demand"),
        received_at=ALL_KNOWN_AT,
        values=_readings(area.demand.meter_codes, area.demand.energy_kwh),
        backfill=True,
        kind=Batch.Kind.DEMAND,
    )


def _seed_prices(area: DemoArea, organisations: Organisations) -> None:
    """Prices and carbon forecasts known ahead; carbon as it turned out, known when each day is over."""
    platform, prices = organisations[PLATFORM], area.prices
    tariff, _ = Tariff.objects.get_or_create(
        code=TARIFF_CODE, defaults={"name": "Northmoor half-hourly, without VAT", "source": SOURCE}
    )
    every = np.ones(utc_days_grid().n_period, dtype=np.bool_)
    is_over = utc_days_grid().period_starts() < np.datetime64(PRICES_OUT_AT.date(), "s")
    ingest_prices(
        organisation=platform,
        tariff=tariff,
        source=SOURCE,
        sha256=_sha(area, "prices"),
        received_at=PRICES_OUT_AT,
        rows=_series(prices.price_gbp_per_kwh, every),
        backfill=True,
    )
    for known_at, forecast, actual in ((PRICES_OUT_AT, every, is_over), (ALL_KNOWN_AT, ~is_over, ~is_over)):
        ingest_carbon(
            organisation=platform,
            source=SOURCE,
            sha256=_sha(area, f"carbon until {known_at.isoformat()}"),
            received_at=known_at,
            forecast=_series(prices.forecast_gco2_per_kwh, forecast),
            actual=_series(prices.actual_gco2_per_kwh, actual),
            backfill=True,
        )


def _seed_request(area: DemoArea, organisations: Organisations) -> None:
    """The product and, under it, the DNO's request for the charging day."""
    dno, request = organisations[DNO], area.request
    make_product(code=PRODUCT_CODE, name="Scheduled Utilisation", buyer=dno, valid_from=LIVE_AT)
    signal = receive_target(
        reference=request.reference,
        node_code=request.node_code,
        starts_at=request.starts_at,
        ends_at=request.ends_at,
        direction=TargetSignal.Direction.TURN_DOWN,
        kind=TargetSignal.Kind.ROUTINE,
        target_kw=request.target_kw,
        shortfall_gbp_per_kwh=request.shortfall_gbp_per_kwh,
        issued_by=dno,
        received_at=request.received_at,
    )
    open_event(signal=signal, product_code=PRODUCT_CODE, price_gbp_per_mwh=request.price_gbp_per_mwh)


STEPS: dict[str, Callable[[DemoArea, Organisations], None]] = {
    "network": _seed_network,
    "fleet": _seed_fleet,
    "charging sessions": _seed_sessions,
    "asset readings": _seed_asset_readings,
    "household demand": _seed_demand,
    "prices and carbon": _seed_prices,
    "the DNO's request": _seed_request,
}


def _sha(area: DemoArea, part: str) -> str:
    return digest(area.fingerprint(), part)


def _n_history_period() -> int:
    return utc_days_grid().index_of(charging_day(CHARGING_DAY).starts_at)


def _readings(meter_codes: StrArray, energy_kwh: FloatArray) -> ReadingValues:
    """One value a meter and half-hour from the start of ``utc_days_grid``: (n_meter, n_period) kWh."""
    found = Meter.objects.across_tenants().filter(code__in=meter_codes.tolist()).values_list("code", "pk")
    pks: dict[str, int] = dict(found)
    meter_pks: IntArray = np.array([pks[str(code)] for code in meter_codes], dtype=np.int64)
    n_period = energy_kwh.shape[1]
    return ReadingValues(
        meter_pks=np.repeat(meter_pks, n_period),
        starts_at=np.tile(utc_days_grid().period_starts()[:n_period], len(meter_pks)),
        energy_kwh=energy_kwh.ravel(),
    )


def _series(values: FloatArray, chosen: BoolArray) -> SeriesRows:
    lines: IntArray = np.flatnonzero(chosen).astype(np.int64)
    return SeriesRows(lines=lines + 1, starts_at=utc_days_grid().period_starts()[lines], values=values[lines])
