"""The form that states a request for dispatch; it works without JavaScript."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

from django import forms

from aggregator.core.errors import FlexError
from aggregator.core.local_window import InvalidWindow, clock_choices, length_text, window_at
from dispatch.models import TargetSignal
from dispatch.services.targets import LONGEST_REFERENCE
from markets.services.requests import DispatchRequest

N_PERIOD_LONGEST = 48
# Which field of the form a refusal's ``field`` is about.
FIELDS = {"node_code": "node", "starts_at": "clock", "ends_at": "n_period", "price_gbp_per_mwh": "price"}


class RequestForm(forms.Form):
    """Direction, target and window of one request; ``request`` is the request once the form is valid."""

    node = forms.CharField(
        label="Network node", max_length=80, widget=forms.TextInput(attrs={"list": "nodes"}), help_text="its code"
    )
    # Typed, not picked: a browser's own field writes the day as its language has it, 03/04 or 04/03.
    day = forms.DateField(
        label="Date",
        input_formats=["%Y-%m-%d"],
        widget=forms.DateInput({"placeholder": "2026-01-14", "autocomplete": "off"}, "%Y-%m-%d"),
        help_text="local, as 2026-01-14",
        error_messages={"invalid": "Write the day as 2026-01-14."},
    )
    clock = forms.ChoiceField(label="From", choices=clock_choices, help_text="local time")
    n_period = forms.TypedChoiceField(
        label="For", coerce=int, choices=[(n, length_text(n)) for n in range(1, N_PERIOD_LONGEST + 1)]
    )
    direction = forms.ChoiceField(label="Direction", choices=TargetSignal.Direction.choices)
    kind = forms.ChoiceField(label="Kind", choices=TargetSignal.Kind.choices)
    target_kw = forms.FloatField(
        label="Target (kW)",
        min_value=0,
        help_text="EV power at the node: at most this when turning down, at least this when turning up",
    )
    shortfall_gbp_per_kwh = forms.FloatField(
        label="Shortfall price (GBP/kWh)", min_value=0, help_text="what a kWh missed costs the plan"
    )
    product = forms.ChoiceField(label="Product", required=False, help_text="none: nothing is paid for it")
    price = forms.DecimalField(
        label="Price (GBP/MWh)",
        required=False,
        min_value=0,
        max_digits=10,
        decimal_places=2,
        help_text="of the product",
    )
    reference = forms.CharField(
        label="Reference", max_length=LONGEST_REFERENCE, help_text="names this request for good; change it if you like"
    )

    def __init__(self, *args: Any, products: Iterable[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})
        self.fields["product"].choices = [("", "none"), *products]  # type: ignore[attr-defined]
        self.request: DispatchRequest | None = None

    def clean(self) -> dict[str, Any]:
        stated = super().clean() or {}
        if self.errors:
            return stated
        if stated["product"] and stated["price"] is None:
            self.add_error("price", "A product needs a price.")
        if not stated["product"] and stated["price"] is not None:
            self.add_error("product", "A price needs a product.")
        if self.errors:
            return stated
        try:
            starts_at, ends_at = window_at(stated["day"], stated["clock"], stated["n_period"])
        except InvalidWindow as error:
            self.refuse(error)
            return stated
        self.request = _request(stated, starts_at, ends_at)
        return stated

    def refuse(self, error: FlexError) -> None:
        """Show a refusal beside the field it is about."""
        named = str(error.details.get("field") or "")
        field = FIELDS.get(named, named)
        message = error.message[:1].upper() + error.message[1:]
        self.add_error(field if field in self.fields else None, f"{message}.")


def first_values(*, organisation_code: str, now: datetime, tomorrow: date) -> dict[str, Any]:
    """What the empty form proposes."""
    return {
        "day": tomorrow,
        "clock": "17:00",
        "n_period": 4,
        "direction": TargetSignal.Direction.TURN_DOWN,
        "kind": TargetSignal.Kind.ROUTINE,
        "shortfall_gbp_per_kwh": 1,
        "reference": f"{organisation_code}-{now:%Y%m%d-%H%M%S}",
    }


def _request(stated: dict[str, Any], starts_at: datetime, ends_at: datetime) -> DispatchRequest:
    return DispatchRequest(
        reference=stated["reference"],
        node=stated["node"],
        starts_at=starts_at,
        ends_at=ends_at,
        direction=stated["direction"],
        kind=stated["kind"],
        target_kw=stated["target_kw"],
        shortfall_gbp_per_kwh=stated["shortfall_gbp_per_kwh"],
        product=stated["product"],
        price_gbp_per_mwh=stated["price"],
    )
