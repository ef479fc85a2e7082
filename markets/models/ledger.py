"""The ledger of paid energy, and the rules of primacy and stacking it goes by. Rows are only ever added."""

from datetime import timedelta

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from aggregator.models import Organisation, TenantManager
from markets.models.events import FlexEvent
from markets.models.products import Product
from markets.models.statements import SettlementRun

SERVICE_HELP = "code of a product, a family of products, or any"


class PrimacyRule(models.Model):
    """One version of: a product goes before another; a changed rule is a new version."""

    class Direction(models.TextChoices):
        SAME = "same", "Same direction"
        OPPOSITE = "opposite", "Opposite directions"
        ANY = "any", "Any direction"

    class Action(models.TextChoices):
        BLOCK = "block", "The lower gets nothing there"
        CURTAIL = "curtail", "The lower gets what is left"
        NOTIFY = "notify", "Both are told, nothing is changed"

    class Displaced(models.TextChoices):
        PAID = "paid", "Paid all the same"
        VOID = "void", "Taken from the order too"
        PENALISED = "penalised", "Counts as not delivered"

    code = models.SlugField(max_length=60)
    version = models.PositiveSmallIntegerField(default=1)
    product_hi = models.SlugField(max_length=60, help_text=SERVICE_HELP)
    product_lo = models.SlugField(max_length=60, help_text=SERVICE_HELP)
    direction = models.CharField(max_length=10, choices=Direction, default=Direction.SAME)
    lead_time = models.DurationField(
        default=timedelta(0), help_text="the higher must have been contracted this long before delivery"
    )
    action = models.CharField(max_length=10, choices=Action, default=Action.CURTAIL)
    displaced_party_settlement = models.CharField(max_length=10, choices=Displaced, default=Displaced.VOID)
    source = models.CharField(max_length=500)
    uncertain = models.CharField(max_length=500, blank=True, help_text="what of it is not certain")
    valid_from = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["code", "version"], name="primacy_version_once"),
            models.CheckConstraint(condition=~Q(product_hi=F("product_lo")), name="primacy_of_two"),
            models.CheckConstraint(condition=Q(version__gte=1), name="primacy_version_from_1"),
            models.CheckConstraint(condition=Q(lead_time__gte=timedelta(0)), name="primacy_lead_time"),
            models.CheckConstraint(condition=Q(direction__in=["same", "opposite", "any"]), name="primacy_direction"),
            models.CheckConstraint(condition=Q(action__in=["block", "curtail", "notify"]), name="primacy_action"),
            models.CheckConstraint(
                condition=Q(displaced_party_settlement__in=["paid", "void", "penalised"]), name="primacy_displaced"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.code} v{self.version}"


class StackingRule(models.Model):
    """One version of: what two services may do with one asset, whichever is named first."""

    class Kind(models.TextChoices):
        CO_DELIVERY = "co-delivery", "Co-delivery: both are paid for the same kWh"
        SPLITTING = "splitting", "Splitting: different kWh of one half-hour"
        JUMPING = "jumping", "Jumping: different half-hours"

    code = models.SlugField(max_length=60)
    version = models.PositiveSmallIntegerField(default=1)
    kind = models.CharField(max_length=12, choices=Kind)
    service_a = models.SlugField(max_length=60, help_text=SERVICE_HELP)
    service_b = models.SlugField(max_length=60, help_text=SERVICE_HELP)
    is_allowed = models.BooleanField()
    source = models.CharField(max_length=500)
    uncertain = models.CharField(max_length=500, blank=True, help_text="what of it is not certain")
    valid_from = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["code", "version"], name="stacking_version_once"),
            models.CheckConstraint(condition=Q(version__gte=1), name="stacking_version_from_1"),
            models.CheckConstraint(
                condition=Q(kind__in=["co-delivery", "splitting", "jumping"]), name="stacking_kind_known"
            ),
            # One half-hour is never compared with another, so a refusal of jumping could not be kept.
            models.CheckConstraint(condition=~Q(kind="jumping", is_allowed=False), name="stacking_jumping_is_free"),
        ]

    def __str__(self) -> str:
        return f"{self.code} v{self.version}"


