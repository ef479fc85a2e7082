"""The form of an offer: up to three options, each with its power half-hour by half-hour."""

from decimal import Decimal
from typing import Any

import numpy as np
from django import forms

from aggregator.core.timegrid import LONDON, SETTLEMENT_PERIOD
from markets.core.trading_offers import OptionTerms
from markets.models import FlexRequest
from markets.services.orders_offers import OfferTerms
from markets.views.trading_forms import TradeForm, reference_field

N_OPTION = 3


class OfferForm(TradeForm):
    """Options of which the buyer may take one; the second and third are left out where they have no price."""

    reference = reference_field("names your offer for good; change it if you like")

    def __init__(self, *args: Any, flex_request: FlexRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._request = flex_request
        for option in range(1, N_OPTION + 1):
            self._add_option(option)

    def _add_option(self, option: int) -> None:
        is_first = option == 1
        self.fields[f"price_gbp{_suffix(option)}"] = forms.DecimalField(
            label="Price (GBP)",
            required=is_first,
            min_value=0,
            max_digits=12,
            decimal_places=2,
            help_text="for the whole of it" if is_first else "for the whole of it; empty: no such option",
        )
        self.fields[f"min_activation_factor{_suffix(option)}"] = forms.DecimalField(
            label="Smallest share",
            required=is_first,
            min_value=Decimal("0.01"),
            max_value=Decimal("1.00"),
            decimal_places=2,
            initial=Decimal("1.00"),
            help_text="0.01 to 1.00 of it that may be accepted; 1.00: whole or nothing",
        )
        for number, kw in enumerate(self._request.requested_kw):
            starts_at = (self._request.starts_at + number * SETTLEMENT_PERIOD).astimezone(LONDON)
            self.fields[f"kw_{number}{_suffix(option)}"] = forms.FloatField(
                label=f"{starts_at:%H:%M %Z} (kW)",
                required=is_first,
                min_value=0,
                max_value=kw,
                initial=kw,
                help_text=f"up to {kw:g}",
            )

    @property
    def groups(self) -> list[dict[str, object]]:
        """Each option's number and fields."""
        return [
            {"number": option, "fields": [self[name] for name in self._names(option)]}
            for option in range(1, N_OPTION + 1)
        ]

    def clean(self) -> dict[str, Any]:
        stated = super().clean() or {}
        for option in range(2, N_OPTION + 1):
            price, *others = self._names(option)
            if stated.get(price) is None:
                continue
            for name in others:
                if name not in self.errors and stated.get(name) is None:
                    self.add_error(name, "An option with a price needs it.")
        return stated

    def terms(self) -> OfferTerms:
        """The offer it states."""
        options = [option for option in range(1, N_OPTION + 1) if self.cleaned_data[self._names(option)[0]] is not None]
        return OfferTerms(
            self.cleaned_data["reference"], self._request.reference, tuple(self._option(option) for option in options)
        )

    def _option(self, option: int) -> OptionTerms:
        price_gbp, share, *power_kw = (self.cleaned_data[name] for name in self._names(option))
        return OptionTerms(str(option), np.array(power_kw, dtype=np.float64), price_gbp, share)

    def _names(self, option: int) -> list[str]:
        suffix = _suffix(option)
        powers = [f"kw_{number}{suffix}" for number in range(len(self._request.requested_kw))]
        return [f"price_gbp{suffix}", f"min_activation_factor{suffix}", *powers]


def _suffix(option: int) -> str:
    return "" if option == 1 else f"_of_{option}"
