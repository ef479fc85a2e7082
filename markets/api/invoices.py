"""Invoices: a month of one product and one DSRSP, with what each version differs by from the one before."""

from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from aggregator.core.permissions import Action
from aggregator.rest.fields import Code, Day, OffsetDateTime, PublicId
from aggregator.rest.serializers import Row
from aggregator.rest.views import DetailView, ListQuery, ListView
from markets.api.shapes import INVOICE, STATEMENT, Gbp
from markets.models import Invoice, InvoiceLine
from markets.queries import invoices_seen_by


class InvoiceRow(Row):
    """One version of a month's invoice. It is never changed, only superseded by a newer one."""

    example = {
        "id": "invoice_1",
        "month": "2026-01-01",
        "product": "su-night",
        "product_version": 1,
        "buyer": "northmoor",
        "dsrsp": "flexco",
        "version": 1,
        "as_of": "2026-02-15T00:00:00Z",
        "issued_at": "2026-02-15T09:00:00Z",
        "amount_gbp": "255.10",
        "before_gbp": "0.00",
        "delta_gbp": "255.10",
        "sha256": "5" * 64,
        "supersedes": None,
        "superseded_by": None,
    }

    id = PublicId(INVOICE, source="pk")
    month = Day(help_text="its first local day")
    product = serializers.CharField(source="product_code")
    product_version = serializers.IntegerField(source="product.version", help_text="in force at the month's end")
    buyer = serializers.CharField(source="buyer.code")
    dsrsp = serializers.CharField(source="organisation.code", help_text="who is paid")
    version = serializers.IntegerField(help_text="counts from 1")
    as_of = OffsetDateTime(help_text="readings received after this were not looked at")
    issued_at = OffsetDateTime()
    amount_gbp = Gbp(help_text="what the month is worth")
    before_gbp = Gbp(help_text="what the version before had it worth")
    delta_gbp = Gbp(help_text="what is to be paid; below 0 it is paid back")
    sha256 = serializers.CharField(help_text="of all that it says")
    supersedes = PublicId(INVOICE, source="supersedes_id", allow_null=True, help_text="null for the first version")
    superseded_by = serializers.SerializerMethodField(help_text="null for the newest version")

    @extend_schema_field(PublicId(INVOICE, allow_null=True))
    def get_superseded_by(self, invoice: Invoice) -> str | None:
        newer = getattr(invoice, "superseded_by", None)
        return None if newer is None else PublicId(INVOICE).to_representation(newer.pk)


class InvoiceLineRow(Row):
    """One line."""

    example = {
        "position": 1,
        "kind": "utilisation",
        "reference": "EVENING/1",
        "statement": "statement_1",
        "amount_gbp": "255.10",
        "before_gbp": "0.00",
        "delta_gbp": "255.10",
        "reason": "",
    }

    position = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=InvoiceLine.Kind.values)
    reference = serializers.CharField(help_text="request or contract; empty for the month's own")
    statement = PublicId(
        STATEMENT, source="statement_id", allow_null=True, help_text="null where it is of no one event"
    )
    amount_gbp = Gbp(help_text="below 0 for a penalty or a cap")
    before_gbp = Gbp()
    delta_gbp = Gbp()
    reason = serializers.CharField(help_text="why it differs from the version before; empty for a first version")


class InvoiceDetailRow(InvoiceRow):
    """An invoice with its lines, which add up to it."""

    example = {**InvoiceRow.example, "lines": [InvoiceLineRow.example]}

    lines = InvoiceLineRow(many=True)


class InvoiceQuery(ListQuery):
    month = Day(required=False, help_text="its first local day")
    product = Code(max_length=50, required=False)
    dsrsp = Code(max_length=50, required=False, help_text="code of the DSRSP")


FILTERS = {"month": "month", "product": "product_code", "dsrsp": "organisation__code"}


class Invoices(ListView):
    """Invoices: a DSRSP's own, a DNO's those of products it buys, every one for a market operator."""

    actions = {"GET": Action.SEE_STATEMENTS}
    row, filters = InvoiceRow, InvoiceQuery
    orders = {"newest": ("-pk",), "oldest": ("pk",)}

    def seen(self, asked: dict[str, Any]) -> "QuerySet[Invoice]":
        found = {FILTERS[name]: value for name, value in asked.items() if name in FILTERS}
        seen = invoices_seen_by(self.viewer.organisation).filter(**found)
        return seen.select_related("organisation", "buyer", "product", "superseded_by")


class InvoiceDetail(DetailView):
    """One invoice and its lines."""

    actions = {"GET": Action.SEE_STATEMENTS}
    row, id_prefix = InvoiceDetailRow, INVOICE

    def find(self, *, to_change: bool = False) -> Invoice:
        seen = invoices_seen_by(self.viewer.organisation)
        found = seen.select_related("organisation", "buyer", "product", "superseded_by").filter(pk=self.pk()).first()
        if found is None:
            raise Http404
        return found

    def show(self, thing: Invoice) -> dict[str, Any]:
        lines = thing.lines.across_tenants().order_by("position")
        return {**InvoiceRow.show(thing), "lines": InvoiceLineRow.show_all(lines)}
