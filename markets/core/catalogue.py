"""What GB network operators have published of their flexibility products, as data.

One entry for each operator and contract. ``terms`` are a product's columns by name; what an entry leaves out is as the
product's baseline method and the model have it, and ``uncertain`` says which of it nobody published. Nothing here was
checked with the operators: a contract decides.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import MappingProxyType

EDITION = "2026-09"
_MINUTES_15, _HALF_HOUR = timedelta(minutes=15), timedelta(minutes=30)
_RULE_TODAY = "the performance rule in force today"
_FP_RULE = (
    "The published tolerance, slope and cut-off do not meet: the line pays 4 % at 63 % delivered and 1 % at 62 %, the "
    "text nothing below 63 %. Whether the factor scales the instructed or the delivered value, and " + _RULE_TODAY
)
_FLEXIBLE_POWER: Mapping[str, object] = MappingProxyType(
    {
        "grace": 0.05,
        "slope": 3.0,
        "cutoff": 0.63,
        "pays_on": "instructed",
        "granularity": "minute",
        "timestamp_convention": "period-end",
        "notice": _MINUTES_15,
    }
)
# Pay as delivered, without a rule: no grace, no slope, no cut-off.
_AS_DELIVERED: Mapping[str, object] = MappingProxyType(
    {"grace": 0.0, "slope": 0.0, "cutoff": None, "pays_on": "delivered", "cap": "interval"}
)


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One product as an operator published it.

    Attributes:
        operator: code of the network operator who buys it; ``operator_name`` for people.
        code: of the product.
        terms: columns of a product by name.
        valid_from: from when the catalogue lets it be called, not when the operator began.
        source: where it was published.
        uncertain: what of it is not certain.
    """

    operator: str
    operator_name: str
    code: str
    name: str
    family: str
    terms: Mapping[str, object]
    source: str
    uncertain: str
    valid_from: datetime = datetime(2018, 1, 1, tzinfo=UTC)

    def stated(self) -> dict[str, object]:
        """Every term the entry states."""
        return {
            "name": self.name,
            "family": self.family,
            **self.terms,
            "source": f"{self.source} (catalogue {EDITION})",
            "uncertain": self.uncertain,
        }


def _nged(code: str, name: str, family: str, uncertain: str, **terms: object) -> CatalogueEntry:
    source = (
        "Flexible Power (WPD, now NGED): announcement of 2018; portal's questions on metering; dispatch signals page"
    )
    return CatalogueEntry(
        "nged",
        "National Grid Electricity Distribution",
        code,
        name,
        family,
        {**_FLEXIBLE_POWER, **terms},
        source,
        f"{_FP_RULE}. {uncertain}",
    )


_SSEN = ("ssen", "Scottish and Southern Electricity Networks")
_SPEN = ("spen", "SP Energy Networks")
_ENWL = ("enwl", "SP Electricity North West")
_NPG = ("npg", "Northern Powergrid")
_UKPN = ("ukpn", "UK Power Networks")
_OU_SA = "operational_utilisation_scheduled_availability"
_OU_VA = "operational_utilisation_variable_availability"

