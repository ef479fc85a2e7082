"""What is paid for a month: one invoice a product and DSRSP. A later one never edits an earlier: it supersedes it."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from aggregator.models import Organisation, TenantManager
from markets.models.products import Product
from markets.models.statements import Statement


class Invoice(models.Model):
    """A month of one product and one DSRSP, with what the version before had come to already."""

    month = models.DateField(help_text="its first day, local")
    product_code = models.SlugField(max_length=50, help_text="whatever its version")
    product = models.ForeignKey(
        Product, on_delete=models.PROTECT, related_name="invoices", help_text="the version in force at the month's end"
    )
    buyer = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="invoices_to_pay")
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="invoices")
    version = models.PositiveSmallIntegerField()
    supersedes = models.OneToOneField("self", null=True, on_delete=models.PROTECT, related_name="superseded_by")
    as_of = models.DateTimeField(help_text="readings received after this were not looked at")
    issued_at = models.DateTimeField()
    statement_pks = ArrayField(models.BigIntegerField(), help_text="statements it adds up, by event")
    performance = models.CharField(max_length=80, blank=True, help_text="exact fraction; empty where nothing was asked")
    previous_performance = models.CharField(max_length=80, blank=True, help_text="of the month before, as it was used")
    amount_gbp = models.DecimalField(max_digits=14, decimal_places=2, help_text="what the month is worth")
    before_gbp = models.DecimalField(max_digits=14, decimal_places=2, help_text="what the version before had it worth")
    delta_gbp = models.DecimalField(max_digits=14, decimal_places=2, help_text="what is to be paid, or paid back")
    sha256 = models.CharField(max_length=64, help_text="of all that it says")

    objects = TenantManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["month", "product_code", "organisation", "version"], name="invoice_version_once"
            ),
            models.CheckConstraint(condition=Q(delta_gbp=F("amount_gbp") - F("before_gbp")), name="invoice_delta"),
            models.CheckConstraint(
                condition=Q(version=1, supersedes__isnull=True, before_gbp=0)
                | Q(version__gt=1, supersedes__isnull=False),
                name="invoice_supersedes_the_last",
            ),
        ]

    def __str__(self) -> str:
        return f"invoice {self.month:%Y-%m} {self.product_code} v{self.version}"


class InvoiceLine(models.Model):
    """One line: what it is worth, and what the version before had it worth. A line that is gone is worth nothing."""

    class Kind(models.TextChoices):
        UTILISATION = "utilisation", "Utilisation"
        PENALTY = "penalty", "Penalty"
        AVAILABILITY = "availability", "Availability"
        CAP = "cap", "Cap"

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="lines")
    position = models.PositiveIntegerField()
    kind = models.CharField(max_length=20, choices=Kind)
    reference = models.CharField(max_length=80, blank=True, help_text="request or contract; empty for the month's own")
    statement = models.ForeignKey(Statement, null=True, on_delete=models.PROTECT, related_name="invoice_lines")
    amount_gbp = models.DecimalField(max_digits=14, decimal_places=2)
    before_gbp = models.DecimalField(max_digits=14, decimal_places=2)
    delta_gbp = models.DecimalField(max_digits=14, decimal_places=2)
    reason = models.CharField(max_length=500, blank=True, help_text="why it differs from the version before")

    objects = TenantManager("invoice__organisation")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["invoice", "position"], name="invoice_line_place_once"),
            models.UniqueConstraint(fields=["invoice", "kind", "reference"], name="invoice_line_once"),
            models.CheckConstraint(condition=Q(delta_gbp=F("amount_gbp") - F("before_gbp")), name="invoice_line_delta"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.reference}"
