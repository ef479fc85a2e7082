"""What a volume taken from suppliers costs whoever sold it, and who pays: P415's compensation, in pennies.

Volumes allocated under P375 are compensated at the supplier sourcing cost, which every supplier bears by its share of
final demand.
"""

from decimal import ROUND_HALF_UP, Decimal

from aggregator.core.errors import FlexError
from markets.core.allocation import FILED_MWH

PENNY = Decimal("0.01")


class InvalidCompensation(FlexError):
    code = "compensation.invalid"


def at_gsp_mwh(volume_mwh: Decimal, line_loss_factor: Decimal) -> Decimal:
    """A metered volume at its grid supply point: times the line loss factor, four decimals, halves away from zero.

    Raises:
        InvalidCompensation: a factor that is not above 0.
    """
    if line_loss_factor <= 0:
        raise InvalidCompensation(f"a line loss factor is above 0, found {line_loss_factor}")
    return (volume_mwh * line_loss_factor).quantize(FILED_MWH, ROUND_HALF_UP)


def compensation_gbp(volume_mwh: Decimal, sourcing_cost_gbp_per_mwh: Decimal) -> Decimal:
    """What suppliers are paid for a volume taken from them, to the penny."""
    return (volume_mwh * sourcing_cost_gbp_per_mwh).quantize(PENNY, ROUND_HALF_UP)


def contribution_gbp(compensation: Decimal, final_demand_share: Decimal) -> Decimal:
    """What one supplier bears of a compensation in GBP, to the penny.

    Raises:
        InvalidCompensation: a share outside 0 to 1.
    """
    if not 0 <= final_demand_share <= 1:
        raise InvalidCompensation(f"a share of final demand lies in 0 to 1, found {final_demand_share}")
    return (compensation * final_demand_share).quantize(PENNY, ROUND_HALF_UP)


def implied_rate_gbp_per_mwh(charged_gbp: Decimal, volume_mwh: Decimal) -> Decimal:
    """The sourcing cost that a published charge and volume imply, to the penny.

    Raises:
        InvalidCompensation: no volume.
    """
    if volume_mwh == 0:
        raise InvalidCompensation("a rate needs a volume, found 0 MWh")
    return (charged_gbp / volume_mwh).quantize(PENNY, ROUND_HALF_UP)