CATALOGUE: tuple[CatalogueEntry, ...] = (
    _nged(
        "nged-secure",
        "Secure (Flexible Power, 2018)",
        _OU_SA,
        "Availability (arming) was 75 to 118 GBP/MW/h and is stated by each contract. That a month's performance "
        "scales it, and that Secure is today's Scheduled Availability, is general knowledge",
        utilisation_gbp_per_mwh=Decimal(150),
        availability_factor="month",
    ),
    _nged(
        "nged-dynamic",
        "Dynamic (Flexible Power, 2018)",
        _OU_VA,
        "Availability was published as small; 5 GBP/MW/h is a later figure from general knowledge, as is its scaling "
        "by a month's performance",
        utilisation_gbp_per_mwh=Decimal(300),
        availability_gbp_per_mw_h=Decimal(5),
        availability_factor="month",
    ),
    _nged(
        "nged-restore",
        "Restore (Flexible Power, 2018)",
        "operational_utilisation",
        "That Restore is today's Operational Utilisation is general knowledge",
        utilisation_gbp_per_mwh=Decimal(600),
    ),
    _nged(
        "nged-ev-winter-peak",
        "Scheduled Utilisation of home chargers, winter 2023/24",
        "scheduled_utilisation",
        "0.83 kW a charger is for a 7 kW charger at the winter peak alone. The page multiplies 0.0125 MW where it "
        "describes 0.1245 MW: only its formula is taken",
        utilisation_gbp_per_mwh=Decimal(1812),
        granularity="half-hour",
        baseline_method="fixed-reference",
        baseline_parameters={"reference_kw": 0.83},
    ),
    CatalogueEntry(
        *_SSEN,
        "ssen-scheduled",
        "Scheduled Utilisation (Standard Agreement v3.0)",
        "scheduled_utilisation",
        {
            **_AS_DELIVERED,
            "baseline_method": "nomination",
        },
        source="SSEN contract register (ENA Standard Agreement v3.0, ElectronConnect); Electron: nominated baselines "
        "in day-ahead markets",
        uncertain="Metering granularity, and the performance rule: delivered and capped is the TRANSITION trial's",
    ),
    CatalogueEntry(
        *_SSEN,
        "ssen-transition-dynamic",
        "Dynamic (TRANSITION trial)",
        "operational_utilisation",
        {
            **_AS_DELIVERED,
            "cap": "event",
            "scale": [[0.5, 0.5], [1.0, 1.0]],
            "baseline_method": "nomination",
        },
        source="SSEN TRANSITION trial: payment page and questions; utilisation alone, at most 500 GBP/MWh",
        uncertain="Points of the scale between 50 and 100 %: a straight line is our reading. The market's ceiling of "
        "500 GBP/MWh is of prices, and not enforced here. Payment of a minimum for too few calls is not coded",
    ),
    CatalogueEntry(
        *_SSEN,
        "ssen-transition-secure",
        "Secure (TRANSITION trial)",
        _OU_SA,
        {
            **_AS_DELIVERED,
            "cap": "event",
            "scale": [[0.5, 0.5], [1.0, 1.0]],
            "baseline_method": "nomination",
            "availability_factor": "previous-month",
            "availability_without_call": "previous-month",
        },
        source="SSEN TRANSITION trial: availability is paid on the month before's average delivery",
        uncertain="Points of the scale between 50 and 100 %. Whether part of the power earns part of the fee was "
        "undecided in the trial: in proportion here",
    ),
    CatalogueEntry(
        *_SPEN,
        "spen-piclo",
        "Scheduled Utilisation (Piclo)",
        "scheduled_utilisation",
        {
            "baseline_method": "mid-8-in-10",
        },
        source="Piclo support articles: historical baseline, half-hours, settled in the second week for the month "
        "before; dispatch month-ahead in the third week, accepted within 48 hours",
        uncertain="The performance rule is set market by market and not published: Flexible Power's is put in its "
        "place. Which historical baseline",
    ),
    CatalogueEntry(
        *_SPEN,
        "spen-electron",
        "Operational Utilisation (Electron)",
        "operational_utilisation",
        {
            "baseline_method": "fixed-reference",
        },
        source="Electron help pages: the default baseline goes by technology, metering point and scale",
        uncertain="The performance rule (Flexible Power's is put in its place) and the reference power of each EVSE",
    ),
    CatalogueEntry(
        *_ENWL,
        "enwl-operational",
        "Operational Utilisation",
        "operational_utilisation",
        {
            "min_kw": 10.0,
            "baseline_method": "fixed-reference",
        },
        source="ENWL flexibility hub and questions; Electron: default baselines",
        uncertain="The performance rule (Flexible Power's is put in its place), granularity and reference power",
    ),
    CatalogueEntry(
        *_ENWL,
        "enwl-variable",
        "Operational Utilisation with Variable Availability",
        _OU_VA,
        {
            "min_kw": 10.0,
            "baseline_method": "fixed-reference",
        },
        source="ENWL flexibility hub: daily peaks or response after a fault, tendered in spring and autumn",
        uncertain="Payment structure and performance rule (Flexible Power's is put in its place), granularity and "
        "reference power",
    ),
    CatalogueEntry(
        *_ENWL,
        "enwl-peak-reduction",
        "Peak Reduction",
        "peak_reduction",
        {
            "min_kw": 10.0,
            "baseline_method": "fixed-reference",
        },
        source="ENWL flexibility hub; ENA standard products: a lower peak over a longer period",
        uncertain="Whether volumes are deemed or measured; the performance rule and the reference power",
    ),
    CatalogueEntry(
        *_NPG,
        "npg-hv",
        "Operational Utilisation with Scheduled Availability (high voltage)",
        _OU_SA,
        {
            "notice": timedelta(days=7),
        },
        source="Northern Powergrid on Piclo, autumn and winter 2025/26: high-voltage zones, dispatched week-ahead; "
        "bids compared by an effective price",
        uncertain="Baseline, metering and performance rule (Flexible Power's is put in its place); that a week-ahead "
        "dispatch is a notice of seven days",
    ),
    CatalogueEntry(
        *_NPG,
        "npg-lv",
        "Scheduled Utilisation (low voltage)",
        "scheduled_utilisation",
        {},
        source="Northern Powergrid on Piclo, autumn and winter 2025/26: zones up to 415 V",
        uncertain="Baseline, metering and performance rule (Flexible Power's is put in its place)",
    ),
    CatalogueEntry(
        *_UKPN,
        "ukpn-scheduled",
        "Scheduled Utilisation",
        "scheduled_utilisation",
        {
            **_AS_DELIVERED,
            "cutoff": 0.6,
            "min_kw": 10.0,
            "min_run": _HALF_HOUR,
        },
        source="UK Power Networks flexibility pages: 10 kW at a location, a choice of baselines",
        uncertain="Pay as delivered with a cut-off of about 60 % and a shortest run of half an hour are general "
        "knowledge; the baseline is chosen by contract",
    ),
)
