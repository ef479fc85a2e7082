"""The ledger of a settlement, and the rules of primacy and stacking it goes by."""

from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from rest_framework import serializers

from aggregator.core.permissions import Action
from aggregator.rest.fields import Code, OffsetDateTime, PublicId
from aggregator.rest.serializers import Row
from aggregator.rest.views import DetailView, ListQuery, ListView
from markets.api.settlements import OfSettlement
from markets.api.shapes import PRIMACY_RULE, SETTLEMENT, STACKING_RULE, Kwh
from markets.models import LedgerDisplacement, PrimacyRule, SettlementRun, StackingRule
from markets.queries import primacy_rules_seen_by, stacking_rules_seen_by
from markets.services.ledger_pages import LedgerPage, ledger_page

SERVICE = "code of a product, a family of products, or any"


class DisplacedRow(Row):
    """Energy of a claim that another call stood in the way of."""

    example = {
        "displaced_kwh": "3.0000",
        "by_product": "ou-fault v1",
        "by_reference": "FAULT/1",
        "reason": "primacy",
        "rule": "dso-before-neso v1",
        "settled_as": "void",
    }

    displaced_kwh = Kwh()
    by_product = serializers.CharField()
    by_reference = serializers.CharField(help_text="of that call's request; empty where it is not the viewer's to see")
    reason = serializers.ChoiceField(choices=LedgerDisplacement.Reason.choices)
    rule = serializers.CharField(help_text="code and version of the primacy rule; empty where none decided")
    settled_as = serializers.ChoiceField(
        choices=PrimacyRule.Displaced.choices, help_text="what it is for the settlement of who was displaced"
    )


class ClaimRow(Row):
    """What was claimed and is paid of one DSRSP's half-hour."""

    example = {
        "dsrsp": "flexco",
        "starts_at": "2026-01-14T18:00:00Z",
        "ends_at": "2026-01-14T18:30:00Z",
        "settlement_date": "2026-01-14",
        "period": 37,
        "claimed_kwh": "7.0000",
        "payable_kwh": "4.0000",
        "compensated_kwh": "0.0000",
        "void_kwh": "3.0000",
        "penalised_kwh": "0.0000",
        "co_delivery": [],
        "displaced": [DisplacedRow.example],
    }

    dsrsp = serializers.CharField(source="dsrsp_code")
    starts_at = OffsetDateTime()
    ends_at = OffsetDateTime(help_text="left out of the half-hour")
    settlement_date = serializers.CharField(help_text="London day")
    period = serializers.IntegerField(help_text="settlement period, 1 to 50")
    claimed_kwh = Kwh(help_text="payable, compensated, void and penalised together")
    payable_kwh = Kwh(help_text="nobody else is paid for it, but by a rule of co-delivery")
    compensated_kwh = Kwh(help_text="displaced, and paid all the same")
    void_kwh = Kwh(help_text="displaced, and taken from the order too")
    penalised_kwh = Kwh(help_text="displaced, and counted as not delivered")
    co_delivery = serializers.ListField(
        child=serializers.CharField(), help_text="rules by which others are paid for it"
    )
    displaced = DisplacedRow(many=True)


class LedgerRow(Row):
    """The ledger of a settlement: a DSRSP's own claims, or all for who buys."""

    example = {
        "settlement": "settlement_1",
        "reference": "EVENING/1",
        "product": "su-night v1",
        "version": 1,
        "in_force": True,
        "claims": [ClaimRow.example],
    }

    settlement = PublicId(SETTLEMENT)
    reference = serializers.CharField(help_text="of the request")
    product = serializers.CharField()
    version = serializers.IntegerField(help_text="of the settlement")
    in_force = serializers.BooleanField(help_text="false once a later version has claimed anew")
    claims = ClaimRow(many=True, source="lines")


