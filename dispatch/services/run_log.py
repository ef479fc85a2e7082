"""What stands before a run is made, and what the event log keeps of it."""

from collections.abc import Sequence

from django.conf import settings

from aggregator.core.errors import FlexError
from aggregator.core.fleet import Fleet
from aggregator.core.fleet_size import KW_PER_MW
from aggregator.models import NetworkNode
from aggregator.services.event_log import record_event
from dispatch.models import DispatchRun, TargetSignal

ROUNDING_MW = 1e-9


class AreaAboveCap(FlexError):
    code = "dispatch.area_above_cap"


def refuse_above_cap(*, area: NetworkNode, fleet: Fleet) -> None:
    """A fleet that came past the cap, by whatever way, is told nothing new: the last run stays in force.

    Raises:
        AreaAboveCap: the area's EVSEs add up to more than may be controlled.
    """
    rated_mw = float(fleet.rated_kw.sum()) / KW_PER_MW
    if rated_mw > settings.CONTROLLABLE_CAP_MW + ROUNDING_MW:
        raise AreaAboveCap(
            f"the {fleet.n_evse} EVSEs in {area.code} add up to {rated_mw:.3f} MW, expected at most "
            f"{settings.CONTROLLABLE_CAP_MW:g} MW",
            field="rated_kw",
            id=area.code,
            value=rated_mw,
            expected=f"at most {settings.CONTROLLABLE_CAP_MW:g} MW",
        )


def record_run(*, run: DispatchRun, n_evse: int, signals: Sequence[TargetSignal]) -> None:
    """Tell the log of the area's operator which run came in place of which."""
    same_day = DispatchRun.objects.filter(area=run.area_id, charging_day=run.charging_day).exclude(pk=run.pk)
    last = same_day.order_by("-created_at", "-pk").values("pk", "input_sha256").first()
    record_event(
        action="dispatch.stored",
        subject=f"run {run.pk} of {run.area} for {run.charging_day}",
        organisation=run.area.organisation,
        before={"run": last["pk"], "input_sha256": last["input_sha256"]} if last else None,
        after={
            "run": run.pk,
            "input_sha256": run.input_sha256,
            "as_of": run.as_of,
            "n_evse": n_evse,
            "requests": sorted(signal.reference for signal in signals),
            "cost_gbp": run.cost_gbp,
            "gap": run.gap,
            "rung": run.rung,
        },
        at=run.created_at,
    )
