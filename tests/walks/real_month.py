"""A month of real dispatches on real charging: what the walk is made of, and from which seed.

Placement rule. The 114 Norwegian home chargepoints that drew most from 28 October 2019 to 31 January 2020 are dealt, in
an order drawn from ``SEED``, to one feeder of each of seven network operators; of them all the odd ones are enrolled
with one DSRSP, the even ones with the other. Their half-hours are moved by 261 whole weeks, so that weekdays stay:
January 2020 plays January 2025, the calendar's month. Oslo is an hour ahead of London all year, so an hour later in UTC
is the same clock time there.

Each product of the catalogue gets the dispatches of zones of UK Power Networks' calendar (``CALLS``), rows as
published; where a product fixes its price, that price stands in place of the calendar's. While any dispatch runs in a
feeder, its EVSEs keep back ``KEPT_BACK`` of what they would have drawn, and draw it as soon as none runs any more.
"""

from dataclasses import dataclass
from datetime import UTC, date, timedelta
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

SEED = 20_250_101
MONTH = date(2025, 1, 1)
FIRST_DAY, LAST_DAY = date(2024, 10, 28), date(2025, 1, 31)
SHIFT = pd.Timedelta(weeks=261, hours=1)
N_EVSE = {"nged": 24, "enwl": 16, "spen": 16, "npg": 12, "ukpn": 12, "ssen": 12, "grid": 22}
N_CONTROL = {"grid": 5}  # of each DSRSP
DSRSPS = ("odd-flex", "even-flex")
KEPT_BACK = 0.85
HOLIDAYS = {date(2024, 12, 25), date(2024, 12, 26), date(2025, 1, 1)}
FALLBACK_KW, AMPERE_KW = 3.6, 0.23
DAY_AHEAD, HELD_READY, PEAK = ("Day-Ahead",), ("Scheduled Availability",), ("Peak Reduction",)
WINDOWS = ["start_time_utc", "end_time_utc"]
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
    "ssen-scheduled": (("Uplands Park",), DAY_AHEAD),
    "ssen-transition-dynamic": (("West Letchworth Shefford Biggleswade",), DAY_AHEAD),
    "ssen-transition-secure": (("Central Harpenden",), HELD_READY),
    "grid-control": (("Central Harpenden",), DAY_AHEAD),
}


@dataclass(frozen=True, eq=False)
class RealMonth:
    """What the walk was made of.

    Attributes:
        energy_kwh: (half-hour in UTC, EVSE) as metered, with the response; columns are pseudonyms' numbers.
        operator, dsrsp: by EVSE.
        calls: the calendar's rows by product of the catalogue.
        called: London days with a call, by operator.
        control: EVSEs that a control group keeps out of every call, drawn from the seed; they do not respond.
    """

    energy_kwh: pd.DataFrame
    operator: "pd.Series[str]"
    dsrsp: "pd.Series[str]"
    calls: dict[str, pd.DataFrame]
    called: dict[str, frozenset[date]]
    control: frozenset[str]

    @cached_property
    def any_called(self) -> frozenset[date]:
        """Days with a call by anybody: both DSRSPs have EVSEs in every zone."""
        return frozenset().union(*self.called.values())

    def homes(self, operator: str, dsrsp: str, *, are_spared: bool = False) -> pd.Index:
        """A DSRSP's EVSEs on a feeder that are called, or those that are spared."""
        own = self.operator.index[(self.operator == operator) & (self.dsrsp == dsrsp)]
        return own[own.isin(self.control) == are_spared]


def asked(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows that call for energy; the others hold power ready alone."""
    return rows[rows["utilisation_mw_req"].astype(float) > 0]


def is_working(day: date) -> bool:
    return day.weekday() < 5 and day not in HOLIDAYS


def node_code(operator: str) -> str:
    return f"{operator}-month"


def read_month(data: Path) -> RealMonth:
    """Everything from the files, before anything is stored."""
    rows = pd.read_csv(data / "flex_ukpn_dispatches_to_2025-03.csv.gz", dtype=str)
    rows = rows[rows["start_time_local"].str.startswith(f"{MONTH:%Y-%m}")]
    calls = {
        code: rows[rows["zone"].isin(zones) & rows["product"].isin(names)] for code, (zones, names) in CALLS.items()
    }
    uncontrolled_kwh, rated_kw = _charging(data)
    rng = np.random.default_rng(SEED)
    order = rng.permutation(len(uncontrolled_kwh.columns))
    uncontrolled_kwh.columns = pd.Index([f"home-{at:03}" for at in np.argsort(order)])
    rated_kw.index = uncontrolled_kwh.columns
    homes = sorted(uncontrolled_kwh.columns)
    operator = pd.Series(np.repeat(list(N_EVSE), list(N_EVSE.values())), index=homes)
    dsrsp = pd.Series([DSRSPS[at % 2] for at in range(len(homes))], index=homes)
    control = frozenset(
        str(home)
        for name, n_evse in N_CONTROL.items()
        for code in DSRSPS
        for home in rng.choice(dsrsp.index[(operator == name) & (dsrsp == code)], n_evse, replace=False)
    )
    shares = np.where(pd.Index(homes).isin(control), 0.0, _shares(uncontrolled_kwh.index, calls)[operator])
    energy_kwh = _respond(uncontrolled_kwh[homes], rated_kw[homes], shares)
    called = {name: _called_days(calls, name) for name in N_EVSE}
    return RealMonth(energy_kwh, operator, dsrsp, calls, called, control)


def _called_days(calls: dict[str, pd.DataFrame], operator: str) -> frozenset[date]:
    days: set[date] = set()
    for code, rows in calls.items():
        if code.split("-")[0] == operator:
            for start, end in asked(rows)[WINDOWS].drop_duplicates().itertuples(index=False):
                periods = pd.date_range(start, end, freq="30min", inclusive="left").tz_convert("Europe/London")
                days |= set(periods.date)
    return frozenset(days)


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
        for start, end in asked(rows)[WINDOWS].itertuples(index=False):
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
