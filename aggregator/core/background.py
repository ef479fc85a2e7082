"""Background demand of a whole area: what customers and feeders measured, added up the tree, ADMD where nothing was."""

from dataclasses import dataclass
from datetime import date

import numpy as np

from aggregator.core.align import NOWHERE, index_of
from aggregator.core.findings import FindingNote
from aggregator.core.load_forecast import (
    DOMESTIC_WINTER_SHAPE,
    BackgroundForecast,
    DemandHistory,
    background_quantile_kw,
    node_demand_kw,
)
from aggregator.core.local_clock import DayTypes, clock_period
from aggregator.core.network_area import NetworkArea
from aggregator.core.timegrid import TimeGrid
from aggregator.core.types import FloatArray, IntArray

ENOUGH_METERS = 0.5  # share of a node's customers that must be read for its half-hour to be told from them
ENOUGH_SAMPLES = 10  # days of one type that tell their own quantile


@dataclass(frozen=True, slots=True)
class MeasuredDemand:
    """Demand other than EVSEs, as measured in an area.

    Attributes:
        first_day: UTC date of day 0.
        customer_kw: (n_customer_meter, n_day, 48) NaN where missing.
        customer_node: (n_customer_meter,) index of the node each hangs on.
        monitor_kw: (n_monitor, n_day, 48) of whole nodes.
        monitor_node: (n_monitor,).
    """

    first_day: date
    customer_kw: FloatArray
    customer_node: IntArray
    monitor_kw: FloatArray
    monitor_node: IntArray


def forecast_background(
    measured: MeasuredDemand, *, area: NetworkArea, grid: TimeGrid, day_types: DayTypes, quantile: float
) -> BackgroundForecast:
    """Upper quantile of each node's demand at the same clock half-hour on days of the same type.

    Demands are added up first and the quantile is taken of the sum, node by node: quantiles do not add.

    Source: docs/methods/availability.md
    """
    demand, findings = _node_demand(measured, area)
    rows = demand.told
    told = background_quantile_kw(
        DemandHistory(area.codes[rows], measured.first_day, demand.told_kw),
        day_types=day_types,
        grid=grid,
        n_customer=area.n_customers[rows],
        quantile=quantile,
        # The history has no gaps; a short one is told by all its days, but for an hour the spring change skips.
        min_samples=int(np.clip(demand.told_kw.shape[1] - 1, 1, ENOUGH_SAMPLES)),
    )
    # The same every day, which is every quantile of it.
    power_kw = demand.typical_kw[:, clock_period(grid)]
    power_kw[rows] = told.power_kw
    is_measured = np.ones(area.n_node, dtype=np.bool_)
    is_measured[rows] = told.is_measured
    return BackgroundForecast(area.codes, power_kw, is_measured, (*findings, *told.findings))


def node_history_kw(measured: MeasuredDemand, area: NetworkArea) -> tuple[FloatArray, tuple[FindingNote, ...]]:
    """Demand of each node and all below it in every half-hour of the history.

    A monitor speaks for its whole node while it reads; where it is silent and no customer is known to hang below, its
    other days speak. Otherwise the node's own customers and its children are added, and customers nobody measured
    count with their ADMD on the domestic shape. Customers that hang on a feeder with
    phases, unknown or three-phase, load each phase by a third.

    Returns:
        (n_node, n_day, 48) kW without NaN, and what was estimated.
    """
    demand, findings = _node_demand(measured, area)
    history_kw = demand.typical_kw[:, demand.clock]
    history_kw[demand.told] = demand.told_kw
    return history_kw, findings


@dataclass(frozen=True, slots=True)
class _NodeDemand:
    """Demand of each node and all below: day by day where a meter tells it, by the clock alone elsewhere.

    Attributes:
        told: (n_told,) nodes with a meter at or below them.
        told_kw: (n_told, n_day, 48).
        typical_kw: (n_node, 48) by London clock half-hour; means nothing where it is told.
        clock: (n_day, 48) London clock half-hour of each UTC one.
    """

    told: IntArray
    told_kw: FloatArray
    typical_kw: FloatArray
    clock: IntArray


def _node_demand(measured: MeasuredDemand, area: NetworkArea) -> tuple[_NodeDemand, tuple[FindingNote, ...]]:
    """Add up the tree. Of a million homes few streets are metered: the rest need no row a day."""
    told = _told(measured, area)
    row_of = index_of(told, np.arange(area.n_node))
    own_kw, clock, findings = _own_kw(measured, area, told)
    typical_own_kw = (area.admd_kw * _n_customer(measured, area))[:, np.newaxis] * DOMESTIC_WINTER_SHAPE
    by_monitor, gaps = _without_gaps(_monitors_kw(measured, told), measured, area, told)
    total_kw = np.where(np.isnan(by_monitor), own_kw, by_monitor)
    typical_kw = typical_own_kw.copy()
    for node, parent in zip(range(area.n_node - 1, -1, -1), area.parent[::-1].tolist(), strict=True):
        if parent < 0:
            continue
        row, row_above = row_of[node], row_of[parent]
        if row_above == NOWHERE:
            typical_kw[parent] += typical_kw[node]
        else:
            below_kw = typical_kw[node][clock] if row == NOWHERE else total_kw[row]
            total_kw[row_above] += np.where(np.isnan(by_monitor[row_above]), below_kw, 0.0)
    phases = np.flatnonzero(area.is_phase & (area.parent >= 0))
    rows, above = row_of[phases], area.parent[phases]
    is_told = rows != NOWHERE
    unmonitored = np.isnan(by_monitor[rows[is_told]])
    total_kw[rows[is_told]] += np.where(unmonitored, own_kw[row_of[above[is_told]]] / 3, 0.0)
    typical_kw[phases] += typical_own_kw[above] / 3
    return _NodeDemand(told, total_kw, typical_kw, clock), (*findings, *gaps)


