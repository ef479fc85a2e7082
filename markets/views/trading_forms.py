"""The forms of trading; they work without JavaScript."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

from django import forms

from aggregator.core.errors import FlexError
from aggregator.core.local_window import InvalidWindow, clock_choices, length_text, window_at
from aggregator.core.timegrid import LONDON
from markets.models import Market
from markets.services.orders_contracts import Call
from markets.services.orders_requests import LONGEST_REFERENCE, FlexRequestTerms

N_PERIOD_LONGEST = 48
LARGEST_KW = 1_000_000.0
FIELDS = {"starts_at": "clock", "ends_at": "n_period", "requested_kw": "power_kw", "activation_factor": "factor"}


class TradeForm(forms.Form):
    """A form that shows what a service refuses beside the field it is about.

    ``FIELD_OF`` gives the form's name of a field that the service calls otherwise.
    """

    FIELD_OF: ClassVar[Mapping[str, str]] = FIELDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})

    def refuse(self, error: FlexError) -> None:
        named = str(error.details.get("field") or "")
        field = self.FIELD_OF.get(named, named)
        message = error.message[:1].upper() + error.message[1:]
        self.add_error(field if field in self.fields else None, f"{message}.")


def to_choose(choices: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Choices of which none is taken by itself, unless there is only one."""
    known = list(choices)
    return known if len(known) == 1 else [("", "choose one"), *known]


def reference_field(help_text: str) -> forms.CharField:
    return forms.CharField(label="Reference", max_length=LONGEST_REFERENCE, help_text=help_text)


def local_day(label: str, help_text: str) -> forms.DateField:
    """A day that is typed, not picked: a browser's own field writes it as its language has it."""
    return forms.DateField(
        label=label,
        input_formats=["%Y-%m-%d"],
        widget=forms.DateInput({"placeholder": "2026-01-14", "autocomplete": "off"}, "%Y-%m-%d"),
        help_text=help_text,
        error_messages={"invalid": "Write the day as 2026-01-14."},
    )


class WindowForm(TradeForm):
    """Power at a node in a window; the same power in each half-hour."""

    node = forms.CharField(
        label="Network node", max_length=80, widget=forms.TextInput(attrs={"list": "nodes"}), help_text="its code"
    )
    day = local_day("Date", "local, as 2026-01-14")
    clock = forms.ChoiceField(label="From", choices=clock_choices, help_text="local time")
    n_period = forms.TypedChoiceField(
        label="For", coerce=int, choices=[(n, length_text(n)) for n in range(1, N_PERIOD_LONGEST + 1)]
    )
    power_kw = forms.FloatField(
        label="Power (kW)", min_value=0, help_text="in each half-hour; the API takes each by itself"
    )
    reference = reference_field("names it for good; change it if you like")
    window: tuple[datetime, datetime]

    def clean(self) -> dict[str, Any]:
        stated = super().clean() or {}
        if self.errors:
            return stated
        try:
            self.window = window_at(stated["day"], stated["clock"], stated["n_period"])
        except InvalidWindow as error:
            self.refuse(error)
        return stated

    def request_terms(self, market: str) -> FlexRequestTerms:
        """The flex request it states."""
        stated = self.cleaned_data
        starts_at, ends_at = self.window
        powers = (float(stated["power_kw"]),) * stated["n_period"]
        return FlexRequestTerms(stated["reference"], market, stated["node"], starts_at, ends_at, powers)

    def call(self) -> Call:
        """The call under a contract that it states."""
        stated = self.cleaned_data
        starts_at, ends_at = self.window
        powers = (float(stated["power_kw"]),) * stated["n_period"]
        return Call(stated["reference"], stated["node"], starts_at, ends_at, powers)


class CallForm(WindowForm):
    """A call under a contract, and why."""

    target_kw = forms.FloatField(
        label="Target (kW)",
        required=False,
        min_value=0,
        max_value=LARGEST_KW,
        help_text="EV power asked of the node; empty: what is expected there, moved by what is ordered",
    )
    reason = forms.CharField(label="Reason", min_length=3, max_length=500, help_text="kept in the log with your name")
    field_order = ("contract", "node", "day", "clock", "n_period", "power_kw", "target_kw", "reference", "reason")

    def __init__(self, *args: Any, contracts: Iterable[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["contract"] = forms.ChoiceField(label="Contract", choices=to_choose(contracts))
        self.order_fields(self.field_order)


class TargetForm(TradeForm):
    """What a dispatch asks of its node in place of what is expected there."""

    target_kw = forms.FloatField(
        label="Target (kW)",
        required=False,
        min_value=0,
        max_value=LARGEST_KW,
        help_text="EV power at the node; empty: what is expected there, moved by what is ordered",
    )


class AcceptForm(TradeForm):
    """What is accepted of an option."""

    option = forms.CharField(max_length=LONGEST_REFERENCE, widget=forms.HiddenInput)
    factor = forms.DecimalField(
        label="Share",
        min_value=Decimal("0.01"),
        max_value=Decimal("1.00"),
        decimal_places=2,
        initial=Decimal("1.00"),
        help_text="of the option, in power and in price; 1.00 is the whole",
    )
    reference = reference_field("of the order")


def first_window(*, organisation_code: str, market: Market, now: datetime) -> dict[str, Any]:
    """What an empty form of a window proposes."""
    return {
        "node": market.node_codes[0],
        "day": (now.astimezone(LONDON) + timedelta(days=1)).date(),
        "clock": str(market.service_windows[0]["starts"]),
        "n_period": 2,
        "reference": f"{organisation_code}-{now:%Y%m%d-%H%M%S}",
    }
