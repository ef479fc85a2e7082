"""Versions of a product over the API: the list, and stating the next one."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.urls import reverse
from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from aggregator.core.permissions import Action
from aggregator.rest.fields import Choice, Flag, Number, OffsetDateTime, Text, Whole, make_id
from aggregator.rest.idempotency import idempotent
from aggregator.rest.serializers import StrictSerializer
from aggregator.rest.views import ListView
from markets.api.products import COUNTS, PRICES, RULES, TEXTS, WORDS, ProductRow
from markets.api.shapes import PRODUCT
from markets.models import Product
from markets.queries import products_seen_by
from markets.services.products import revise_product

AMOUNT = r"^[0-9]{1,8}(\.[0-9]{1,4})?$"
LONGEST_S = 31 * 24 * 3600
LARGEST = 1_000_000.0
LARGEST_COUNT = 366
OTHER_WORDS = {
    "family": Product.Family,
    "step": Product.Step,
    "missing": Product.Missing,
    "cap": Product.Cap,
    "pays_on": Product.PaysOn,
}


class Points(serializers.ListField):
    """Points of a scale; null takes the scale away."""

    def __init__(self, **kwargs: Any) -> None:
        number = Number(min_value=0.0, max_value=1.0)
        super().__init__(child=serializers.ListField(child=number, min_length=2, max_length=2), **kwargs)


class Parameters(serializers.DictField):
    """What a baseline method needs besides: numbers, texts or lists of numbers by name."""


class NewVersion(StrictSerializer):
    """What the next version states otherwise; all it leaves out stays as the version before has it."""

    example = {
        "valid_from": "2026-02-01T00:00:00Z",
        "reason": "tender of February",
        "utilisation_gbp_per_mwh": "280.00",
        "notice_s": 1800,
        "cutoff": 0.6,
    }

    valid_from = OffsetDateTime(help_text="requests received from then on are under it; not past")
    reason = Text(min_length=3, max_length=500, help_text="kept in the event log")
    name = Text(max_length=200, required=False)
    notice_s = Whole(max_value=LONGEST_S, required=False)
    min_run_s = Whole(max_value=LONGEST_S, required=False)
    min_kw = Number(min_value=0.0, max_value=LARGEST, required=False)
    floor_at_zero = Flag(required=False)
    baseline_method = Text(max_length=60, required=False)
    baseline_parameters = Parameters(required=False)
    scale = Points(required=False, allow_null=True, min_length=1, max_length=20)

    def get_fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = super().get_fields()
        for name in RULES:
            is_null = name in ("cutoff", "adjustment_cap_share")
            fields[name] = Number(min_value=0.0, max_value=LARGEST, required=False, allow_null=is_null)
        for name in COUNTS:
            fields[name] = Whole(max_value=LARGEST_COUNT, required=False)
        for name in PRICES:
            is_null = name != "penalty_gbp_per_mwh"
            fields[name] = Text(max_length=13, pattern=AMOUNT, required=False, allow_null=is_null)
        for name in TEXTS:
            fields[name] = Text(max_length=2000, required=False)
        for name, (choices, _) in WORDS.items():
            fields[name] = Choice(choices=choices, required=False)
        for name, words in OTHER_WORDS.items():
            fields[name] = Choice(choices=words.choices, required=False)
        return fields


class Versions(ListView):
    """Versions of one product, and the next one."""

    actions = {"GET": Action.SEE_STATEMENTS, "POST": Action.CHANGE_PRODUCTS}
    bodies = {"POST": NewVersion}
    answers = {"POST": (201, ProductRow)}
    confirmed = frozenset({"POST"})
    row, id_prefix = ProductRow, PRODUCT
    orders = {"oldest": ("version", "pk"), "newest": ("-version", "-pk")}
    summaries = {"GET": "Every version of the product that this one is a version of."}

    def seen(self, asked: dict[str, Any]) -> "QuerySet[Product]":
        del asked
        return products_seen_by(self.viewer.organisation).filter(code=self._product().code)

    @idempotent
    def post(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """State the next version of a product the DNO buys; the address names the newest one.

        No version is ever changed: what was called under one is measured and paid by it.
        """
        last, asked = self._product(), self.body()
        if last.buyer_id != self.viewer.organisation.pk:
            raise Http404
        product = revise_product(
            organisation=self.viewer.organisation,
            code=last.code,
            of_version=last.version,
            changes=_changes(asked),
            valid_from=asked["valid_from"],
            reason=asked["reason"],
            now=timezone.now(),
        )
        where = reverse("api:product", kwargs={"id": make_id(PRODUCT, product.pk)})
        return Response(ProductRow.show(product), status=201, headers={"Location": where})

    def _product(self) -> Product:
        product = products_seen_by(self.viewer.organisation).filter(pk=self.pk()).first()
        if product is None:
            raise Http404
        return product


def _changes(asked: dict[str, Any]) -> dict[str, object]:
    """The terms stated, as the model has them."""
    changes: dict[str, object] = {}
    for name, value in asked.items():
        if name in ("notice_s", "min_run_s"):
            changes[name.removesuffix("_s")] = timedelta(seconds=value)
        elif name in PRICES and value is not None:
            changes[name] = Decimal(value)
        elif name not in ("valid_from", "reason"):
            changes[name] = value
    return changes
