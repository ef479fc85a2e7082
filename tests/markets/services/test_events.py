from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from dispatch.models import TargetSignal
from dispatch.services.targets import receive_target
from markets.models import FlexEvent, Product
from markets.services.events import (
    EventConflict,
    InvalidPrice,
    ShortfallTooCheap,
    UnknownEvent,
    UnknownProduct,
    find_event,
    open_event,
)
from tests.factories import make_dno, make_node

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 14, 15, tzinfo=UTC)
PRICE = Decimal("300.00")


def product(version: int = 1, *, valid_from: datetime = NOW - timedelta(days=99), **facts: float) -> Product:
    return Product.objects.create(
        code="su", version=version, name="Scheduled Utilisation", buyer=make_dno(), valid_from=valid_from, **facts
    )


def signal(reference: str = "CALL-1", *, shortfall_gbp_per_kwh: float = 0.9) -> TargetSignal:
    if not TargetSignal.objects.exists():
        make_node("feeder-1")
    return receive_target(
        reference=reference,
        node_code="feeder-1",
        starts_at=NOW + timedelta(hours=26),
        ends_at=NOW + timedelta(hours=28),
        direction="turn_down",
        kind="response",
        target_kw=5.0,
        shortfall_gbp_per_kwh=shortfall_gbp_per_kwh,
        issued_by=make_dno(),
        received_at=NOW,
    )


def opened(call: TargetSignal, price_gbp_per_mwh: Decimal = PRICE, product_code: str = "su") -> FlexEvent:
    return open_event(signal=call, product_code=product_code, price_gbp_per_mwh=price_gbp_per_mwh)


class TestOpenEvent:
    def test_puts_a_request_under_a_product(self):
        terms, call = product(), signal()
        event = FlexEvent.objects.get(pk=opened(call).pk)
        assert (event.product, event.signal, event.price_gbp_per_mwh) == (terms, call, PRICE)

    def test_changes_nothing_when_it_is_opened_again(self):
        product()
        call = signal()
        assert opened(call) == opened(call)
        assert FlexEvent.objects.count() == 1

    def test_takes_the_newest_version_that_was_valid_when_it_was_received(self):
        product(1)
        second = product(2, valid_from=NOW)
        product(3, valid_from=NOW + timedelta(seconds=1))
        assert opened(signal()).product == second

    def test_keeps_an_open_event_under_its_version(self):
        first = product(1)
        call = signal()
        opened(call)
        product(2, valid_from=NOW + timedelta(hours=1))
        assert opened(call).product == first

    @pytest.mark.parametrize("code", ["other", ""])
    def test_refuses_an_unknown_product(self, code):
        product()
        with pytest.raises(UnknownProduct):
            opened(signal(), product_code=code)

    def test_refuses_a_product_that_was_not_valid_yet(self):
        product(valid_from=NOW + timedelta(seconds=1))
        with pytest.raises(UnknownProduct):
            opened(signal())

    def test_refuses_another_price_for_the_same_request(self):
        product()
        call = signal()
        opened(call)
        with pytest.raises(EventConflict):
            opened(call, Decimal("299.99"))
        assert FlexEvent.objects.get().price_gbp_per_mwh == PRICE

    @pytest.mark.parametrize(("slope", "least"), [(3.0, 0.9), (2.0, 0.6), (0.0, 0.0)])
    def test_refuses_a_shortfall_cheaper_than_the_products_penalty(self, slope, least):
        product(slope=slope)
        assert opened(signal("DEAR", shortfall_gbp_per_kwh=least))
        if least:
            with pytest.raises(ShortfallTooCheap) as refused:
                opened(signal("CHEAP", shortfall_gbp_per_kwh=least - 0.001))
            assert refused.value.details["shortfall_gbp_per_kwh"] == least - 0.001
        assert FlexEvent.objects.count() == 1

    @pytest.mark.parametrize("price", ["NaN", "sNaN", "Infinity", "-Infinity", "-0.01", "300.005", "1e9", "100000000"])
    def test_refuses_a_price_that_cannot_be_paid(self, price):
        product(slope=0.0)
        with pytest.raises(InvalidPrice) as refused:
            opened(signal(), Decimal(price))
        assert refused.value.code == "markets.invalid_price"
        assert not FlexEvent.objects.exists()

    @pytest.mark.parametrize("price", ["0", "0.01", "300", "300.5", "3E+2", "99999999.99"])
    def test_takes_any_price_in_pence(self, price):
        product(slope=0.0)
        call = signal()
        assert opened(call, Decimal(price)) == opened(call, Decimal(price))
        assert FlexEvent.objects.get().price_gbp_per_mwh == Decimal(price)


class TestFindEvent:
    def test_finds_it_by_the_request(self):
        product()
        event = opened(signal())
        assert find_event(reference="CALL-1") == event

    @pytest.mark.parametrize("reference", ["CALL-2", ""])
    def test_says_when_there_is_none(self, reference):
        product()
        signal("CALL-2")
        with pytest.raises(UnknownEvent):
            find_event(reference=reference)
