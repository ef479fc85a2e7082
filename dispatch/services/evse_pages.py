"""One EVSE for the DSRSP it is enrolled with: what it is and who, and what it was told; a DNO sees no such page."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from aggregator.arrays.readings import load_energy_kwh
from aggregator.core.chart import Series
from aggregator.core.day_panel import DayPanel, curves_panel
from aggregator.core.timegrid import LONDON, TimeGrid
from aggregator.core.types import FloatArray, float_array
from aggregator.models import EVSE, Organisation
from aggregator.queries import enrolments_seen_by, evses_seen_by, identities_seen_by, meters_seen_by, sessions_seen_by
from dispatch.models import DispatchRun, IssuedSetpoint, Setpoint
from dispatch.queries import issued_setpoints_seen_by, setpoints_seen_by

N_SESSION = 20
N_RUN = 10


@dataclass(frozen=True, slots=True)
class EvseIdentityFacts:
    csms: str
    csms_ref: str
    amsid: str
    boundary_msid: str
    gsp_group: str


@dataclass(frozen=True, slots=True)
class EnrolmentLine:
    starts_at: datetime
    ends_at: datetime | None
    consented_at: datetime
    consent_evidence: str
    services: str
    is_in_force: bool


@dataclass(frozen=True, slots=True)
class SessionLine:
    plug_in_at: datetime
    plug_out_at: datetime
    energy_kwh: float
    session_ref: str


@dataclass(frozen=True, slots=True)
class ToldLine:
    """One run's word to the EVSE; ``told_kw`` is the highest it was told in the end, None before that."""

    run: int
    charging_day: str
    created_at: datetime
    energy_kwh: float
    unserved_kwh: float
    ceiling_kw: float
    told_kw: float | None


@dataclass(frozen=True, slots=True)
class EvseDay:
    """The newest run's plan for the EVSE through its charging day."""

    run: int
    day: str
    energy_kwh: float
    unserved_kwh: float
    panel: DayPanel


@dataclass(frozen=True, slots=True)
class EvsePage:
    """Everything the page shows.

    Attributes:
        identity, meter: None and empty before the enrolment is in force; till then they are another's to know.
        day: None where no run has planned this EVSE.
    """

    pseudonym: str
    node: str
    rated_kw: float
    phases: int
    min_current_a: float
    scenario: str
    firmware: str
    delay_max_s: int
    meter: str
    identity: EvseIdentityFacts | None
    enrolments: tuple[EnrolmentLine, ...]
    sessions: tuple[SessionLine, ...]
    told: tuple[ToldLine, ...]
    day: EvseDay | None


def evse_page(*, organisation: Organisation, pseudonym: str, with_readings: bool, now: datetime) -> EvsePage | None:
    """Describe an EVSE; None where it is not the organisation's, or not any more.

    Args:
        with_readings: whether the viewer may see what its meter measured.
    """
    evse = evses_seen_by(organisation, at=now).filter(pseudonym=pseudonym).first()
    if evse is None:
        return None
    planned = setpoints_seen_by(organisation).filter(evse=evse).order_by("-run__created_at", "-run")
    setpoints = list(planned[:N_RUN])
    told = {one.run_id: one for one in issued_setpoints_seen_by(organisation).filter(evse=evse)}
    return EvsePage(
        pseudonym=evse.pseudonym,
        node=evse.node.code,
        rated_kw=evse.rated_kw,
        phases=evse.phases,
        min_current_a=evse.min_current_a,
        scenario=evse.get_scenario_display(),
        firmware=evse.firmware,
        delay_max_s=evse.delay_max_s,
        meter=meters_seen_by(organisation).filter(pk=evse.meter_id).values_list("code", flat=True).first() or "",
        identity=_identity(organisation, evse, now),
        enrolments=_enrolments(organisation, evse, now),
        sessions=_sessions(organisation, evse),
        told=tuple(_told(one, told.get(one.run_id)) for one in setpoints),
        day=next((_day(one, told.get(one.run_id), with_readings=with_readings, now=now) for one in setpoints), None),
    )


def _identity(organisation: Organisation, evse: EVSE, now: datetime) -> EvseIdentityFacts | None:
    found = identities_seen_by(organisation, at=now).filter(evse=evse).first()
    if found is None:
        return None
    return EvseIdentityFacts(found.csms.code, found.csms_ref, found.amsid, found.boundary_msid, found.gsp_group)


def _enrolments(organisation: Organisation, evse: EVSE, now: datetime) -> tuple[EnrolmentLine, ...]:
    return tuple(
        EnrolmentLine(
            starts_at=one.starts_at,
            ends_at=one.ends_at,
            consented_at=one.consented_at,
            consent_evidence=one.consent_evidence,
            services=", ".join(one.services),
            is_in_force=one.starts_at <= now and (one.ends_at is None or one.ends_at > now),
        )
        for one in enrolments_seen_by(organisation).filter(evse=evse).order_by("-starts_at")
    )


def _sessions(organisation: Organisation, evse: EVSE) -> tuple[SessionLine, ...]:
    found = sessions_seen_by(organisation).filter(evse=evse).order_by("-plug_in_at", "-pk")[:N_SESSION]
    return tuple(SessionLine(one.plug_in_at, one.plug_out_at, one.energy_kwh, one.session_ref) for one in found)


def _told(setpoint: Setpoint, issued: IssuedSetpoint | None) -> ToldLine:
    return ToldLine(
        run=setpoint.run_id,
        charging_day=setpoint.run.charging_day.isoformat(),
        created_at=setpoint.run.created_at,
        energy_kwh=setpoint.energy_kwh,
        unserved_kwh=setpoint.unserved_kwh,
        ceiling_kw=max(setpoint.setpoint_kw, default=0.0),
        told_kw=max(issued.setpoint_kw, default=0.0) if issued else None,
    )


def _day(setpoint: Setpoint, issued: IssuedSetpoint | None, *, with_readings: bool, now: datetime) -> EvseDay:
    run = setpoint.run
    grid = run.grid
    curves = [Series("limit", "Setpoint (at most)", float_array(setpoint.setpoint_kw))]
    if issued is not None:
        curves.append(Series("uncontrolled", "Told in the end (at most)", float_array(issued.setpoint_kw)))
    curves.append(Series("planned", "Planned", float_array(setpoint.planned_kw)))
    metered_kw = _metered_kw(setpoint, grid, now) if with_readings else None
    if metered_kw is not None:
        curves.append(Series("metered", "Metered", metered_kw))
    return EvseDay(
        run=run.pk,
        day=_day_text(run, grid),
        energy_kwh=setpoint.energy_kwh,
        unserved_kwh=setpoint.unserved_kwh,
        panel=curves_panel(grid, curves),
    )


def _metered_kw(setpoint: Setpoint, grid: TimeGrid, now: datetime) -> FloatArray | None:
    """(n_period,) mean power of the EVSE's own meter, NaN where nothing was read; None where nothing was at all."""
    energy = load_energy_kwh(
        meter_pks=np.array([setpoint.evse.meter_id], dtype=np.int64),
        first_day=grid.starts_at.date(),
        last_day=grid.ends_at.date(),
        as_of=now,
    )
    power_kw: FloatArray = energy.on_grid(grid)[0] / grid.step_h
    return power_kw if np.isfinite(power_kw).any() else None


def _day_text(run: DispatchRun, grid: TimeGrid) -> str:
    first, last = grid.starts_at.astimezone(LONDON), grid.ends_at.astimezone(LONDON)
    return f"{run.charging_day.isoformat()}, {first:%a %H:%M %Z} to {last:%a %H:%M %Z}"
