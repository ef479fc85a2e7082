"""What every kind of explanation reads of a run."""

from dataclasses import fields

from aggregator.arrays.prices import find_tariff, load_carbon_gco2_per_kwh, load_prices_gbp_per_kwh
from aggregator.core.types import FloatArray
from aggregator.models import NetworkNode
from dispatch.core.assemble import GRAMS_PER_TONNE, RunParameters
from dispatch.models import DispatchRun

# Stored plans are rounded to whole amperes and certified to a gap: a fifth of a penny is within both.
NEAR_GBP_PER_KWH = 0.002


def parameters_of(run: DispatchRun) -> RunParameters:
    known = {field.name for field in fields(RunParameters)}
    return RunParameters(**{name: value for name, value in run.parameters.items() if name in known})


def price_of(run: DispatchRun, parameters: RunParameters) -> FloatArray:
    """(n_period,) what the run took energy to cost, from what was known then."""
    tariff = find_tariff(str(run.parameters["tariff"]))
    price: FloatArray = load_prices_gbp_per_kwh(tariff=tariff, grid=run.grid, as_of=run.as_of).values
    if parameters.carbon_gbp_per_tonne == 0:
        return price
    carbon = load_carbon_gco2_per_kwh(grid=run.grid, as_of=run.as_of).values
    return price + carbon * parameters.carbon_gbp_per_tonne / GRAMS_PER_TONNE


def title(node: NetworkNode) -> str:
    name = f" ({node.code})" if node.name and node.name != node.code else ""
    return f"{node.get_kind_display().lower()} {node.name or node.code}{name}"
