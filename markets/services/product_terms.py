"""What a version of a product states, term by term, in the order people read it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Term:
    """One term.

    Attributes:
        name: the model's field.
        label: what it is called; ``hint`` says what it means where the label does not.
        is_optional: whether it may be left empty; ``empty`` is what it then says.
    """

    name: str
    label: str
    unit: str = ""
    is_optional: bool = False
    hint: str = ""
    empty: str = "none"


GROUPS: tuple[tuple[str, tuple[Term, ...]], ...] = (
    (
        "What is bought",
        (
            Term("name", "Name"),
            Term("family", "Family"),
            Term("notice", "Notice"),
            Term("min_kw", "Minimum size", "kW"),
            Term("min_run", "Minimum run"),
        ),
    ),
    (
        "Prices",
        (
            Term("availability_gbp_per_mw_h", "Availability", "GBP/MW/h", is_optional=True, empty="not paid"),
            Term(
                "utilisation_gbp_per_mwh", "Utilisation", "GBP/MWh", is_optional=True, empty="stated with each request"
            ),
            Term("penalty_gbp_per_mwh", "Penalty", "GBP/MWh"),
            Term("cap_gbp_per_event", "Cap of an event", "GBP", is_optional=True, empty="no cap"),
            Term("cap_gbp_per_month", "Cap of a month", "GBP", is_optional=True, empty="no cap"),
            Term("availability_factor", "Availability factor"),
            Term("partial_availability", "Part of the power available"),
            Term("availability_without_call", "Month without a call"),
            Term("rounding", "Rounding"),
        ),
    ),
    (
        "Performance",
        (
            Term("aggregation", "Performance of"),
            Term("grace", "Grace", hint="share of the energy instructed that may be missed at no loss"),
            Term("slope", "Slope", hint="what each share missed beyond the grace takes off the factor"),
            Term("cutoff", "Cut-off", is_optional=True, hint="share delivered below which nothing is paid"),
            Term("step", "Step", hint="how finely the factor moves"),
            Term("scale", "Scale", is_optional=True),
            Term("cap", "Delivery capped", hint="at the energy instructed"),
            Term("pays_on", "Pays on"),
        ),
    ),
    (
        "Metering",
        (
            Term("granularity", "Granularity"),
            Term("timestamp_convention", "Time stamps"),
            Term("volume", "Volume"),
            Term("missing", "Missing readings"),
            Term("min_present_share", "Least share read"),
            Term("min_meters_share", "Least share of meters"),
        ),
    ),
    (
        "Baseline",
        (
            Term("baseline_method", "Method"),
            Term("baseline_parameters", "Parameters"),
            Term("n_working_days", "Working days", "days"),
            Term("n_non_working_days", "Non-working days", "days"),
            Term("n_drop_working", "Working days dropped at each end", "days"),
            Term("n_drop_non_working", "Non-working days dropped at each end", "days"),
            Term("lookback_days", "Look-back", "days"),
            Term("adjustment_periods", "Adjustment window", "half-hours"),
            Term("adjustment_gap_periods", "Gap before the event", "half-hours"),
            Term("min_adjustment_periods", "Fewest of the window read", "half-hours"),
            Term(
                "adjustment_cap_share",
                "Cap of the adjustment",
                is_optional=True,
                hint="share of the baseline",
                empty="no cap",
            ),
            Term("floor_at_zero", "Never below 0"),
        ),
    ),
    ("Where it is from", (Term("source", "Source"), Term("uncertain", "Uncertain"))),
)
TERMS = tuple(term for _, terms in GROUPS for term in terms)
TERM_NAMES = tuple(term.name for term in TERMS)
OPTIONAL = frozenset(term.name for term in TERMS if term.is_optional)
