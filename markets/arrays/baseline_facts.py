"""What a baseline that does not come from past days needs to know of each portfolio."""

from dataclasses import replace
from datetime import datetime

import numpy as np

from aggregator.models import EVSE
from markets.arrays.nominations import load_nominations
from markets.arrays.settlement import Portfolios
from markets.core.baseline_methods import BaselineFacts
from markets.core.evse_volume import NO_VALUE, EvseVolume
from markets.models import FlexEvent


def load_baseline_facts(
    *, event: FlexEvent, portfolios: Portfolios, evses: EvseVolume | None, as_of: datetime
) -> BaselineFacts:
    """Load the EVSEs, the rated power and the nominations of each portfolio, as known at ``as_of``.

    A meter with a gap is left out of metered energy, so it is left out of EVSEs and rated power too
    (``read_throughout``), and of what was nominated goes the share of its rated power: else a missing reading would
    count as a delivery.

    Args:
        event: which may be unstored.
        evses: readings of the event, in the portfolios' order; None before it, when every meter counts.
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
    return BaselineFacts(
        n_evse=np.bincount(unit, minlength=n_unit).astype(np.int64),
        rated_kw=counted_kw,
        nominations=replace(nominated, energy_kwh=nominated.energy_kwh * share[nominated.row][:, np.newaxis]),
    )