class Ledger(OfSettlement, DetailView):
    """Who is paid for which delivered energy of a settlement, what was displaced and why."""

    actions = {"GET": Action.SEE_STATEMENTS}
    row = LedgerRow

    def find(self, *, to_change: bool = False) -> LedgerPage:
        settlement: SettlementRun = self.settlement()
        found = ledger_page(settlement_pk=settlement.pk, organisation=self.viewer.organisation)
        if found is None:
            raise Http404
        return found


class RuleRow(Row):
    """One version of a rule, with where it is from."""

    def get_fields(self) -> dict[str, Any]:
        return {**super().get_fields(), "source": serializers.CharField(help_text="where the rule is from")}


class PrimacyRuleRow(RuleRow):
    """One version of a rule that puts a product before another."""

    example = {
        "id": "primacyrule_1",
        "code": "dso-before-neso",
        "version": 1,
        "product_hi": "operational_utilisation",
        "product_lo": "neso-dfs",
        "direction": "any",
        "lead_time_s": 0,
        "action": "curtail",
        "displaced_party_settlement": "void",
        "source": "ENA Open Networks",
        "uncertain": "",
        "valid_from": "2024-01-01T00:00:00Z",
    }

    id = PublicId(PRIMACY_RULE, source="pk")
    code = serializers.CharField()
    version = serializers.IntegerField(help_text="counts from 1")
    product_hi = serializers.CharField(help_text=f"goes first: {SERVICE}")
    product_lo = serializers.CharField(help_text=SERVICE)
    direction = serializers.ChoiceField(choices=PrimacyRule.Direction.choices)
    lead_time_s = serializers.SerializerMethodField(
        help_text="seconds before delivery the first must have been contracted at least"
    )
    action = serializers.ChoiceField(choices=PrimacyRule.Action.choices)
    displaced_party_settlement = serializers.ChoiceField(choices=PrimacyRule.Displaced.choices)
    uncertain = serializers.CharField(help_text="what of it is not certain")
    valid_from = OffsetDateTime()

    def get_lead_time_s(self, rule: PrimacyRule) -> int:
        return int(rule.lead_time.total_seconds())


class StackingRuleRow(RuleRow):
    """One version of a rule on what two services may do with one EVSE."""

    example = {
        "id": "stackingrule_1",
        "code": "dfs-with-scheduled",
        "version": 1,
        "kind": "co-delivery",
        "service_a": "neso-dfs",
        "service_b": "scheduled_utilisation",
        "is_allowed": True,
        "source": "ENWL",
        "uncertain": "",
        "valid_from": "2024-01-01T00:00:00Z",
    }

    id = PublicId(STACKING_RULE, source="pk")
    code = serializers.CharField()
    version = serializers.IntegerField(help_text="counts from 1")
    kind = serializers.ChoiceField(choices=StackingRule.Kind.choices)
    service_a = serializers.CharField(help_text=SERVICE)
    service_b = serializers.CharField(help_text=SERVICE)
    is_allowed = serializers.BooleanField()
    uncertain = serializers.CharField(help_text="what of it is not certain")
    valid_from = OffsetDateTime()


class RuleQuery(ListQuery):
    code = Code(max_length=60, required=False)


class PrimacyRules(ListView):
    """Rules of primacy, every version of each; they are published to all who take part."""

    actions = {"GET": Action.SEE_STATEMENTS}
    row, filters = PrimacyRuleRow, RuleQuery
    orders = {"code": ("code", "version", "pk"), "newest": ("-pk",)}

    def seen(self, asked: dict[str, Any]) -> "QuerySet[PrimacyRule]":
        return primacy_rules_seen_by(self.viewer.organisation).filter(**asked)


class StackingRules(ListView):
    """Rules of stacking, every version of each; they are published to all who take part."""

    actions = {"GET": Action.SEE_STATEMENTS}
    row, filters = StackingRuleRow, RuleQuery
    orders = {"code": ("code", "version", "pk"), "newest": ("-pk",)}

    def seen(self, asked: dict[str, Any]) -> "QuerySet[StackingRule]":
        return stacking_rules_seen_by(self.viewer.organisation).filter(**asked)
