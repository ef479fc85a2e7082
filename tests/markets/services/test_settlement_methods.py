"""Calls on products whose baseline does not come from past days, instructed and settled."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import numpy as np
import pytest

from aggregator.core.timegrid import charging_day, utc
from aggregator.models import Finding
from dispatch.services.delivery import deliver_day
from dispatch.services.targets import receive_target
from markets.models import Product, ReboundPeriod, Statement, StatementLine
from markets.services.cycle import day_ahead
from markets.services.events import open_event
from markets.services.settlement import instruct_event, settle_event
from tests.markets.services.test_settlement import dispatch
from tests.walks.small_area import make_small_area

pytestmark = pytest.mark.django_db

DAY = date(2026, 1, 15)
LATER = charging_day(DAY).ends_at + timedelta(days=5)
RATED_KW = 7.36


def settled(method: str, **terms):
    """The street of six homes, called from 17:00 to 19:00 under a product with this baseline, delivered and settled."""
    area = make_small_area(DAY)
    Product.objects.create(
        code="other",
        name="Other",
        buyer=area.dno,
        valid_from=datetime(2020, 1, 1, tzinfo=UTC),
        baseline_method=method,
        **terms,
    )
    signal = receive_target(
        reference="CALL-1",
        node_code=area.feeder.code,
        starts_at=utc(DAY, time(17)),
        ends_at=utc(DAY, time(19)),
        direction="turn_down",
        kind="response",
        target_kw=5.0,
        shortfall_gbp_per_kwh=1.0,
        issued_by=area.dno,
        received_at=day_ahead(DAY) - timedelta(hours=3),
    )
    event = open_event(signal=signal, product_code="other", price_gbp_per_mwh=Decimal("300.00"))
    run = dispatch(area)
    told = instruct_event(event=event, run=run)
    deliver_day(run=run, as_of=LATER)
    return told, settle_event(event=event, run=run, as_of=LATER)


def baselines_kwh(settlement):
    lines = StatementLine.objects.filter(statement__settlement_run=settlement)
    return {line.baseline_kwh for line in lines}


class TestSettleEvent:
    @pytest.mark.parametrize(
        ("method", "terms", "kw_a_home"),
        [
            ("asset-capacity", {}, RATED_KW),
            ("fixed-reference", {"baseline_parameters": {"reference_kw": 2.4}}, 2.4),
            ("zero", {}, 0.0),
        ],
    )
    def test_instructs_and_settles_by_the_method_the_product_names(self, method, terms, kw_a_home):
        """Three homes of each DSRSP: their baseline is three times what one is taken to draw."""
        told, settlement = settled(method, **terms)

        np.testing.assert_allclose([one.expected_baseline_kw for one in told], 3 * kw_a_home)
        assert baselines_kwh(settlement) == {Decimal(str(round(1.5 * kw_a_home, 4))).quantize(Decimal("0.0001"))}
        assert settlement.statements.across_tenants().count() == 2
        # What came back is a difference from like days, and this baseline knows none.
        assert not ReboundPeriod.objects.across_tenants().filter(statement__settlement_run=settlement).exists()

    def test_pays_nothing_and_says_why_where_nobody_nominated(self):
        _, settlement = settled("nomination")

        paid = Statement.objects.across_tenants().filter(settlement_run=settlement)
        assert {statement.payment_gbp for statement in paid} == {Decimal(0)}
        assert Finding.objects.across_tenants().filter(code="baseline.none").count() == 2
