"""What is bought, and by which rules it is measured and paid."""

from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from rest_framework import serializers

from aggregator.core.permissions import Action
from aggregator.rest.fields import Code, Facts, OffsetDateTime, PublicId
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


# What is said of a price, and its decimals.
PRICES = {
    "availability_gbp_per_mw_h": ("for power held ready; null: stated by each contract, or none", 4),
    "utilisation_gbp_per_mwh": ("for energy; null: stated with each request", 2),
    "penalty_gbp_per_mwh": ("for each MWh instructed beyond the grace and not delivered", 2),
    "cap_gbp_per_event": ("most that an event pays; null: no cap", 2),
    "cap_gbp_per_month": ("most that a month pays; null: no cap", 2),
}
TEXTS = {"source": "where the rules are published", "uncertain": "what of them is not certain"}
WORDS = {
    "availability_factor": (Product.AvailabilityFactor.choices, "what scales availability"),
    "partial_availability": (Product.PartialAvailability.choices, "what part of the power accepted earns"),
    "availability_without_call": (Product.WithoutCall.choices, "what a month without a call counts as"),
    "rounding": (Product.Rounding.choices, "what is a line of the invoice; a line is rounded once"),
    "granularity": (Product.Granularity.choices, "of metering"),
    "timestamp_convention": (Product.TimestampConvention.choices, "what a reading's time means"),
    "volume": (Product.Volume.choices, "how a portfolio's volumes are added"),
    "aggregation": (Product.Aggregation.choices, "whose performance counts"),
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
        "baseline_parameters": {},
        "supersedes": None,
        "source": "",
        "uncertain": "",
        "notice_s": 900,
        "min_kw": 10.0,
        "min_run_s": 1800,
        "availability_gbp_per_mw_h": None,
        "utilisation_gbp_per_mwh": "300.00",
        "penalty_gbp_per_mwh": "0.00",
        "cap_gbp_per_event": None,
        "cap_gbp_per_month": None,
        "availability_factor": "one",
        "partial_availability": "pro-rata",
        "availability_without_call": "one",
        "rounding": "event",
        "granularity": "half-hour",
        "timestamp_convention": "period-start",
        "volume": "net",
        "aggregation": "event",
        "scale": None,
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

    baseline_parameters = Facts(help_text="what the method needs besides")
    supersedes = PublicId(PRODUCT, source="supersedes_id", allow_null=True, help_text="the version before")
    notice_s = serializers.SerializerMethodField(help_text="least seconds between a request and its start")
    min_kw = serializers.FloatField(help_text="least power a request may move")
    min_run_s = serializers.SerializerMethodField(help_text="shortest request in seconds")
    scale = serializers.ListField(
        child=serializers.ListField(child=serializers.FloatField()),
        allow_null=True,
        help_text="[share delivered, factor] points, straight between them, in place of grace and slope; null: none",
    )

    def get_notice_s(self, product: Product) -> int:
        return int(product.notice.total_seconds())

    def get_min_run_s(self, product: Product) -> int:
        return int(product.min_run.total_seconds())

    def get_fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = super().get_fields()
        for name, said in RULES.items():
            fields[name] = serializers.FloatField(allow_null=name in ("cutoff", "adjustment_cap_share"), help_text=said)
        for name, said in COUNTS.items():
            fields[name] = serializers.IntegerField(help_text=said)
        for name, (said, n_decimal) in PRICES.items():
            is_null = name != "penalty_gbp_per_mwh"
            fields[name] = serializers.DecimalField(14, n_decimal, allow_null=is_null, help_text=said)
        for name, (choices, said) in WORDS.items():
            fields[name] = serializers.ChoiceField(choices=choices, help_text=said)
        for name, said in TEXTS.items():
            fields[name] = serializers.CharField(help_text=said)
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
