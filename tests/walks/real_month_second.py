"""The real month settled a second way: whole quanta, fractions and pandas, no code of the product's own.

Of the product it takes what was told (instructions), and, where EVSEs have baselines of their own, what the ledger
displaced; ``served`` works the ledger out too, where every EVSE of a feeder counts alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from functools import cache

import pandas as pd

from tests.walks.real_month import RealMonth, is_working
from tests.walks.real_month_nominations import FORGOTTEN, SUNDAYS, usual_kw

QUANTA = 10_000  # of a kWh
REFERENCE_QUANTA = 4_150  # 0.83 kW for half an hour
PENNY = Decimal("0.01")
WEEK = timedelta(weeks=1)


@dataclass(frozen=True)
class Terms:
    """What an operator published of a payment, written down once more."""

    baseline: str
    price_gbp_per_mwh: Decimal | None = None
    grace: Fraction = Fraction(1, 20)
    slope: int = 3
    cutoff: Fraction = Fraction(63, 100)
    pays_on_delivered: bool = False
    caps_each_half_hour: bool = False
    is_scaled: bool = False


AS_DELIVERED = {"grace": Fraction(0), "slope": 0, "pays_on_delivered": True}
SCALED = {**AS_DELIVERED, "cutoff": Fraction(1, 2), "is_scaled": True}
TERMS = {
    "nged-secure": Terms("adjusted", Decimal(150)),
    "nged-dynamic": Terms("adjusted", Decimal(300)),
    "nged-restore": Terms("adjusted", Decimal(600)),
    "nged-ev-winter-peak": Terms("reference", Decimal(1812)),
    "enwl-operational": Terms("reference"),
    "enwl-variable": Terms("reference"),
    "enwl-peak-reduction": Terms("reference"),
    "npg-hv": Terms("adjusted"),
    "npg-lv": Terms("adjusted"),
    "spen-piclo": Terms("past days"),
    "spen-electron": Terms("reference"),
    "ukpn-scheduled": Terms("adjusted", cutoff=Fraction(3, 5), caps_each_half_hour=True, **AS_DELIVERED),
    "ssen-scheduled": Terms("nominated", cutoff=Fraction(0), caps_each_half_hour=True, **AS_DELIVERED),
    "ssen-transition-dynamic": Terms("nominated", **SCALED),
    "ssen-transition-secure": Terms("nominated", **SCALED),
    "grid-control": Terms("compared"),
}


@dataclass(frozen=True)
class Call:
    """One call on one DSRSP: its half-hours, quanta instructed, and quanta the ledger took, by half-hour."""

    code: str
    dsrsp: str
    starts: tuple[pd.Timestamp, ...]
    ordered: tuple[int, ...]
    price_gbp_per_mwh: Decimal
    void: tuple[int, ...]
    penalised: tuple[int, ...]


@dataclass(frozen=True)
class Settled:
    """What a call came to; energies in quanta."""

    baseline: int
    delivered: int
    ordered: int
    factor: Fraction
    payment_gbp: Decimal


def replace_void(call: Call, void: Sequence[int]) -> Call:
    return replace(call, void=tuple(void))


def settle(month: RealMonth, call: Call) -> Settled:
    terms = TERMS[call.code]
    baseline = baseline_of(month, call)
    metered = fleet_quanta(month, call)
    delivered = [0 if base is None else base - metered[at] for at, base in zip(call.starts, baseline, strict=True)]
    counts = payable(delivered, call.ordered, each=terms.caps_each_half_hour)
    done = sum(min(one, most) for one, most in zip(delivered, counts, strict=True))
    due = sum(call.ordered) - sum(call.void)
    done = min(done - sum(call.void) - sum(call.penalised), due)
    factor = performance(Fraction(done, due), terms) if due else Fraction(0)
    paid = Fraction(max(done, 0) if terms.pays_on_delivered else due, QUANTA * 1000)
    payment_gbp = pence(paid * Fraction(call.price_gbp_per_mwh) * factor)
    return Settled(sum(one or 0 for one in baseline), sum(delivered), due, factor, payment_gbp)


def performance(share: Fraction, terms: Terms) -> Fraction:
    share = min(max(share, Fraction(0)), Fraction(1))
    if share < terms.cutoff:
        return Fraction(0)
    return share if terms.is_scaled else max(1 - terms.slope * max(1 - terms.grace - share, Fraction(0)), Fraction(0))


def payable(delivered: Sequence[int], ordered: Sequence[int], *, each: bool) -> list[int]:
    """What is claimed of each half-hour: up to the order, and over an event what makes up for less elsewhere."""
    within = [min(max(one, 0), most) for one, most in zip(delivered, ordered, strict=True)]
    if each:
        return within
    missing = sum(ordered) - sum(within) - sum(min(one, 0) for one in delivered)
    claimed = []
    for one, most, inside in zip(delivered, ordered, within, strict=True):
        more = min(max(one - most, 0), max(missing, 0))
        missing -= more
        claimed.append(inside + more)
    return claimed


def pence(amount_gbp: Fraction) -> Decimal:
    exact = Decimal(amount_gbp.numerator) / Decimal(amount_gbp.denominator)
    return exact.quantize(PENNY, ROUND_HALF_UP)


def n_evse(month: RealMonth, call: Call) -> int:
    return len(month.homes(call.code.split("-")[0], call.dsrsp))


def fleet_quanta(month: RealMonth, call: Call) -> dict[pd.Timestamp, int]:
    return _fleet(month, call.code.split("-")[0], call.dsrsp)


@cache
def _fleet(month: RealMonth, operator: str, dsrsp: str, *, are_spared: bool = False) -> dict[pd.Timestamp, int]:
    """Quanta of a DSRSP's EVSEs on a feeder, by half-hour of the whole time."""
    energy_kwh = month.energy_kwh[month.homes(operator, dsrsp, are_spared=are_spared)]
    summed = (energy_kwh * QUANTA).round().astype("int64").sum(axis=1)
    return dict(zip(summed.index, summed.tolist(), strict=True))


