"""A month of real dispatches on real charging: how the walk puts its area together, and from which seed.

Placement rule. The 80 Norwegian home chargepoints that drew most from 28 October 2019 to 31 January 2020 are dealt, in
an order drawn from ``SEED``, to one feeder of each of five network operators; of them all the odd ones are enrolled
with one DSRSP, the even ones with the other. Their half-hours are moved by 261 whole weeks, so that weekdays stay:
January 2020 plays January 2025, the calendar's month. Oslo is an hour ahead of London all year, so an hour later in UTC
is the same clock time there.

Each product of the catalogue gets the dispatches of zones of UK Power Networks' calendar (``CALLS``), rows as
published; where a product fixes its price, that price stands in place of the calendar's. While any dispatch runs in a
feeder, its EVSEs keep back ``KEPT_BACK`` of what they would have drawn, and draw it as soon as none runs any more.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
from django.core.management import call_command

from aggregator.core.meter_energy import ReadingValues
from aggregator.core.timegrid import charging_day
from aggregator.models import EVSE, NetworkNode, Organisation
from aggregator.services.ingest_readings import ingest_readings
from dispatch.models import DispatchRun, Setpoint
from markets.models import FlexEvent, Product
from markets.services.orders_contracts import ContractTerms, move_contract, propose_contract
from markets.services.orders_markets import MarketTerms, make_market
from tests.factories import make_evse, make_node, make_organisation
from tests.markets.builders import make_run

SEED = 20_250_101
MONTH = date(2025, 1, 1)
FIRST_DAY, LAST_DAY = date(2024, 10, 28), date(2025, 1, 31)
SHIFT = pd.Timedelta(weeks=261, hours=1)
N_EVSE = {"nged": 24, "enwl": 16, "spen": 16, "npg": 12, "ukpn": 12}
DSRSPS = ("odd-flex", "even-flex")
KEPT_BACK = 0.85
FALLBACK_KW, AMPERE_KW = 3.6, 0.23
DAY_AHEAD, HELD_READY, PEAK = ("Day-Ahead",), ("Scheduled Availability",), ("Peak Reduction",)
# By product of the catalogue: zones of the calendar, and which of its products.
CALLS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "nged-secure": (("Brockenhurst Mill Hill Total",), HELD_READY),
    "nged-dynamic": (("Canvey",), DAY_AHEAD),
    "nged-restore": (("Wrotham",), DAY_AHEAD),
    "nged-ev-winter-peak": (("Chartham",), DAY_AHEAD),
    "enwl-operational": (("Manton Lane",), DAY_AHEAD),
    "enwl-variable": (("Buckingham Road",), DAY_AHEAD),
    "enwl-peak-reduction": (("Sundon Little Barford",), HELD_READY),
    "npg-hv": (("Hendon Way",), DAY_AHEAD),
    "npg-lv": (("Brandon",), DAY_AHEAD),
    "spen-piclo": (("Haverhill",), DAY_AHEAD),
    "spen-electron": (("West Horndon",), PEAK),
    "ukpn-scheduled": (("Brockenhurst Mill Hill Total",), DAY_AHEAD),
}
NOTICE_HOURS = {"npg-hv": 168}
CONTRACT_KW = 5.0


@dataclass(frozen=True)
class RealMonth:
    """What the walk was made of.

    Attributes:
        energy_kwh: (half-hour in UTC, EVSE) as metered, with the response; columns are pseudonyms' numbers.
        operator, dsrsp: by EVSE.
        calls: the calendar's rows by product of the catalogue.
    """

    energy_kwh: pd.DataFrame
    operator: "pd.Series[str]"
    dsrsp: "pd.Series[str]"
    calls: dict[str, pd.DataFrame]


def node_code(operator: str) -> str:
    return f"{operator}-month"


def read_month(data: Path) -> RealMonth:
    """Everything from the files, before anything is stored."""
    calls = {code: _calls(data, zones, names) for code, (zones, names) in CALLS.items()}
    uncontrolled_kwh, rated_kw = _charging(data)
    rng = np.random.default_rng(SEED)
    order = rng.permutation(len(uncontrolled_kwh.columns))
    uncontrolled_kwh.columns = pd.Index([f"home-{at:02}" for at in np.argsort(order)])
    rated_kw.index = uncontrolled_kwh.columns
    homes = sorted(uncontrolled_kwh.columns)
    operator = pd.Series(np.repeat(list(N_EVSE), list(N_EVSE.values())), index=homes)
    dsrsp = pd.Series([DSRSPS[at % 2] for at in range(len(homes))], index=homes)
    shares = _shares(uncontrolled_kwh.index, calls)
    energy_kwh = _respond(uncontrolled_kwh[homes], rated_kw[homes], shares[operator].to_numpy())
    return RealMonth(energy_kwh, operator, dsrsp, calls)


def _calls(data: Path, zones: tuple[str, ...], names: tuple[str, ...]) -> pd.DataFrame:
    rows = pd.read_csv(data / "flex_ukpn_dispatches_to_2025-03.csv.gz", dtype=str)
    in_month = rows["start_time_local"].str.startswith(f"{MONTH:%Y-%m}")
    return rows[in_month & rows["zone"].isin(zones) & rows["product"].isin(names)]


def _charging(data: Path) -> "tuple[pd.DataFrame, pd.Series[float]]":
    """(half-hour, EVSE) kWh of the EVSEs that drew most, and the power of each."""
    frame = pd.read_csv(data / "asset_hh_norway_derived.csv.gz")
    frame["starts_at"] = pd.to_datetime(frame["period_start_utc"]) + SHIFT
    periods = pd.date_range(
        pd.Timestamp(FIRST_DAY, tz=UTC), pd.Timestamp(LAST_DAY + timedelta(days=1), tz=UTC), freq="30min"
    )[:-1]
    inside = frame[frame["starts_at"].isin(periods)]
    most = inside.groupby("evse_id")["kwh"].sum().sort_index().sort_values(ascending=False, kind="stable")
    chosen = sorted(most.index[: sum(N_EVSE.values())])
    table = inside.pivot_table(index="starts_at", columns="evse_id", values="kwh", aggfunc="sum", fill_value=0.0)
    energy_kwh = table.reindex(index=periods, columns=chosen, fill_value=0.0)
    rated = pd.read_csv(data / "ev_sessions_norway.csv.gz").groupby("evse_id")["est_charge_kw"].max()
    # Overlapping sessions add up in the file: an EVSE is rated for what it was made to draw.
    rated_kw = np.maximum(rated.reindex(chosen).fillna(FALLBACK_KW), 2 * energy_kwh.max())
    return energy_kwh.round(4), rated_kw.round(2)


def _shares(periods: pd.DatetimeIndex, calls: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """(half-hour, operator) share of its charging that a feeder keeps back."""
    shares = pd.DataFrame(0.0, index=periods, columns=list(N_EVSE))
    for code, rows in calls.items():
        asked = rows[rows["utilisation_mw_req"].astype(float) > 0]
        for start, end in zip(asked["start_time_utc"], asked["end_time_utc"], strict=True):
            inside = (periods >= pd.Timestamp(start)) & (periods < pd.Timestamp(end))
            shares.loc[inside, code.split("-")[0]] = KEPT_BACK
    return shares


def _respond(uncontrolled_kwh: pd.DataFrame, rated_kw: "pd.Series[float]", shares: np.ndarray) -> pd.DataFrame:
    """What is kept back waits, and is drawn as fast as the post can once nothing is asked any more."""
    energy_kwh = np.round(uncontrolled_kwh.to_numpy() * (1 - shares), 4)
    kept_back = uncontrolled_kwh.to_numpy() - energy_kwh
    room_kwh = np.where(shares > 0, 0.0, np.maximum(rated_kw.to_numpy() / 2 - energy_kwh, 0.0))
    waiting = np.zeros(energy_kwh.shape[1])
    for at in range(len(energy_kwh)):
        waiting = waiting + kept_back[at]
        drawn = np.round(np.minimum(waiting, room_kwh[at]), 4)
        energy_kwh[at] += drawn
        waiting = waiting - drawn
    return pd.DataFrame(np.round(energy_kwh, 4), index=uncontrolled_kwh.index, columns=uncontrolled_kwh.columns)


def load(month: RealMonth, folder: Path) -> dict[str, str]:
    """Store the area, its readings and the calendar's requests; returns what each import said by product."""
    call_command("load_catalogue")
    call_command("load_ledger_rules")
    _evses(month)
    _readings(month)
    _held_ready()
    return {code: _import(code, rows, folder) for code, rows in month.calls.items()}


