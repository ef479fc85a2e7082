from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest
from django.db import IntegrityError, ProgrammingError, connection, transaction

from aggregator.services.turns import turn_key
from markets.models import LedgerClaim, LedgerDisplacement, SettlementRun
from markets.services.ledger import AlreadyClaimed, UnknownUnit, claim_delivered, claimed_by, foresee_claims
from tests.markets.ledger_builders import (
    STARTS_AT,
    Fleet,
    claims_for,
    co_delivery_rule,
    make_event,
    make_fleet,
    make_settlement,
    primacy_rule,
)

pytestmark = pytest.mark.django_db


def bands(settlement: SettlementRun) -> list[tuple[int, int, int]]:
    found = []
    for row in LedgerClaim.objects.across_tenants().filter(settlement=settlement).order_by("starts_at", "organisation"):
        found += list(zip(row.evses, row.band_from, row.band_to, strict=True))
    return found


def reasons(settlement: SettlementRun) -> list[tuple[str, str, str, Decimal]]:
    rows = LedgerDisplacement.objects.filter(claim__settlement=settlement).order_by("claim__starts_at", "pk")
    return [(row.reason, row.by_product.code, row.displaced_party_settlement, row.displaced_kwh) for row in rows]


def paid_kwh(settlement: SettlementRun) -> float:
    return float(sum(one.payable_kwh for one in claimed_by(settlement=settlement).values()))


@pytest.fixture
def fleet() -> Fleet:
    return make_fleet()


def claim(fleet: Fleet, product: str, amber_kwh: float, **event: object) -> SettlementRun:
    called = make_event(fleet, product, **event)  # type: ignore[arg-type]
    settlement = make_settlement(fleet, called)
    claim_delivered(settlement=settlement, claims=claims_for(fleet, called, amber_kwh))
    return settlement


def claim_again(fleet: Fleet, settlement: SettlementRun, amber_kwh: float) -> SettlementRun:
    again = make_settlement(fleet, settlement.event)
    claim_delivered(settlement=again, claims=claims_for(fleet, settlement.event, amber_kwh))
    return again


