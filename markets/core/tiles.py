"""The figures a person checks a cycle by, each with its unit, and a mark where one needs attention."""

from collections.abc import Mapping
from dataclasses import dataclass

from aggregator.core.display import NO_VALUE, number


@dataclass(frozen=True, slots=True)
class Tile:
    """``alert`` is a word for what is wrong, empty when nothing is."""

    label: str
    value: str
    unit: str = ""
    alert: str = ""


@dataclass(frozen=True, slots=True)
class TileGroup:
    name: str
    tiles: tuple[Tile, ...]


def cycle_tiles(summary: Mapping[str, object], *, are_ev_figures_shown: bool = True) -> tuple[TileGroup, ...]:
    """Lay out a cycle's summary.

    Args:
        summary: figures by name with units in their names; a missing one shows as a dash.
        are_ev_figures_shown: False hides what is about EVs only, where too few EVSEs stand behind it.
    """
    ev = summary if are_ev_figures_shown else {}
    return (
        TileGroup(
            "Fleet and energy",
            (
                Tile("EVSEs", number(summary.get("n_evse"), 0)),
                Tile("Sessions forecast", number(ev.get("n_session_forecast"), 0)),
                Tile("Sessions that came", number(ev.get("n_session"), 0)),
                Tile("Energy planned if all come", number(ev.get("energy_planned_kwh")), "kWh"),
                Tile("Energy asked", number(ev.get("energy_asked_kwh")), "kWh"),
                Tile("Energy delivered", number(ev.get("energy_delivered_kwh")), "kWh"),
                Tile("Energy unserved", number(ev.get("energy_unserved_kwh")), "kWh"),
                Tile("Overrides", number(ev.get("n_override"), 0)),
                Tile("No-shows", number(ev.get("n_no_show"), 0)),
            ),
        ),
        TileGroup(
            "Peak and cost",
            (
                Tile("Network peak without dispatch", number(ev.get("network_peak_uncontrolled_kw")), "kW"),
                Tile("Network peak with dispatch", number(ev.get("network_peak_metered_kw")), "kW"),
                Tile("EV peak without dispatch", number(ev.get("peak_uncontrolled_kw")), "kW"),
                Tile("EV peak with dispatch", number(ev.get("peak_metered_kw")), "kW"),
                Tile("EV peak planned if all come", number(ev.get("peak_planned_kw")), "kW"),
                Tile("Nodes over rating without dispatch", number(ev.get("n_node_over_uncontrolled"), 0)),
                _over_rating(ev.get("n_node_over_metered")),
                Tile("Cost without dispatch", number(ev.get("cost_uncontrolled_gbp"), 2), "GBP"),
                Tile("Cost with dispatch", number(ev.get("cost_metered_gbp"), 2), "GBP"),
                # Side by side costs are of different energies; a kWh's cost is like for like.
                Tile("Cost a kWh without dispatch", number(_pence(ev.get("cost_uncontrolled_gbp_per_kwh")), 2), "p"),
                Tile("Cost a kWh with dispatch", number(_pence(ev.get("cost_metered_gbp_per_kwh")), 2), "p"),
            ),
        ),
        TileGroup("Plan", _plan_tiles(summary)),
        TileGroup(
            "Market",
            (
                Tile("Instructed", number(ev.get("instructed_kwh"), 2), "kWh"),
                Tile("Delivered volume", number(ev.get("delivered_volume_kwh"), 2), "kWh"),
                Tile("Payment", number(ev.get("payment_gbp"), 2), "GBP"),
            ),
        ),
    )


def _plan_tiles(summary: Mapping[str, object]) -> tuple[Tile, ...]:
    shortfall, violation, rung = (summary.get(key) for key in ("shortfall_kwh", "max_violation_kw", "rung"))
    return (
        Tile("Shortfall", number(shortfall), "kWh", "request not met" if _exceeds(shortfall, 0.05) else ""),
        Tile("Limit exceeded by", number(violation, 3), "kW", "limit broken" if _exceeds(violation, 1e-6) else ""),
        Tile("Plan cost", number(summary.get("cost_gbp"), 2), "GBP"),
        Tile("Lower bound", number(summary.get("lower_bound_gbp"), 2), "GBP"),
        Tile("Gap", number(_percent(summary.get("gap")), 3), "%"),
        Tile(
            "Proof",
            rung if isinstance(rung, str) else NO_VALUE,
            alert="not certified" if isinstance(rung, str) and rung != "certified" else "",
        ),
    )


def _over_rating(n_node: object) -> Tile:
    alert = "over rating" if _exceeds(n_node, 0) else ""
    return Tile("Nodes over rating with dispatch", number(n_node, 0), alert=alert)


def _exceeds(value: object, threshold: float) -> bool:
    return isinstance(value, int | float) and value > threshold


def _pence(amount_gbp: object) -> object:
    return amount_gbp * 100 if isinstance(amount_gbp, int | float) else amount_gbp


def _percent(share: object) -> object:
    return share * 100 if isinstance(share, int | float) else share