def _evses(month: RealMonth) -> None:
    for operator in N_EVSE:
        make_node(node_code(operator), "distribution", rating_kva=500.0, dno=Organisation.objects.get(code=operator))
    for home, operator in month.operator.items():
        rated_kw = float(np.ceil(2 * month.energy_kwh[home].max()) + 1)
        node = NetworkNode.objects.get(code=node_code(operator))
        make_evse(str(home), node=node, dsrsp=make_organisation(month.dsrsp[home]), rated_kw=max(rated_kw, 4.0))


def _readings(month: RealMonth) -> None:
    """Each DSRSP hands in its half-hours, known when the day had ended."""
    starts_at = month.energy_kwh.index.tz_localize(None).to_numpy("datetime64[s]")
    meters = dict(EVSE.objects.across_tenants().values_list("pseudonym", "meter_id"))
    for at, code in enumerate(DSRSPS):
        homes = month.dsrsp.index[month.dsrsp == code]
        ingest_readings(
            organisation=Organisation.objects.get(code=code),
            source="a month of readings",
            sha256=f"{at}" * 64,
            received_at=datetime(2025, 2, 2, tzinfo=UTC),
            backfill=True,
            values=ReadingValues(
                np.repeat([meters[f"evse_{home}"] for home in homes], len(starts_at)),
                np.tile(starts_at, len(homes)),
                month.energy_kwh[homes].to_numpy().T.ravel(),
            ),
        )


