"""What a settlement rests on and why it differs from the one before: rows that are only ever added."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from aggregator.models import TenantManager
from markets.models.invoices import Invoice
from markets.models.statements import SettlementRun, Statement


class SettlementSeal(models.Model):
    """SHA-256 of stored rows that a released settlement read, so that a later change of any of them is found.

    ``columns`` are those the table had when it was sealed: a column added later changes no seal.
    """

    class Kind(models.TextChoices):
        READINGS = "readings", "Readings"
        PLAN = "plan", "Plan and setpoints"
        INSTRUCTIONS = "instructions", "Request, event and instructions"
        PRODUCT = "product", "Product version"
        BASELINE = "baseline", "What a baseline was given"
        TRADE = "trade", "Order, offer, request, contract and market"
        LEDGER = "ledger", "Claims on energy and the rules they went by"
        STATEMENTS = "statements", "Statements"
        RELEASE = "release", "The act that released them"

    settlement_run = models.ForeignKey(SettlementRun, on_delete=models.PROTECT, related_name="seals")
    kind = models.CharField(max_length=20, choices=Kind)
    part = models.CharField(max_length=200, help_text="the table, and the day where there are many")
    columns = ArrayField(models.CharField(max_length=63))
    n_row = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["settlement_run", "kind", "part"], name="seal_once"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} ({self.part}) of settlement {self.settlement_run_id}"


class InvoiceSeal(models.Model):
    """SHA-256 of stored rows that an issued invoice consists of or rests on, as of a ``SettlementSeal``."""

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="seals")
    part = models.CharField(max_length=200)
    columns = ArrayField(models.CharField(max_length=63))
    n_row = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64)

    objects = TenantManager("invoice__organisation")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["invoice", "part"], name="invoice_seal_once")]

    def __str__(self) -> str:
        return f"{self.part} of invoice {self.invoice_id}"


class SettlementLink(models.Model):
    """A run's link in the chain of all runs, preliminary ones included; rows are only ever added.

    The database fills the hashes in (markets/run_chain_sql.py), so read them back after a save.
    """

    settlement_run = models.OneToOneField(SettlementRun, on_delete=models.PROTECT, related_name="link")
    sequence = models.PositiveBigIntegerField(default=0, editable=False)
    previous_sha256 = models.CharField(max_length=64, default="", editable=False)
    content_sha256 = models.CharField(max_length=64, default="", editable=False)
    sha256 = models.CharField(max_length=64, default="", editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["sequence"], name="run_link_sequence_once"),
            models.CheckConstraint(condition=Q(sequence__gte=1), name="run_link_sequence_from_one"),
        ]

    def __str__(self) -> str:
        return f"link {self.sequence} of settlement {self.settlement_run_id}"


class StatementReason(models.Model):
    """Why a statement says otherwise than the version it supersedes: of one half-hour, or of the whole."""

    class Code(models.TextChoices):
        READING_ARRIVED = "reading_arrived", "Readings arrived"
        READING_CORRECTED = "reading_corrected", "Readings were corrected"
        BASELINE_READING = "baseline_reading", "Readings of the baseline's days arrived or were corrected"
        BASELINE_INPUT = "baseline_input", "The baseline's other inputs changed"
        PRODUCT_VERSION = "product_version", "Another product version"
        PLAN = "plan", "Another plan"
        INSTRUCTION = "instruction", "Other instructions"
        MEMBERSHIP = "membership", "Other EVSEs take part"
        METHOD = "method", "Another method of settlement"

    statement = models.ForeignKey(Statement, on_delete=models.PROTECT, related_name="reasons")
    starts_at = models.DateTimeField(null=True, help_text="of the half-hour; empty for the whole statement")
    code = models.CharField(max_length=20, choices=Code)
    n_reading = models.PositiveIntegerField(default=0)
    n_meter = models.PositiveIntegerField(default=0)
    first_received_at = models.DateTimeField(null=True)
    last_received_at = models.DateTimeField(null=True)
    message = models.CharField(max_length=300)

    objects = TenantManager("statement__organisation")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["statement", "starts_at", "code"], name="reason_once", nulls_distinct=False
            ),
            models.CheckConstraint(
                condition=Q(n_reading=0, last_received_at__isnull=True)
                | Q(n_reading__gt=0, last_received_at__isnull=False),
                name="reason_readings_have_a_time",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.code} in statement {self.statement_id}"
