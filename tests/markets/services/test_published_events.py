"""What the log keeps of products and settlements."""

from datetime import timedelta

import pytest

from aggregator.models import Event
from aggregator.services.event_log import verify_events
from markets.models import Product
from markets.services.products import make_product
from markets.services.settlement import settle_event
from tests.factories import make_dno
from tests.markets.services.test_settlement import AS_OF, GRID, STARTS_AT, evening, read

pytestmark = pytest.mark.django_db


def events(action: str) -> list[Event]:
    return list(Event.objects.across_tenants().filter(action=action).order_by("sequence"))


class TestSettleEvent:
    def test_keeps_each_version_and_the_one_it_supersedes(self):
        area, flex_event, run = evening()
        first = settle_event(event=flex_event, run=run, as_of=AS_OF)
        settle_event(event=flex_event, run=run, as_of=AS_OF)
        read(area, 0, [3.0, 3.0, None, None], late=timedelta(days=2))
        second = settle_event(event=flex_event, run=run, as_of=GRID.ends_at + timedelta(days=3))
        before, after = events("settlement.published")
        assert (before.organisation, before.subject) == (area.dno, "settlement of CALL-1 v1")
        assert before.before is None
        assert before.after == {
            "settlement": first.pk,
            "version": 1,
            "as_of": AS_OF.isoformat().replace("+00:00", "Z"),
            "input_sha256": first.input_sha256,
            "n_statement": 2,
            "instructed_kwh": 40.8,
            "delivered_kwh": pytest.approx(6 + 8 + 10 + 7 + 9 + 11),
            "payment_gbp": "12.25",
        }
        assert (after.before, after.after["settlement"]) == (before.after, second.pk)
        assert verify_events().is_intact


class TestMakeProduct:
    def test_keeps_a_product_once(self):
        stated = {"code": "su", "name": "Scheduled Utilisation", "buyer": make_dno(), "valid_from": STARTS_AT}
        product = make_product(**stated)
        assert make_product(**stated) == product
        assert Product.objects.count() == 1
        (event,) = events("product.made")
        assert (event.subject, event.organisation, event.before) == ("product su v1", make_dno(), None)
        assert (event.after["buyer"], event.after["slope"], event.after["grace"]) == ("dno", 3.0, 0.05)
