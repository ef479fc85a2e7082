"""What is bought, and by which rules it is measured and paid."""

from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from rest_framework import serializers

from aggregator.core.permissions import Action
from aggregator.rest.fields import Code, OffsetDateTime, PublicId
from aggregator.rest.serializers import Row
from aggregator.rest.views import DetailView, ListQuery, ListView
from markets.api.shapes import PRODUCT
from markets.models import Product
from markets.queries import products_seen_by

RULES = {
    "grace": "share of the instructed energy that may be missed without a reduction",
    "slope": "reduction of the payment per share missed beyond the grace",
    "cutoff": "delivered share below which nothing is paid; null: no such share",
    "min_present_share": "share of periods that must have readings, where missing ones are left out",
    "adjustment_cap_share": "most the same-day adjustment may change the baseline by; null: no bound",
    "min_meters_share": "share of a portfolio's meters read, for a day to be history",
}
COUNTS = {
    "n_working_days": "eligible working days the baseline looks at",
    "n_non_working_days": "eligible non-working days it looks at",
    "n_drop_working": "working days dropped at each end, by energy in the window",
    "n_drop_non_working": "non-working days dropped at each end",
    "lookback_days": "days back it looks at most",
    "adjustment_periods": "half-hours before the event the same-day adjustment is made of",
    "adjustment_gap_periods": "half-hours between them and the event",
    "min_adjustment_periods": "fewest of them with readings",
}


class ProductRow(Row):
    """One version of a product: a call is measured and paid by the version that was valid when it was received."""

    example = {
        "id": "product_1",
        "code": "su-night",
        "version": 1,
        "name": "Scheduled Utilisation",
        "family": "scheduled_utilisation",
        "buyer": "dno",
        "valid_from": "2020-01-01T00:00:00Z",
        "step": "continuous",
        "missing": "strict",
        "cap": "event",
        "pays_on": "instructed",
        "baseline_method": "mid-8-in-10-sda",
        "floor_at_zero": True,
        "grace": 0.05,
        "slope": 3.0,
        "cutoff": 0.63,
        "min_present_share": 0.9,
        "adjustment_cap_share": None,
        "min_meters_share": 0.8,
        "n_working_days": 10,
        "n_non_working_days": 4,
        "n_drop_working": 1,
        "n_drop_non_working": 1,
        "lookback_days": 60,
        "adjustment_periods": 6,
        "adjustment_gap_periods": 2,
        "min_adjustment_periods": 3,
    }

    id = PublicId(PRODUCT, source="pk")
    code = serializers.CharField()
    version = serializers.IntegerField(help_text="counts from 1")
    name = serializers.CharField()
    family = serializers.ChoiceField(choices=Product.Family.choices)
    buyer = serializers.CharField(source="buyer.code")
    valid_from = OffsetDateTime()
    step = serializers.ChoiceField(choices=Product.Step.choices, help_text="steps of the performance factor")
    missing = serializers.ChoiceField(choices=Product.Missing.choices, help_text="what a missing reading means")
    cap = serializers.ChoiceField(choices=Product.Cap.choices, help_text="where delivered energy is capped")
    pays_on = serializers.ChoiceField(choices=Product.PaysOn.choices, help_text="which energy the factor scales")
    baseline_method = serializers.CharField()
    floor_at_zero = serializers.BooleanField(help_text="a baseline is never below 0")

    def get_fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = super().get_fields()
        for name, said in RULES.items():
            fields[name] = serializers.FloatField(allow_null=name in ("cutoff", "adjustment_cap_share"), help_text=said)
        for name, said in COUNTS.items():
            fields[name] = serializers.IntegerField(help_text=said)
        return fields


class ProductQuery(ListQuery):
    code = Code(max_length=50, required=False)
    buyer = Code(max_length=50, required=False, help_text="code of the DNO that buys it")


class Products(ListView):
    """Products, every version of each; they are published to all who take part."""

    actions = {"GET": Action.SEE_STATEMENTS}
    row, filters = ProductRow, ProductQuery
    orders = {"code": ("code", "version", "pk"), "newest": ("-pk",)}

    def seen(self, asked: dict[str, Any]) -> "QuerySet[Product]":
        fields = {"code": "code", "buyer": "buyer__code"}
        return products_seen_by(self.viewer.organisation).filter(**{fields[name]: asked[name] for name in asked})


class ProductDetail(DetailView):
    """One version of a product."""

    actions = {"GET": Action.SEE_STATEMENTS}
    row, id_prefix = ProductRow, PRODUCT

    def find(self, *, to_change: bool = False) -> Product:
        return get_object_or_404(products_seen_by(self.viewer.organisation), pk=self.pk())
