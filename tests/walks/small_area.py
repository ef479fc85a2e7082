"""A street small enough to follow by hand: one feeder, three phases, six EVSEs of two DSRSPs, a habit for each."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import numpy as np

from aggregator.arrays.sessions import load_session_history
from aggregator.core.meter_energy import ReadingValues
from aggregator.core.timegrid import TimeGrid, charging_day, utc
from aggregator.core.virtual_evse import uncontrolled_energy_kwh
from aggregator.models import EVSE, Batch, ChargingSession, NetworkNode, Organisation, Tariff, TariffDay
from aggregator.services.ingest_readings import ingest_readings
from dispatch.services.targets import receive_target
from markets.models import FlexEvent, Product
from markets.services.cycle import CycleOrder, day_ahead
from markets.services.events import open_event
from tests.factories import make_dno, make_evse, make_feeder, make_organisation

TARIFF = "night-rate"
HISTORY_DAYS = 40
RATED_KW = 7.36
CHEAP_UTC = range(2, 10)  # half-hours from 01:00 to 05:00 UTC


@dataclass(frozen=True)
class SmallArea:
    day: date
    feeder: NetworkNode
    dno: Organisation
    dsrsps: tuple[Organisation, Organisation]
    evses: tuple[EVSE, ...]

    def order(self, now: datetime | None = None) -> CycleOrder:
        return CycleOrder(
            area_code=self.feeder.code,
            day=self.day,
            tariff_code=TARIFF,
            as_of=day_ahead(self.day),
            now=now or charging_day(self.day).ends_at + timedelta(days=3),
        )


def make_small_area(day: date, *, rating_kva: float = 90.0) -> SmallArea:
    """Everything a cycle of ``day`` reads: 40 days of the same evenings, and the evening itself."""
    dno = make_dno()
    feeder = make_feeder("street", rating_kva=rating_kva, dno=dno)
    dsrsps = (make_organisation("amber"), make_organisation("blue"))
    evses = tuple(
        make_evse(
            f"home-{index}",
            node=NetworkNode.objects.get(code=f"street-{'ABC'[index % 3]}"),
            dsrsp=dsrsps[index % 2],
            rated_kw=RATED_KW,
        )
        for index in range(6)
    )
    area = SmallArea(day, feeder, dno, dsrsps, evses)
    batch = make_batch(dno)
    for back in range(HISTORY_DAYS + 1):
        add_evening(area, day - timedelta(days=back), batch)
    add_readings(area)
    add_tariff(area, batch)
    Product(code="su", name="Scheduled Utilisation", buyer=dno, valid_from=datetime(2020, 1, 1, tzinfo=UTC)).save()
    return area


def make_batch(organisation: Organisation) -> Batch:
    received_at = datetime(2020, 1, 1, tzinfo=UTC)
    return Batch.objects.create(
        kind="sessions", organisation=organisation, source="by hand", sha256="0" * 64, received_at=received_at
    )


def add_evening(area: SmallArea, day: date, batch: Batch) -> None:
    """Each home plugs in at 17:00 and a bit, leaves at 07:30, and needs 6 kWh and a bit: the same every day."""
    plug_out_at = utc(day + timedelta(days=1), time(7, 30))
    ChargingSession.objects.across_tenants().bulk_create(
        ChargingSession(
            evse=evse,
            organisation=area.dsrsps[index % 2],
            session_ref=f"{day}-{index}",
            plug_in_at=utc(day, time(17, 5 * index)),
            plug_out_at=plug_out_at,
            energy_kwh=6.0 + index,
            received_at=plug_out_at,
            batch=batch,
        )
        for index, evse in enumerate(area.evses)
    )


def add_readings(area: SmallArea) -> None:
    """Asset meters up to the day's noon, each car charging at once and alone."""
    ends_at = charging_day(area.day).starts_at
    grid = TimeGrid(
        datetime.combine(area.day - timedelta(days=HISTORY_DAYS), time(0), tzinfo=UTC),
        (HISTORY_DAYS * 48) + (ends_at.hour * 2),
    )
    for at, dsrsp in enumerate(area.dsrsps):
        evses = area.evses[at::2]
        history = load_session_history(
            evse_pks=np.array([evse.pk for evse in evses]),
            evse_ids=np.array([evse.pseudonym for evse in evses]),
            as_of=datetime(2100, 1, 1, tzinfo=UTC),
        )
        energy_kwh = uncontrolled_energy_kwh(history, rated_kw=np.full(len(history), RATED_KW), grid=grid)
        ingest_readings(
            organisation=dsrsp,
            source="history",
            sha256=f"{at}" * 64,
            received_at=ends_at + timedelta(days=30),
            backfill=True,
            values=ReadingValues(
                np.repeat([evse.meter_id for evse in evses], grid.n_period),
                np.tile(grid.period_starts(), len(evses)),
                energy_kwh.ravel(),
            ),
        )


def add_tariff(area: SmallArea, batch: Batch) -> None:
    tariff = Tariff.objects.create(code=TARIFF, name="Night rate")
    price = [0.08 if half_hour in CHEAP_UTC else 0.30 for half_hour in range(48)]
    for ahead in range(-1, 3):
        TariffDay.objects.create(
            tariff=tariff,
            day=area.day + timedelta(days=ahead),
            received_at=datetime(2020, 1, 1, tzinfo=UTC),
            batch=batch,
            price_gbp_per_kwh=price,
        )


def call(
    area: SmallArea,
    starts_at: datetime,
    ends_at: datetime,
    *,
    target_kw: float = 5.0,
    reference: str = "CALL-1",
    product_code: str = "su",
    dsrsp: Organisation | None = None,
) -> FlexEvent:
    """A turn-down of the street, under Scheduled Utilisation unless told otherwise."""
    signal = receive_target(
        reference=reference,
        node_code=area.feeder.code,
        starts_at=starts_at,
        ends_at=ends_at,
        direction="turn_down",
        kind="response",
        target_kw=target_kw,
        shortfall_gbp_per_kwh=1.0,
        issued_by=area.dno,
        received_at=day_ahead(area.day) - timedelta(hours=3),
    )
    return open_event(signal=signal, product_code=product_code, price_gbp_per_mwh=Decimal("300.00"), dsrsp=dsrsp)