def _told(measured: MeasuredDemand, area: NetworkArea) -> IntArray:
    """(n_told,) nodes whose days differ: with a meter at or below them, and the phases of such a feeder.

    All of them where there are less than two days, which may lack a clock half-hour.
    """
    is_told = np.zeros(area.n_node, dtype=np.bool_)
    is_told[measured.customer_node] = is_told[measured.monitor_node] = True
    is_told |= measured.customer_kw.shape[1] < 2
    for node in range(area.n_node - 1, 0, -1):
        if area.parent[node] >= 0:
            is_told[area.parent[node]] |= is_told[node]
    phases = np.flatnonzero(area.is_phase & (area.parent >= 0))
    is_told[phases] |= is_told[area.parent[phases]]
    return np.flatnonzero(is_told)


def _own_kw(
    measured: MeasuredDemand, area: NetworkArea, told: IntArray
) -> tuple[FloatArray, IntArray, tuple[FindingNote, ...]]:
    """(n_told, n_day, 48) demand of customers connected directly, the clock of the days, and what was estimated."""
    n_customer = _n_customer(measured, area)
    demand = node_demand_kw(
        DemandHistory(np.arange(len(measured.customer_node)).astype(np.str_), measured.first_day, measured.customer_kw),
        node=index_of(told, measured.customer_node),
        node_ids=area.codes[told],
        n_customer=n_customer[told],
        min_present=ENOUGH_METERS,
    )
    n_day = measured.customer_kw.shape[1]
    clock = clock_period(demand.history.grid()).reshape(-1, 48)[:n_day]
    admd_kw = (area.admd_kw * n_customer)[told][:, np.newaxis, np.newaxis] * DOMESTIC_WINTER_SHAPE[clock]
    missing = np.isnan(demand.history.power_kw)
    own_kw = np.where(missing, admd_kw, demand.history.power_kw)
    partly = tuple(note for note in demand.findings if float(str(note.details["present_share"])) > 0)
    missing_share = np.ones(area.n_node)
    missing_share[told] = missing.mean(axis=(1, 2))
    return own_kw, clock, (*partly, *_admd_findings(area, n_customer, missing_share, _monitored(measured, area)))


def _n_customer(measured: MeasuredDemand, area: NetworkArea) -> IntArray:
    """(n_node,) customers connected directly; meters that nobody counted are customers too."""
    n_metered = np.bincount(measured.customer_node, minlength=area.n_node)
    n_customer: IntArray = np.maximum(area.n_customers, n_metered)
    return n_customer


def _admd_findings(
    area: NetworkArea, n_customer: IntArray, missing_share: FloatArray, monitored: set[int]
) -> list[FindingNote]:
    return [
        FindingNote(
            "demand.unmeasured",
            str(area.codes[node]),
            f"{missing_share[node]:.0%} of the demand of {int(n_customer[node])} customers rests on an ADMD of "
            f"{area.admd_kw[node]:g} kW each",
            severity="info",
            details={"missing_share": float(missing_share[node]), "n_customer": int(n_customer[node])},
        )
        for node in np.flatnonzero((n_customer > 0) & (missing_share > 0))
        if int(node) not in monitored
    ]


def _monitored(measured: MeasuredDemand, area: NetworkArea) -> set[int]:
    """Nodes with a monitor of their own or above them."""
    covered = np.zeros(area.n_node, dtype=np.bool_)
    covered[measured.monitor_node] = True
    for node in range(area.n_node):
        covered[node] |= area.parent[node] >= 0 and covered[area.parent[node]]
    return set(np.flatnonzero(covered).tolist())


def _monitors_kw(measured: MeasuredDemand, told: IntArray) -> FloatArray:
    """(n_told, n_day, 48) what monitors read, summed where a node has several; NaN unless all of them did."""
    n_day = measured.customer_kw.shape[1]
    by_node, row = np.full((len(told), n_day, 48), np.nan), index_of(told, measured.monitor_node)
    by_node[row] = 0.0
    np.add.at(by_node, row, measured.monitor_kw)
    return by_node


def _without_gaps(
    by_monitor: FloatArray, measured: MeasuredDemand, area: NetworkArea, told: IntArray
) -> tuple[FloatArray, list[FindingNote]]:
    """Fill the gaps of monitors with no customer known below, who would count as no demand at all.

    A gap is the mean of the monitor's other days in that half-hour, or of all it read.
    """
    n_below = _n_customer(measured, area)
    for node in range(area.n_node - 1, 0, -1):
        if area.parent[node] >= 0:
            n_below[area.parent[node]] += n_below[node]
    filled, findings = by_monitor.copy(), []
    is_gap = np.isnan(by_monitor)
    has_gap = (n_below[told] == 0) & is_gap.any(axis=(1, 2)) & ~is_gap.all(axis=(1, 2))
    for row in np.flatnonzero(has_gap).tolist():
        n_read = (~is_gap[row]).sum(axis=0)
        same_kw = np.where(is_gap[row], 0.0, by_monitor[row]).sum(axis=0) / np.maximum(n_read, 1)
        typical_kw = np.where(n_read > 0, same_kw, np.nanmean(by_monitor[row]))
        filled[row] = np.where(is_gap[row], typical_kw, by_monitor[row])
        findings.append(_gap_finding(str(area.codes[told[row]]), float(is_gap[row].mean())))
    return filled, findings


def _gap_finding(code: str, missing_share: float) -> FindingNote:
    return FindingNote(
        "demand.monitor_gap",
        code,
        f"the monitors of {code} are silent {missing_share:.0%} of the time; their other days stand in",
        severity="info",
        details={"missing_share": missing_share},
    )
