"""The forms of a market and of a contract; they work without JavaScript."""

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from typing import Any, ClassVar

from django import forms

from aggregator.core.timegrid import LONDON, utc
from dispatch.models import TargetSignal
from markets.core.trading_times import LONGEST_LEAD, WEEKDAYS
from markets.models import Market
from markets.services.events import HIGHEST_PRICE_GBP_PER_MWH
from markets.services.orders_contracts import ContractTerms
from markets.services.orders_markets import MarketTerms
from markets.views.trading_forms import LARGEST_KW, TradeForm, local_day, reference_field, to_choose

N_WINDOW = 3
CLOCKS = [(clock, clock) for clock in (f"{minutes // 60:02}:{minutes % 60:02}" for minutes in range(0, 24 * 60, 30))]
DAYS = [(str(number), name) for number, name in enumerate(WEEKDAYS, start=1)]
ONE_DAY = timedelta(days=1)
SEPARATORS = re.compile(r"[,;\n]")


class PeriodForm(TradeForm):
    """A form with a period of whole London days; ``between`` gives it in UTC."""

    first_day = local_day("From", "first day, local, as 2026-01-14")
    last_day = local_day("To", "last day, included")

    def clean(self) -> dict[str, Any]:
        stated = super().clean() or {}
        first, last = stated.get("first_day"), stated.get("last_day")
        for name, day in (("first_day", first), ("last_day", last)):
            if day is not None and not 2000 <= day.year < 2100:
                self.add_error(name, "A day is one from 2000 to 2099.")
        if first and last and last < first:
            self.add_error("last_day", f"It is before the first day, {first.isoformat()}.")
        return stated

    def between(self) -> tuple[datetime, datetime]:
        stated = self.cleaned_data
        return utc(stated["first_day"], time(0)), utc(stated["last_day"] + ONE_DAY, time(0))