class TestClaimDelivered:
    def test_shares_a_portfolios_claim_out_over_its_evses(self, fleet):
        event = make_event(fleet, "su")
        settlement = make_settlement(fleet, event)
        claimed = claim_delivered(settlement=settlement, claims=claims_for(fleet, event, 6, 2))
        assert claimed.payable_kwh.tolist() == [[6.0], [2.0]]
        assert claimed.findings == ()
        first, second, third = fleet.pks
        assert bands(settlement) == [(first, 0, 45000), (second, 0, 15000), (third, 0, 20000)]

    def test_keeps_no_row_of_a_portfolio_that_claims_nothing(self, fleet):
        settlement = claim(fleet, "su", 6)
        assert [key[0] for key in claimed_by(settlement=settlement)] == ["amber"]

    def test_pays_the_second_only_what_is_left(self, fleet):
        """10 delivered: su was paid 6, so op gets 4 of the 7 it claims."""
        claim(fleet, "su", 6, hours_before=24)
        second = claim(fleet, "op", 7, hours_before=2)
        assert paid_kwh(second) == 4
        assert reasons(second) == [("earlier-contract", "su", "penalised", Decimal("3.0000"))]
        (stored,) = claimed_by(settlement=second).values()
        assert (stored.claimed_kwh, stored.penalised_kwh) == (Decimal(7), Decimal(3))

    def test_splits_a_half_hour_between_two_without_loss(self, fleet):
        claim(fleet, "su", 6)
        second = claim(fleet, "op", 4)
        assert (paid_kwh(second), reasons(second)) == (4, [])

    def test_lets_an_evse_jump_between_half_hours(self, fleet):
        claim(fleet, "su", 10)
        second = claim(fleet, "op", 10, starts_at=STARTS_AT + timedelta(minutes=30))
        assert (paid_kwh(second), reasons(second)) == (10, [])

    def test_pays_both_where_a_rule_says_co_delivery(self, fleet):
        rule = co_delivery_rule("su", "op")
        claim(fleet, "su", 6)
        second = claim(fleet, "op", 7)
        assert (paid_kwh(second), reasons(second)) == (7, [])
        assert LedgerClaim.objects.across_tenants().get(settlement=second).stacking_rules == [rule.pk]

    def test_pays_one_product_once_whatever_is_said_of_it(self, fleet):
        """Two calls on one product in one window, as in the real calendar."""
        co_delivery_rule("su", "any")
        claim(fleet, "su", 6)
        assert paid_kwh(claim(fleet, "su", 7)) == 4

    def test_pays_nothing_where_splitting_is_refused(self, fleet):
        co_delivery_rule("su", "op", kind="splitting", is_allowed=False)
        claim(fleet, "su", 6)
        second = claim(fleet, "op", 4)
        assert paid_kwh(second) == 0
        assert reasons(second) == [("splitting-refused", "su", "penalised", Decimal("4.0000"))]

    @pytest.mark.parametrize("treatment", ["paid", "void", "penalised"])
    def test_settles_the_displaced_as_the_rule_says(self, fleet, treatment):
        primacy_rule("su", "op", displaced_party_settlement=treatment)
        claim(fleet, "su", 6)
        event = make_event(fleet, "op", hours_before=48)
        claimed = foresee_claims(event=event, claims=claims_for(fleet, event, 7))
        parts = {"paid": claimed.compensated_kwh, "void": claimed.void_kwh, "penalised": claimed.penalised_kwh}
        assert {name: energy_kwh.sum() for name, energy_kwh in parts.items()} == {
            name: 3.0 if name == treatment else 0.0 for name in parts
        }
        assert claimed.findings[0].details["rule"] == "su-op v1"

    def test_gives_nothing_beside_one_that_blocks(self, fleet):
        primacy_rule("su", "op", action="block")
        claim(fleet, "su", 1)
        assert reasons(claim(fleet, "op", 7)) == [("blocked", "su", "void", Decimal("7.0000"))]

    def test_only_tells_where_the_rule_says_notify(self, fleet):
        primacy_rule("op", "su", action="notify")
        claim(fleet, "su", 6)
        event = make_event(fleet, "op", hours_before=1)
        claimed = foresee_claims(event=event, claims=claims_for(fleet, event, 4))
        assert {note.code for note in claimed.findings} == {"ledger.notified"}
        assert claimed.payable_kwh.sum() == 4

    def test_voids_the_opposite_of_one_that_goes_first(self, fleet):
        primacy_rule("su", "up", direction="opposite", action="block")
        claim(fleet, "su", 6)
        up = claim(fleet, "up", 5, direction="turn_up")
        assert reasons(up) == [("opposite", "su", "void", Decimal("5.0000"))]

    def test_lets_opposite_directions_be_without_a_rule(self, fleet):
        claim(fleet, "su", 6)
        assert paid_kwh(claim(fleet, "up", 5, direction="turn_up")) == 5

    def test_refuses_a_second_claim_of_one_settlement(self, fleet):
        settlement = claim(fleet, "su", 6)
        with pytest.raises(AlreadyClaimed):
            claim_delivered(settlement=settlement, claims=claims_for(fleet, settlement.event, 6))

    def test_refuses_a_unit_that_nobody_is(self, fleet):
        event = make_event(fleet, "su")
        fleet.amber.code = "gone"
        fleet.amber.save()
        with pytest.raises(UnknownUnit, match="amber"):
            claim_delivered(settlement=make_settlement(fleet, event), claims=claims_for(fleet, event, 6))


