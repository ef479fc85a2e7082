"""The form that states a version of a product: every term of the last one, to be changed."""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.db.models import BooleanField, JSONField

from aggregator.core.errors import FlexError
from aggregator.core.local_window import InvalidWindow, clock_choices, window_at
from markets.core.baseline_methods import METHODS
from markets.models import Product
from markets.services.product_terms import GROUPS, TERM_NAMES, Term

MINUTES = ("notice", "min_run")
TEXTS = ("source", "uncertain")
LONGEST_MINUTES = 31 * 24 * 60


class VersionForm(forms.Form):
    """Every term, and from when the version is valid; ``changes`` and ``valid_from`` once the form is valid."""

    day = forms.DateField(
        label="Valid from",
        input_formats=["%Y-%m-%d"],
        widget=forms.DateInput({"placeholder": "2026-02-01", "autocomplete": "off"}, "%Y-%m-%d"),
        help_text="local, as 2026-02-01: requests received from then on are under it",
        error_messages={"invalid": "Write the day as 2026-02-01."},
    )
    clock = forms.ChoiceField(label="At", choices=clock_choices, help_text="local time", initial="00:00")

    def __init__(self, *args: Any, last: Product, **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", "initial": _initial(last), **kwargs})
        for _, terms in GROUPS:
            for term in terms:
                self.fields[term.name] = _field(term)

    def groups(self) -> list[tuple[str, list[forms.BoundField]]]:
        """The terms' fields under their titles."""
        return [(title, [self[term.name] for term in terms]) for title, terms in GROUPS]

    valid_from: datetime
    changes: dict[str, object]

    def clean(self) -> dict[str, Any]:
        stated = super().clean() or {}
        if self.errors:
            return stated
        try:
            self.valid_from, _ = window_at(stated["day"], stated["clock"], 1)
        except InvalidWindow as error:
            self.refuse(error)
        self.changes = {name: _value(name, stated[name]) for name in TERM_NAMES}
        return stated

    def refuse(self, error: FlexError) -> None:
        """Show a refusal beside the field it is about."""
        named = str(error.details.get("field") or "")
        field = {"valid_from": "day"}.get(named, named)
        self.add_error(field if field in self.fields else None, f"{error.message[:1].upper()}{error.message[1:]}.")


def _initial(last: Product) -> dict[str, Any]:
    values = {name: getattr(last, name) for name in TERM_NAMES}
    return {**values, **{name: int(values[name] / timedelta(minutes=1)) for name in MINUTES}}


def _value(name: str, stated: Any) -> Any:
    if name in MINUTES:
        return timedelta(minutes=stated)
    if name == "baseline_parameters":
        return stated or {}
    return stated


def _field(term: Term) -> forms.Field:
    """The form's field for a term, by what the model keeps of it."""
    column: Any = getattr(Product, term.name).field
    said: dict[str, Any] = {
        "label": term.label + (f" ({term.unit})" if term.unit else ""),
        "required": not (term.is_optional or column.blank or isinstance(column, BooleanField)),
        "help_text": column.help_text or term.hint,
    }
    if term.name in MINUTES:
        said["label"] = f"{term.label} (minutes)"
        return forms.IntegerField(**said, min_value=0, max_value=LONGEST_MINUTES)
    if term.name in TEXTS:
        return forms.CharField(**said, widget=forms.Textarea({"rows": 3}), max_length=2000)
    if term.name == "baseline_method":
        return forms.ChoiceField(**said, choices=[(name, method.label) for name, method in METHODS.items()])
    if isinstance(column, BooleanField):
        return forms.BooleanField(**said)
    if isinstance(column, JSONField):
        return _JSONField(**said, widget=forms.Textarea({"rows": 2}))
    field: forms.Field = column.formfield(**said)
    return field


class _JSONField(forms.JSONField):
    """Nothing is an empty field, not the word for it."""

    def prepare_value(self, value: Any) -> Any:
        return "" if value in (None, {}, "") else super().prepare_value(value)
