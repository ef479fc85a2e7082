"""From a market to an order: what is wanted where, who offers it at what price, and what was bought.

Names are UFTP's. What a row states is never changed; only its state is (``markets/core/trading.py`` says how).
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from aggregator.models import NetworkNode, Organisation, TenantManager
from dispatch.models import TargetSignal
from markets.models.events import FlexEvent, Instruction
from markets.models.products import Product


class Market(models.Model):
    """Where and when a buyer wants a product, and until when it may be offered. Markets are published."""

    code = models.SlugField(max_length=50, unique=True)
    name = models.CharField(max_length=200)
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="markets")
    buyer = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="markets")
    node_codes = ArrayField(models.CharField(max_length=80), help_text="its zone: these nodes and all below them")
    activity = models.CharField(max_length=10, choices=TargetSignal.Direction)
    service_windows = models.JSONField(help_text="weekdays (1 is Monday) and local times")
    gate_closure = models.JSONField(help_text="a lead time, or a weekly cut-off for the week after")
    min_kw = models.FloatField(help_text="less than this is not offered for a period")
    starts_at = models.DateTimeField(help_text="of the contract period")
    ends_at = models.DateTimeField()
    state = models.CharField(max_length=10)
    made_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="market_ends_after_start"),
            models.CheckConstraint(condition=Q(min_kw__gte=0), name="market_min_kw"),
            models.CheckConstraint(condition=Q(state__in=["open", "suspended", "closed"]), name="market_state"),
        ]

    def __str__(self) -> str:
        return self.code


class FlexRequest(models.Model):
    """Flexibility wanted at a node in a window, power by half-hour (UFTP FlexRequest)."""

    reference = models.CharField(max_length=80, unique=True)
    market = models.ForeignKey(Market, on_delete=models.PROTECT, related_name="requests")
    buyer = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+")
    node = models.ForeignKey(NetworkNode, on_delete=models.PROTECT, related_name="+")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    requested_kw = ArrayField(models.FloatField(), help_text="by half-hour, positive in the market's direction")
    gate_closes_at = models.DateTimeField(help_text="by the market's rule, when the request was published")
    expires_at = models.DateTimeField(help_text="UFTP ExpirationDateTime: no offer comes later")
    state = models.CharField(max_length=10)
    published_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="flex_request_ends_after_start"),
            models.CheckConstraint(
                condition=Q(expires_at__lte=F("gate_closes_at"), gate_closes_at__lte=F("starts_at")),
                name="flex_request_deadlines",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["published", "closed", "withdrawn"]), name="flex_request_state"
            ),
        ]

    def __str__(self) -> str:
        return self.reference


class FlexOffer(models.Model):
    """What a DSRSP offers on a request; one of its options may be ordered (UFTP FlexOffer)."""

    reference = models.CharField(max_length=80)
    request = models.ForeignKey(FlexRequest, on_delete=models.PROTECT, related_name="offers")
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="flex_offers")
    buyer = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+")
    expires_at = models.DateTimeField(help_text="UFTP ExpirationDateTime: not accepted later")
    state = models.CharField(max_length=10)
    offered_at = models.DateTimeField()

    objects = TenantManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organisation", "reference"], name="flex_offer_reference_once"),
            models.CheckConstraint(
                condition=Q(state__in=["submitted", "accepted", "rejected", "revoked", "expired"]),
                name="flex_offer_state",
            ),
        ]

    def __str__(self) -> str:
        return self.reference


class OfferOption(models.Model):
    """Power by half-hour for one price, whole or down to a share of it (UFTP OfferOption)."""

    offer = models.ForeignKey(FlexOffer, on_delete=models.PROTECT, related_name="options")
    reference = models.CharField(max_length=80)
    power_kw = ArrayField(models.FloatField())
    price_gbp = models.DecimalField(max_digits=12, decimal_places=2, help_text="for the whole option")
    min_activation_factor = models.DecimalField(max_digits=3, decimal_places=2)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["offer", "reference"], name="offer_option_reference_once"),
            models.CheckConstraint(condition=Q(price_gbp__gte=0), name="offer_option_price"),
            models.CheckConstraint(
                condition=Q(min_activation_factor__gte=0.01, min_activation_factor__lte=1),
                name="offer_option_min_activation",
            ),
        ]

    def __str__(self) -> str:
        return self.reference


class Contract(models.Model):
    """A standing agreement: in the market's service windows the buyer may order up to ``max_kw`` at a price."""

    reference = models.CharField(max_length=80, unique=True)
    market = models.ForeignKey(Market, on_delete=models.PROTECT, related_name="contracts")
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="contracts")
    buyer = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    max_kw = models.FloatField()
    price_gbp_per_mwh = models.DecimalField(max_digits=10, decimal_places=2)
    state = models.CharField(max_length=10)
    proposed_at = models.DateTimeField()

    objects = TenantManager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="contract_ends_after_start"),
            models.CheckConstraint(condition=Q(max_kw__gt=0), name="contract_max_kw"),
            models.CheckConstraint(condition=Q(price_gbp_per_mwh__gte=0), name="contract_price"),
            models.CheckConstraint(
                condition=Q(state__in=["proposed", "in_force", "declined", "withdrawn", "lapsed", "ended"]),
                name="contract_state",
            ),
        ]

    def __str__(self) -> str:
        return self.reference