class MarketForm(PeriodForm):
    """A market: what is wanted, where, when, and until when it is offered; up to three service windows."""

    FIELD_OF: ClassVar[Mapping[str, str]] = {
        "node_codes": "nodes",
        "service_windows": "days_1",
        "gate_closure": "gate",
        "ends_at": "last_day",
    }

    name = forms.CharField(label="Name", max_length=200, help_text="as people call it")
    code = forms.CharField(label="Code", max_length=50, help_text="names it for good: a-z, 0-9 and -")
    product = forms.ChoiceField(label="Product", help_text="of those you buy; its newest version counts")
    activity = forms.ChoiceField(label="Wanted", choices=TargetSignal.Direction.choices)
    min_kw = forms.FloatField(
        label="Least power (kW)",
        min_value=0,
        max_value=LARGEST_KW,
        help_text="less is not offered for a half-hour; no less than the product’s",
    )
    nodes = forms.CharField(
        label="Zone",
        max_length=4000,
        widget=forms.TextInput(attrs={"list": "nodes", "autocomplete": "off"}),
        help_text="codes of network nodes, with commas between; all below them belongs to it",
    )
    gate = forms.ChoiceField(
        label="Gate closes",
        choices=[("lead", "some time before each window"), ("weekly", "once a week, in the week before")],
    )
    lead_minutes = forms.IntegerField(
        label="Gate: minutes before the window",
        required=False,
        min_value=0,
        max_value=LONGEST_LEAD // timedelta(minutes=1),
        help_text="where it closes some time before each window",
    )
    gate_weekday = forms.ChoiceField(
        label="Gate: weekday", choices=DAYS, required=False, help_text="in the week before, where it closes weekly"
    )
    gate_clock = forms.ChoiceField(
        label="Gate: at", choices=CLOCKS, required=False, help_text="local time, where it closes weekly"
    )

    def __init__(self, *args: Any, products: Iterable[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["product"].choices = to_choose(products)  # type: ignore[attr-defined]
        for number in range(1, N_WINDOW + 1):
            self.fields[f"days_{number}"] = forms.MultipleChoiceField(
                label="On", choices=DAYS, required=number == 1, widget=forms.CheckboxSelectMultiple
            )
            self.fields[f"starts_{number}"] = forms.ChoiceField(label="From", choices=CLOCKS, help_text="local time")
            self.fields[f"ends_{number}"] = forms.ChoiceField(
                label="To", choices=CLOCKS, help_text="a time not after the start is of the next day"
            )
            self.fields[f"starts_{number}"].required = self.fields[f"ends_{number}"].required = number == 1

    def group(self, *names: str) -> list[forms.BoundField]:
        return [self[name] for name in names]

    @property
    def what(self) -> list[forms.BoundField]:
        return self.group("name", "code", "product", "activity", "min_kw")

    @property
    def when(self) -> list[forms.BoundField]:
        return self.group("first_day", "last_day")

    @property
    def gate_fields(self) -> list[forms.BoundField]:
        return self.group("gate", "lead_minutes", "gate_weekday", "gate_clock")

    @property
    def windows(self) -> list[dict[str, object]]:
        """Each window's number and fields."""
        return [
            {
                "number": number,
                "days": self[f"days_{number}"],
                "clocks": self.group(f"starts_{number}", f"ends_{number}"),
            }
            for number in range(1, N_WINDOW + 1)
        ]

    def clean(self) -> dict[str, Any]:
        stated = super().clean()
        needed = ("lead_minutes",) if stated.get("gate") == "lead" else ("gate_weekday", "gate_clock")
        for name in needed:
            if name not in self.errors and stated.get(name) in (None, ""):
                self.add_error(name, "This field is required.")
        for number in range(2, N_WINDOW + 1):
            if stated.get(f"days_{number}") and not (stated.get(f"starts_{number}") and stated.get(f"ends_{number}")):
                self.add_error(f"starts_{number}", "A window needs its start and its end.")
        return stated

    def terms(self) -> MarketTerms:
        """The market it states."""
        stated = self.cleaned_data
        starts_at, ends_at = self.between()
        return MarketTerms(
            code=stated["code"],
            name=stated["name"],
            product=stated["product"],
            node_codes=tuple(dict.fromkeys(filter(None, map(str.strip, SEPARATORS.split(stated["nodes"]))))),
            activity=stated["activity"],
            service_windows=self._windows(),
            gate_closure=self._gate(),
            min_kw=stated["min_kw"],
            starts_at=starts_at,
            ends_at=ends_at,
        )

    def _windows(self) -> tuple[dict[str, object], ...]:
        stated = self.cleaned_data
        return tuple(
            {
                "weekdays": [int(day) for day in stated[f"days_{number}"]],
                "starts": stated[f"starts_{number}"],
                "ends": stated[f"ends_{number}"],
            }
            for number in range(1, N_WINDOW + 1)
            if stated[f"days_{number}"]
        )

    def _gate(self) -> dict[str, object]:
        stated = self.cleaned_data
        if stated["gate"] == "lead":
            return {"kind": "lead", "lead_minutes": stated["lead_minutes"]}
        return {"kind": "weekly", "weekday": int(stated["gate_weekday"]), "at": stated["gate_clock"]}


class ContractForm(PeriodForm):
    """A contract as it is proposed to one DSRSP."""

    FIELD_OF: ClassVar[Mapping[str, str]] = {"starts_at": "first_day", "ends_at": "last_day"}

    dsrsp = forms.ChoiceField(label="DSRSP", help_text="who is to agree to it")
    max_kw = forms.FloatField(
        label="At most (kW)", min_value=0, max_value=LARGEST_KW, help_text="ordered at once, all calls together"
    )
    price_gbp_per_mwh = forms.DecimalField(
        label="Price (GBP/MWh)",
        min_value=0,
        max_value=HIGHEST_PRICE_GBP_PER_MWH,
        max_digits=10,
        decimal_places=2,
        help_text="of the energy ordered, delivered in full",
    )
    reference = reference_field("names it for good; change it if you like")
    field_order = ("dsrsp", "max_kw", "price_gbp_per_mwh", "first_day", "last_day", "reference")

    def __init__(self, *args: Any, dsrsps: Iterable[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["dsrsp"].choices = to_choose(  # type: ignore[attr-defined]
            (code, f"{name} ({code})") for code, name in dsrsps
        )

    def terms(self, market: Market) -> ContractTerms:
        """The contract it states; on the market's own first and last day it begins and ends with the market."""
        stated = self.cleaned_data
        starts_at, ends_at = self.between()
        if stated["first_day"] == _day_of(market.starts_at):
            starts_at = max(starts_at, market.starts_at)
        if stated["last_day"] == _last_day_of(market):
            ends_at = min(ends_at, market.ends_at)
        return ContractTerms(
            reference=stated["reference"],
            market=market.code,
            dsrsp=stated["dsrsp"],
            starts_at=starts_at,
            ends_at=ends_at,
            max_kw=stated["max_kw"],
            price_gbp_per_mwh=stated["price_gbp_per_mwh"],
        )


def first_market(*, now: datetime) -> dict[str, Any]:
    """What an empty form of a market proposes: evenings of working days, from tomorrow for a quarter of a year."""
    tomorrow = _day_of(now) + ONE_DAY
    return {
        "activity": TargetSignal.Direction.TURN_DOWN,
        "first_day": tomorrow,
        "last_day": tomorrow + timedelta(days=90),
        "days_1": ["1", "2", "3", "4", "5"],
        **{f"starts_{number}": "16:00" for number in range(1, N_WINDOW + 1)},
        **{f"ends_{number}": "20:00" for number in range(1, N_WINDOW + 1)},
        "gate": "lead",
        "lead_minutes": 120,
        "gate_weekday": "4",
        "gate_clock": "00:00",
    }


def first_contract(*, organisation_code: str, market: Market, now: datetime) -> dict[str, Any]:
    """What an empty form of a contract proposes: from tomorrow, or when the market begins, to its last day."""
    return {
        "first_day": max(_day_of(now) + ONE_DAY, _day_of(market.starts_at)),
        "last_day": _last_day_of(market),
        "reference": f"{organisation_code}-{now:%Y%m%d-%H%M%S}",
    }


def _day_of(at: datetime) -> date:
    return at.astimezone(LONDON).date()


def _last_day_of(market: Market) -> date:
    return _day_of(market.ends_at - timedelta(microseconds=1))