def baseline_of(month: RealMonth, call: Call) -> list[int | None]:
    match TERMS[call.code].baseline:
        case "reference":
            return [REFERENCE_QUANTA * n_evse(month, call)] * len(call.starts)
        case "nominated":
            return nominated(month, call)
        case "compared":
            return compared(month, call)
        case kind:
            return past_days(month, call, is_adjusted=kind == "adjusted")


def nominated(month: RealMonth, call: Call) -> list[int | None]:
    """What came in time: the late correction is not in it, and of the week forgotten there is nothing."""
    day = call.starts[0].date()
    sunday = max(one for one in SUNDAYS if one < day)
    if (call.code, call.dsrsp) == (FORGOTTEN.product, FORGOTTEN.dsrsp) and sunday < FORGOTTEN.day <= sunday + WEEK:
        return [None] * len(call.starts)
    power_kw = usual_kw(month, call.dsrsp, day, sunday)
    return [round(power_kw[2 * at.hour + at.minute // 30] * QUANTA / 2) for at in call.starts]


def compared(month: RealMonth, call: Call) -> list[int | None]:
    """What a control group drew, for as many EVSEs, and what both differed by in the window before, each half-hour."""
    operator = call.code.split("-")[0]
    own, control = fleet_quanta(month, call), _fleet(month, operator, call.dsrsp, are_spared=True)
    scale = Fraction(n_evse(month, call), len(month.homes(operator, call.dsrsp, are_spared=True)))
    window = window_of(call)
    moved = Fraction(sum(own[at] - control[at] * scale for at in window), len(window))
    return [half_up(max(control[at] * scale + moved, Fraction(0))) for at in call.starts]


def past_days(month: RealMonth, call: Call, *, is_adjusted: bool) -> list[int | None]:
    """Mid 8 in 10, of other days mid 2 in 4, and the difference of the three hours until an hour before.

    London keeps to UTC all these months.
    """
    fleet, first = fleet_quanta(month, call), call.starts[0]
    wanted = 10 if is_working(first.date()) else 4

    def on(day: date, starts: Sequence[pd.Timestamp]) -> list[int]:
        return [fleet[at - (first.date() - day)] for at in starts]

    back = [first.date() - timedelta(days=at) for at in range(1, 61)]
    days = [day for day in back if is_working(day) == is_working(first.date()) and day not in month.any_called][:wanted]
    kept = sorted(days, key=lambda day: (sum(on(day, call.starts)), -days.index(day)))[1:-1]

    def mean(starts: Sequence[pd.Timestamp]) -> list[Fraction]:
        return [Fraction(sum(column), len(kept)) for column in zip(*(on(day, starts) for day in kept), strict=True)]

    window = window_of(call)
    moved = Fraction(sum(on(first.date(), window)) - sum(mean(window)), 6) if is_adjusted else Fraction(0)
    return [half_up(max(base + moved, Fraction(0))) for base in mean(call.starts)]


def window_of(call: Call) -> list[pd.Timestamp]:
    """The three hours until an hour before."""
    return pd.date_range(call.starts[0] - pd.Timedelta(hours=4), periods=6, freq="30min").tolist()


def half_up(quanta: Fraction) -> int:
    return int(quanta + Fraction(1, 2))


def parts(total: int, weights: Sequence[int]) -> list[int]:
    """A total in proportion to weights, alike where all are 0; what is left goes to the largest remainders."""
    weights = weights if sum(weights) else [1] * len(weights)
    shares = [divmod(total * weight, sum(weights)) for weight in weights]
    order = sorted(range(len(weights)), key=lambda at: (-shares[at][1], at))
    left = total - sum(share for share, _ in shares)
    return [share + (order.index(at) < left) for at, (share, _) in enumerate(shares)]


def served(month: RealMonth, calls: Sequence[Call]) -> list[list[int]]:
    """Quanta of each call and half-hour that others have, where calls are served in this order.

    For calls on one feeder and DSRSP whose baseline is a reference of each EVSE: every EVSE counts alike, and what it
    delivered is the same for all of them.
    """
    held: dict[pd.Timestamp, list[int]] = {}
    displaced = []
    for call in calls:
        baseline, metered = baseline_of(month, call), fleet_quanta(month, call)
        delivered = [(base or 0) - metered[at] for at, base in zip(call.starts, baseline, strict=True)]
        claimed = payable(delivered, call.ordered, each=TERMS[call.code].caps_each_half_hour)
        taken = []
        for at, volume, claim in zip(call.starts, delivered, claimed, strict=True):
            own = parts(max(volume, 0), [0] * n_evse(month, call))
            before = held.setdefault(at, [0] * len(own))
            given = [min(want, has - out) for want, has, out in zip(parts(claim, own), own, before, strict=True)]
            held[at] = [out + more for out, more in zip(before, given, strict=True)]
            taken.append(claim - sum(given))
        displaced.append(taken)
    return displaced