class FlexOrder(models.Model):
    """What was bought of one DSRSP: an option accepted, or a call under a contract (UFTP FlexOrder)."""

    reference = models.CharField(max_length=80, unique=True)
    market = models.ForeignKey(Market, on_delete=models.PROTECT, related_name="orders")
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="flex_orders")
    buyer = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+")
    offer = models.OneToOneField(FlexOffer, null=True, on_delete=models.PROTECT, related_name="order")
    option = models.ForeignKey(OfferOption, null=True, on_delete=models.PROTECT, related_name="+")
    contract = models.ForeignKey(Contract, null=True, on_delete=models.PROTECT, related_name="orders")
    node = models.ForeignKey(NetworkNode, on_delete=models.PROTECT, related_name="+")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    activation_factor = models.DecimalField(max_digits=3, decimal_places=2, default=1)
    power_kw = ArrayField(models.FloatField(), help_text="by half-hour, positive in the market's direction")
    price_gbp = models.DecimalField(max_digits=16, decimal_places=4, help_text="for all of it, delivered in full")
    price_gbp_per_mwh = models.DecimalField(max_digits=10, decimal_places=2, help_text="what settlement pays a MWh")
    state = models.CharField(max_length=10)
    ordered_at = models.DateTimeField()
    event = models.OneToOneField(
        FlexEvent, null=True, on_delete=models.PROTECT, related_name="order", help_text="once it is dispatched"
    )
    stopped_at = models.DateTimeField(null=True, help_text="nothing is ordered from then on")

    objects = TenantManager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="flex_order_ends_after_start"),
            models.CheckConstraint(
                condition=Q(offer__isnull=False, option__isnull=False, contract__isnull=True)
                | Q(offer__isnull=True, option__isnull=True, contract__isnull=False),
                name="flex_order_of_an_offer_or_a_contract",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["ordered", "dispatched", "stopped", "cancelled", "lapsed", "delivered"]),
                name="flex_order_state",
            ),
        ]

    def __str__(self) -> str:
        return self.reference


class InstructionStop(models.Model):
    """From ``stopped_at`` on nothing is instructed any more; rows are only ever added."""

    instruction = models.ForeignKey(Instruction, on_delete=models.PROTECT, related_name="stops")
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+")
    stopped_at = models.DateTimeField()
    recorded_at = models.DateTimeField()
    by = models.CharField(max_length=200, help_text="the actor, person or machine")
    reason = models.CharField(max_length=500)

    objects = TenantManager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["instruction", "stopped_at"], name="instruction_stop_once")]

    def __str__(self) -> str:
        return f"stop of {self.instruction_id} at {self.stopped_at.isoformat()}"