def _held_ready() -> None:
    """Both DSRSPs hold power ready on winter evenings under the product that states a price for it."""
    buyer = Organisation.objects.get(code="nged")
    asked_at = datetime(2024, 12, 1, 12, tzinfo=UTC)
    make_market(
        organisation=buyer,
        terms=MarketTerms(
            code="evenings",
            name="Winter evenings",
            product="nged-dynamic",
            node_codes=(node_code("nged"),),
            activity="turn_down",
            service_windows=[{"weekdays": [1, 2, 3, 4, 5], "starts": "17:00", "ends": "19:00"}],
            gate_closure={"kind": "lead", "lead_minutes": 1440},
            min_kw=1.0,
            starts_at=datetime(2025, 1, 1, tzinfo=UTC),
            ends_at=datetime(2025, 2, 1, tzinfo=UTC),
        ),
        now=asked_at,
    )
    for code in DSRSPS:
        terms = ContractTerms(
            reference=f"evenings-{code}",
            market="evenings",
            dsrsp=code,
            starts_at=datetime(2025, 1, 1, tzinfo=UTC),
            ends_at=datetime(2025, 2, 1, tzinfo=UTC),
            max_kw=CONTRACT_KW,
            price_gbp_per_mwh=Product.objects.get(code="nged-dynamic").utilisation_gbp_per_mwh,
        )
        propose_contract(organisation=buyer, terms=terms, now=asked_at)
        dsrsp = Organisation.objects.get(code=code)
        move_contract(organisation=dsrsp, reference=terms.reference, act="agree to", reason="agreed", now=asked_at)


def _import(code: str, rows: pd.DataFrame, folder: Path) -> str:
    """Hand a product's rows to the command, as a file of the calendar's form."""
    product = Product.objects.get(code=code)
    if product.utilisation_gbp_per_mwh is not None:
        rows = rows.assign(utilisation_price=str(product.utilisation_gbp_per_mwh))
    path = folder / f"{code}.csv"
    rows.to_csv(path, index=False)
    operator = code.split("-")[0]
    words = [word for zone in CALLS[code][0] for word in ("--zone", f"{zone}={node_code(operator)}")]
    words += [word for name in CALLS[code][1] for word in ("--product", f"{name}={code}")]
    words += ["--dno", operator, "--from", "2025-01-01", "--to", "2025-01-31"]
    words += ["--notice-hours", str(NOTICE_HOURS.get(code, 24))]
    said = StringIO()
    call_command("import_dispatches", str(path), *words, stdout=said)
    return said.getvalue()


def dispatch_days() -> Iterator[tuple[DispatchRun, list[FlexEvent]]]:
    """A plan of each feeder and charging day with a request: no power while one runs, the post's rating else."""
    for operator in N_EVSE:
        node = NetworkNode.objects.get(code=node_code(operator))
        of_day: dict[date, list[FlexEvent]] = {}
        events = FlexEvent.objects.filter(signal__node=node).select_related("signal__node", "product")
        for event in events.order_by("signal__starts_at", "pk"):
            starts_at = event.signal.starts_at
            day = starts_at.date() if starts_at.hour >= 12 else starts_at.date() - timedelta(days=1)
            of_day.setdefault(day, []).append(event)
        evses = list(EVSE.objects.across_tenants().filter(node=node).select_related("meter"))
        for day, called in of_day.items():
            yield _plan(node, day, called, evses), called


def _plan(node: NetworkNode, day: date, called: list[FlexEvent], evses: list[EVSE]) -> DispatchRun:
    grid = charging_day(day)
    run = make_run(node, day, grid)
    starts = list(grid.starts())
    is_free = [not any(one.signal.starts_at <= start < one.signal.ends_at for one in called) for start in starts]
    Setpoint.objects.across_tenants().bulk_create(
        Setpoint(
            run=run,
            evse=evse,
            organisation_id=evse.meter.organisation_id,
            start_period=0,
            end_period=grid.n_period,
            energy_kwh=0.0,
            ampere_kw=AMPERE_KW,
            planned_a=[0] * grid.n_period,
            setpoint_a=[int(evse.rated_kw / AMPERE_KW) if free else 0 for free in is_free],
            unserved_kwh=0.0,
            unserveable_kwh=0.0,
        )
        for evse in evses
    )
    return run