class TestALaterVersion:
    def test_claims_anew_what_its_first_version_held(self, fleet):
        first = claim(fleet, "su", 6)
        again = claim_again(fleet, first, 8)
        assert paid_kwh(again) == 8
        assert paid_kwh(first) == 6  # written as it was

    def test_frees_for_others_what_it_claims_no_longer(self, fleet):
        first = claim(fleet, "su", 10)
        second = claim(fleet, "op", 5)
        assert paid_kwh(second) == 0
        claim_again(fleet, first, 6)
        assert paid_kwh(claim_again(fleet, second, 5)) == 4

    def test_frees_nothing_that_another_was_paid_for(self, fleet):
        first = claim(fleet, "su", 4, hours_before=2)
        claim(fleet, "op", 6, hours_before=24)
        again = claim_again(fleet, first, 9)
        assert paid_kwh(again) == 4
        assert reasons(again)[0][0] == "earlier-contract"

    def test_yields_to_a_higher_product_that_came_too_late(self, fleet):
        """The lower was settled first: the higher gets what is left, all of its claim once both are settled again."""
        primacy_rule("hi", "lo")
        lower = claim(fleet, "lo", 8)
        higher = claim(fleet, "hi", 7)
        assert paid_kwh(higher) == 2
        assert reasons(higher) == [("paid-before", "lo", "penalised", Decimal("5.0000"))]
        lower = claim_again(fleet, lower, 8)
        assert paid_kwh(lower) == 3
        assert paid_kwh(claim_again(fleet, higher, 7)) == 7

    def test_ends_alike_whichever_was_settled_first(self, fleet):
        primacy_rule("hi", "lo")
        higher = claim(fleet, "hi", 7)
        lower = claim(fleet, "lo", 8)
        assert (paid_kwh(higher), paid_kwh(lower)) == (7, 3)


class TestForeseeClaims:
    def test_stores_nothing_and_says_what_the_claim_will(self, fleet):
        claim(fleet, "su", 6)
        event = make_event(fleet, "op")
        seen = foresee_claims(event=event, claims=claims_for(fleet, event, 7))
        assert not LedgerClaim.objects.across_tenants().filter(settlement__event=event).exists()
        done = claim_delivered(settlement=make_settlement(fleet, event), claims=claims_for(fleet, event, 7))
        assert seen.sha256 == done.sha256 != ""
        assert np.array_equal(seen.payable_kwh, done.payable_kwh)

    def test_has_no_digest_where_nobody_competes(self, fleet):
        event = make_event(fleet, "op")
        assert foresee_claims(event=event, claims=claims_for(fleet, event, 7)).sha256 == ""


def insert(settlement: SettlementRun, fleet: Fleet, low: int, high: int, rules: list[int] | None = None) -> None:
    """A claim on the first EVSE past every service."""
    columns = (
        "settlement_id, organisation_id, direction, starts_at, claimed_kwh, payable_kwh, compensated_kwh, void_kwh, "
        "penalised_kwh, evses, band_from, band_to, unmet_evses, unmet_quanta, stacking_rules"
    )
    kwh = Decimal(high - low) / 10000
    values = [settlement.pk, fleet.blue.pk, "turn_down", STARTS_AT, kwh, kwh, 0, 0, 0]
    arrays = [[fleet.pks[0]], [low], [high], [], [], rules or []]
    with transaction.atomic(), connection.cursor() as cursor:
        placed = ", ".join(["%s"] * len(values) + ["%s::bigint[]"] * len(arrays))
        cursor.execute(f"INSERT INTO markets_ledgerclaim ({columns}) VALUES ({placed})", [*values, *arrays])  # noqa: S608