class LedgerClaim(models.Model):
    """What one settlement is paid for of one portfolio's half-hour, asset by asset.

    It is in force as long as no later settlement supersedes its own. The database refuses a band that another claim in
    force holds, unless one of ``stacking_rules`` allows the two products co-delivery.
    """

    settlement = models.ForeignKey(SettlementRun, on_delete=models.PROTECT, related_name="ledger_claims")
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+")
    direction = models.CharField(max_length=10)
    starts_at = models.DateTimeField(help_text="start of the settlement period")
    claimed_kwh = models.DecimalField(max_digits=14, decimal_places=4)
    payable_kwh = models.DecimalField(max_digits=14, decimal_places=4)
    compensated_kwh = models.DecimalField(max_digits=14, decimal_places=4, default=0)
    void_kwh = models.DecimalField(max_digits=14, decimal_places=4, default=0)
    penalised_kwh = models.DecimalField(max_digits=14, decimal_places=4, default=0)
    evses = ArrayField(models.BigIntegerField(), default=list, help_text="keys of EVSEs, one for each band")
    band_from = ArrayField(models.BigIntegerField(), default=list, help_text="0.0001 kWh")
    band_to = ArrayField(models.BigIntegerField(), default=list, help_text="0.0001 kWh, left out of the band")
    unmet_evses = ArrayField(models.BigIntegerField(), default=list, help_text="keys of EVSEs that were displaced")
    unmet_quanta = ArrayField(models.BigIntegerField(), default=list, help_text="0.0001 kWh displaced of each")
    stacking_rules = ArrayField(models.BigIntegerField(), default=list, help_text="keys of the co-delivery rules used")

    objects = TenantManager()

    class Meta:
        indexes = [models.Index(fields=["starts_at", "direction"], name="ledger_by_period")]
        constraints = [
            models.UniqueConstraint(fields=["settlement", "organisation", "starts_at"], name="ledger_claim_once"),
            models.CheckConstraint(condition=Q(direction__in=["turn_down", "turn_up"]), name="ledger_direction_known"),
            models.CheckConstraint(
                condition=Q(payable_kwh__gte=0, compensated_kwh__gte=0, void_kwh__gte=0, penalised_kwh__gte=0),
                name="ledger_energy_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(claimed_kwh=F("payable_kwh") + F("compensated_kwh") + F("void_kwh") + F("penalised_kwh")),
                name="ledger_adds_up",
            ),
        ]

    def __str__(self) -> str:
        return (
            f"{self.payable_kwh} of {self.claimed_kwh} kWh of {self.organisation_id} at {self.starts_at:%Y-%m-%d %H:%M}"
        )


class LedgerDisplacement(models.Model):
    """Energy of a claim that another product stood in the way of, and why."""

    class Reason(models.TextChoices):
        PRIMACY = "primacy", "A rule puts the other before it"
        EARLIER = "earlier-contract", "The other was contracted earlier, and no rule decides"
        PAID_BEFORE = "paid-before", "The other was paid for it before"
        BLOCKED = "blocked", "A rule gives it nothing beside the other"
        SPLIT_REFUSED = "splitting-refused", "The two may not share a half-hour"
        OPPOSITE = "opposite", "The other asked for the opposite"

    claim = models.ForeignKey(LedgerClaim, on_delete=models.PROTECT, related_name="displacements")
    by_product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="+")
    by_event = models.ForeignKey(FlexEvent, on_delete=models.PROTECT, related_name="+")
    rule = models.ForeignKey(PrimacyRule, null=True, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=20, choices=Reason)
    displaced_party_settlement = models.CharField(max_length=10, choices=PrimacyRule.Displaced)
    displaced_kwh = models.DecimalField(max_digits=14, decimal_places=4)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["claim", "by_event", "reason"], name="displacement_once"),
            models.CheckConstraint(condition=Q(displaced_kwh__gt=0), name="displacement_of_something"),
        ]

    def __str__(self) -> str:
        return f"{self.displaced_kwh} kWh of claim {self.claim_id} by {self.by_product}"
