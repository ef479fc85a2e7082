"""The hard cap on power that may be controlled: nobody is registered beyond it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Sum

from aggregator.core.fleet_size import KW_PER_MW, ControllableGauge
from aggregator.core.registration import Registration, RegistrationRefused, RowError
from aggregator.models import EVSE, Enrolment, Organisation, as_platform
from aggregator.services.turns import take_turn

ESSENTIAL_SERVICE_MW = 300.0
ROUNDING_KW = 1e-6


class CapExceeded(RegistrationRefused):
    code = "fleet.cap_exceeded"


@dataclass(frozen=True, slots=True)
class Standing:
    """What a DSRSP has enrolled, now or from a later time."""

    n_evse: int
    rated_kw: float


def controllable(*, now: datetime) -> ControllableGauge:
    """How much power may be controlled, of everybody together; for the platform's own pages."""
    with as_platform():
        in_force = _or_later(now).filter(starts_at__lte=now)
        rows = in_force.values_list("dsrsp__code").annotate(kw=Sum("evse__rated_kw")).order_by("dsrsp__code")
        by_dsrsp = {code: kw / KW_PER_MW for code, kw in rows}
        committed_mw = committed_kw(now=now) / KW_PER_MW
    return ControllableGauge(
        mw=sum(by_dsrsp.values()),
        committed_mw=committed_mw,
        cap_mw=settings.CONTROLLABLE_CAP_MW,
        threshold_mw=ESSENTIAL_SERVICE_MW,
        mw_by_dsrsp=by_dsrsp,
    )


def controllable_mw_of(*, dsrsp: Organisation, now: datetime) -> float:
    """Rated power of one DSRSP's EVSEs with an enrolment in force."""
    with as_platform():
        in_force = _or_later(now).filter(starts_at__lte=now, dsrsp=dsrsp)
        return float(in_force.aggregate(kw=Sum("evse__rated_kw"))["kw"] or 0.0) / KW_PER_MW


def committed_kw(*, now: datetime) -> float:
    """Rated power of every EVSE enrolled now or from a later time, each counted once."""
    enrolled = Exists(_or_later(now).filter(evse=OuterRef("pk")))
    return float(EVSE.objects.across_tenants().filter(enrolled).aggregate(kw=Sum("rated_kw"))["kw"] or 0.0)


def standings(*, now: datetime) -> Mapping[int, Standing]:
    """What each DSRSP has enrolled now or from a later time, by its key."""
    rows = _or_later(now).values_list("dsrsp").annotate(n=Count("evse", distinct=True), kw=Sum("evse__rated_kw"))
    return {dsrsp: Standing(n, float(kw)) for dsrsp, n, kw in rows.order_by("dsrsp")}


def lock_cap() -> None:
    """Let one registration change what is enrolled at a time, to the end of the transaction."""
    take_turn("controllable cap")


def refuse_above_cap(*, before_kw: float, rows: tuple[Registration, ...], now: datetime) -> None:
    """Refuse registrations, stored already in this transaction, that took what is enrolled beyond the cap.

    Take ``lock_cap`` before ``before_kw`` is read. What was above the cap before, because the cap was lowered, may
    still shrink.

    Raises:
        CapExceeded: naming the first row that goes beyond.
    """
    cap_kw, after_kw = settings.CONTROLLABLE_CAP_MW * KW_PER_MW, committed_kw(now=now)
    if after_kw <= cap_kw + ROUNDING_KW or after_kw <= before_kw + ROUNDING_KW:
        return
    row = _first_beyond(rows, over_kw=after_kw - cap_kw)
    message = (
        f"{row.evse_id} with {row.rated_kw:g} kW would take the controllable power beyond its cap: "
        f"{after_kw / KW_PER_MW:.3f} MW with this registration, expected at most {settings.CONTROLLABLE_CAP_MW:g} MW"
    )
    refused = CapExceeded((RowError(row.line, "rated_kw", message),))
    refused.details |= {
        "field": "rated_kw",
        "id": row.evse_id,
        "value": after_kw / KW_PER_MW,
        "expected": f"at most {settings.CONTROLLABLE_CAP_MW:g} MW in all",
    }
    raise refused


def _first_beyond(rows: tuple[Registration, ...], *, over_kw: float) -> Registration:
    """The row from which on the rows add up to what is too much, counted from the last."""
    rated_kw = 0.0
    for row in reversed(rows):
        rated_kw += row.rated_kw
        if rated_kw >= over_kw - ROUNDING_KW:
            return row
    return rows[0]


def _or_later(now: datetime) -> QuerySet[Enrolment]:
    return Enrolment.objects.across_tenants().filter(Q(ends_at__isnull=True) | Q(ends_at__gt=now))