class TestTheDatabase:
    @pytest.fixture
    def first(self, fleet: Fleet) -> SettlementRun:
        """su is paid for 0 to 45000 of the first EVSE."""
        return claim(fleet, "su", 6)

    @pytest.fixture
    def second(self, fleet: Fleet, first: SettlementRun) -> SettlementRun:
        return make_settlement(fleet, make_event(fleet, "op"))

    @pytest.mark.parametrize(("low", "high"), [(0, 1), (44999, 45000), (0, 90000), (44000, 46000)])
    def test_refuses_a_band_that_is_paid_for(self, fleet, second, low, high):
        with pytest.raises(IntegrityError, match="no rule named says co-delivery"):
            insert(second, fleet, low, high)

    def test_takes_a_band_beside_it(self, fleet, second):
        insert(second, fleet, 45000, 46000)

    def test_takes_it_with_the_key_of_a_co_delivery_rule(self, fleet, second):
        insert(second, fleet, 0, 45000, [co_delivery_rule("su", "op").pk])

    @pytest.mark.parametrize(
        "changes",
        [
            {"service_b": "another"},
            {"kind": "splitting"},
            {"is_allowed": False},
            {"valid_from": STARTS_AT + timedelta(days=1)},
        ],
    )
    def test_refuses_the_key_of_a_rule_that_says_something_else(self, fleet, second, changes):
        rule = co_delivery_rule("su", "op", **changes)
        with pytest.raises(IntegrityError, match="no rule named"):
            insert(second, fleet, 0, 45000, [rule.pk])

    def test_refuses_the_key_of_a_version_that_is_replaced(self, fleet, second):
        old = co_delivery_rule("su", "op")
        co_delivery_rule("su", "op", version=2, is_allowed=False)
        with pytest.raises(IntegrityError, match="no rule named"):
            insert(second, fleet, 0, 45000, [old.pk])

    def test_refuses_a_claim_that_holds_one_band_twice(self, fleet, second):
        with pytest.raises(IntegrityError, match="twice"), transaction.atomic():
            LedgerClaim(
                settlement=second,
                organisation=fleet.blue,
                direction="turn_down",
                starts_at=STARTS_AT + timedelta(hours=3),
                claimed_kwh=Decimal("0.0002"),
                payable_kwh=Decimal("0.0002"),
                evses=[fleet.pks[0]] * 2,
                band_from=[5, 5],
                band_to=[6, 6],
            ).save()

    @pytest.mark.parametrize(("low", "is_refused"), [(45999, True), (46000, False)])
    def test_compares_the_claims_of_one_statement(self, fleet, second, low, is_refused):
        """Two claims of a half-hour hold 45000 to 46000 and the 1000 from ``low`` of the same EVSE."""
        claims = [
            LedgerClaim(
                settlement=second,
                organisation=organisation,
                direction="turn_down",
                starts_at=STARTS_AT,
                claimed_kwh=Decimal("0.1"),
                payable_kwh=Decimal("0.1"),
                evses=[fleet.pks[0]],
                band_from=[first],
                band_to=[first + 1000],
            )
            for organisation, first in ((fleet.amber, 45000), (fleet.blue, low))
        ]
        if is_refused:
            with pytest.raises(IntegrityError, match=rf"EVSE {fleet.pks[0]} from {low}"), transaction.atomic():
                LedgerClaim.objects.across_tenants().bulk_create(claims)
        else:
            assert len(LedgerClaim.objects.across_tenants().bulk_create(claims)) == 2

    def test_takes_two_bands_of_an_evse_beside_each_other(self, fleet, second):
        with transaction.atomic():
            LedgerClaim(
                settlement=second,
                organisation=fleet.blue,
                direction="turn_down",
                starts_at=STARTS_AT + timedelta(hours=3),
                claimed_kwh=Decimal("0.0002"),
                payable_kwh=Decimal("0.0002"),
                evses=[fleet.pks[0]] * 2,
                band_from=[6, 5],
                band_to=[7, 6],
            ).save()

    def test_refuses_a_band_of_nothing(self, fleet, second):
        with pytest.raises(IntegrityError, match="0 <= from < to"):
            insert(second, fleet, 46000, 46000)

    def test_refuses_an_amount_that_is_not_its_bands(self, fleet, second):
        with pytest.raises(IntegrityError, match="another amount"), transaction.atomic():
            LedgerClaim(
                settlement=second,
                organisation=fleet.blue,
                direction="turn_down",
                starts_at=STARTS_AT,
                claimed_kwh=1,
                payable_kwh=1,
            ).save()

    def test_refuses_a_claim_of_a_superseded_settlement(self, fleet, first):
        make_settlement(fleet, first.event)
        with pytest.raises(IntegrityError, match="superseded"):
            insert(first, fleet, 50000, 50001)

    @pytest.mark.parametrize("statement", ["UPDATE {} SET id = id", "DELETE FROM {}"])
    @pytest.mark.parametrize(
        "table",
        ["markets_ledgerclaim", "markets_ledgerdisplacement", "markets_primacyrule", "markets_stackingrule"],
    )
    def test_only_ever_adds(self, table, statement):
        with pytest.raises(ProgrammingError, match="denied"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement.format(table))

    def test_takes_the_turn_that_the_service_takes(self):
        with connection.cursor() as cursor:
            cursor.execute("SELECT markets_ledger_turn()")
            assert cursor.fetchone() == (turn_key("ledger"),)
