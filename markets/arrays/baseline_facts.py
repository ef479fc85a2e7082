"""What a baseline that does not come from past days needs to know of each portfolio."""

from dataclasses import replace
from datetime import datetime
from typing import cast

import numpy as np

from aggregator.arrays.readings import load_energy_kwh
from aggregator.models import EVSE
from markets.arrays.nominations import load_nominations
from markets.arrays.settlement import Portfolios, energy_at, event_grid
from markets.core.baseline_given import ControlGroup, ControlGroupRule
from markets.core.baseline_methods import BaselineFacts, Rule
from markets.core.control_group import metered_control
from markets.core.delivered import MissingPolicy
from markets.core.evse_volume import NO_VALUE, EvseVolume
from markets.core.history import adjustment_starts
from markets.models import FlexEvent


def load_baseline_facts(
    *, event: FlexEvent, method: Rule, portfolios: Portfolios, evses: EvseVolume | None, as_of: datetime
) -> BaselineFacts:
    """Load the EVSEs, the rated power, the nominations and the control group of each portfolio, as known at ``as_of``.

    A meter with a gap is left out of metered energy, so it is left out of EVSEs and rated power too
    (``read_throughout``), and of what was nominated goes the share of its rated power: else a missing reading would
    count as a delivery.

    Args:
        event: which may be unstored.
        method: the product's; a control group is read for one that compares with it.
        evses: readings of the event, in the portfolios' order; None before it, when every meter counts and a control
            group has drawn nothing yet.
    """
    counts = np.ones(len(portfolios.evse_pks), dtype=np.bool_)
    if evses is not None:
        counts = (evses.metered_quanta != NO_VALUE).all(axis=1)
    ratings = dict(
        EVSE.objects.across_tenants().filter(pk__in=portfolios.evse_pks.tolist()).values_list("pk", "rated_kw")
    )
    rated_kw = np.array([ratings[pk] for pk in portfolios.evse_pks.tolist()], dtype=np.float64)
    unit, n_unit = portfolios.unit[counts], portfolios.n_unit
    counted_kw = np.bincount(unit, weights=rated_kw[counts], minlength=n_unit).astype(np.float64)
    all_kw = np.bincount(portfolios.unit, weights=rated_kw, minlength=n_unit)
    share = np.divide(counted_kw, all_kw, out=np.ones(n_unit), where=all_kw > 0)
    nominated = load_nominations(event=event, portfolios=portfolios, as_of=as_of)
    control = None
    if isinstance(method, ControlGroupRule) and evses is not None:
        control = load_control(event=event, rule=method, portfolios=portfolios, as_of=as_of)
    return BaselineFacts(
        n_evse=np.bincount(unit, minlength=n_unit).astype(np.int64),
        rated_kw=counted_kw,
        nominations=replace(nominated, energy_kwh=nominated.energy_kwh * share[nominated.row][:, np.newaxis]),
        control=control,
    )


def load_control(*, event: FlexEvent, rule: ControlGroupRule, portfolios: Portfolios, as_of: datetime) -> ControlGroup:
    """Load what each portfolio's control group drew in an event and in the window before, as known at ``as_of``."""
    grid, held_out = event_grid(event.signal), portfolios.held_out
    window = adjustment_starts(
        grid.starts_at, n_periods=rule.adjustment_periods, gap_periods=rule.adjustment_gap_periods
    )
    energy = load_energy_kwh(
        meter_pks=held_out.meter_pks,
        first_day=window.min().astype("datetime64[D]").item(),
        last_day=grid.ends_at.date(),
        as_of=as_of,
    )
    return metered_control(
        energy_at(energy, grid.period_starts()),
        energy_at(energy, window),
        held_out.unit,
        n_unit=portfolios.n_unit,
        missing=cast(MissingPolicy, event.product.missing),
        rule=rule,
    )
