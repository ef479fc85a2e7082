from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.core.payment import InvalidPayment, PerformanceRule, event_payment, round_gbp
from markets.core.payment_availability import Interval
from markets.core.payment_month import (
    HeldReady,
    MonthTerms,
    PaymentLine,
    SettledEvent,
    month_payment,
    month_performance,
)
from tests.markets.core.rules import ENERGIES, every_month, every_rule

PAYS_AVAILABILITY = MonthTerms(availability_gbp_per_mw_h=Decimal(5))
TWO_EVENTS = (
    SettledEvent("A", Decimal(140), Decimal(130), Decimal(300)),
    SettledEvent("B", Decimal(60), Decimal(60), Decimal(300)),
)


def january(n_day: int = 20, *, mw: str = "0.070") -> HeldReady:
    """Three hours each evening."""
    starts = [datetime(2026, 1, day, 17, tzinfo=UTC) for day in range(1, n_day + 1)]
    return HeldReady("C-1", Decimal(mw), [Interval(at, at + timedelta(hours=3)) for at in starts])


def month(*, events=(), held_ready=(), rule=None, terms=PAYS_AVAILABILITY, previous=None):
    return month_payment(
        events=events,
        held_ready=held_ready,
        rule=rule or PerformanceRule(),
        terms=terms,
        previous_performance=previous,
    )


class TestMonthPerformance:
    def test_weighs_factors_by_the_energy_instructed(self):
        """(140 x 0.935714 + 60 x 1) / 200."""
        assert month_performance(TWO_EVENTS, PerformanceRule()) == Fraction(191, 200)

    def test_takes_the_factor_of_the_mean_delivered_share(self):
        """190 of 200 kWh are within the grace."""
        assert month_performance(TWO_EVENTS, PerformanceRule(), aggregation="month") == 1

    def test_is_none_where_nothing_was_called(self):
        assert month_performance((), PerformanceRule()) is None
        assert month_performance([SettledEvent("A", Decimal(0), Decimal(0), Decimal(1))], PerformanceRule()) is None


class TestMonthPayment:
    def test_pays_availability_whole_where_the_product_says_so(self):
        assert month(held_ready=[january()]).total_gbp == Decimal("21.00")

    def test_scales_availability_by_the_months_performance(self):
        event = SettledEvent("A", Decimal(140), Decimal(130), Decimal(0))
        terms = MonthTerms(availability_gbp_per_mw_h=Decimal(5), availability_factor="month")

        payment = month(events=[event], held_ready=[january()], terms=terms)

        assert payment.availability_factor == Fraction(131, 140)
        assert payment.lines == (
            PaymentLine("utilisation", "A", Decimal("0.00")),
            PaymentLine("availability", "C-1", Decimal("19.65")),
        )

    @pytest.mark.parametrize(
        ("factor", "without_call", "previous", "gbp"),
        [
            ("month", "one", Fraction(1, 2), "21.00"),
            ("month", "previous-month", Fraction(1, 2), "10.50"),
            ("month", "previous-month", None, "21.00"),
            ("previous-month", "one", Fraction(1, 2), "10.50"),
            ("previous-month", "one", None, "21.00"),
            ("one", "previous-month", Fraction(1, 2), "21.00"),
        ],
    )
    def test_says_what_a_month_without_a_call_is_paid(self, factor, without_call, previous, gbp):
        terms = MonthTerms(availability_gbp_per_mw_h=Decimal(5), availability_factor=factor, without_call=without_call)

        assert month(held_ready=[january()], terms=terms, previous=previous).total_gbp == Decimal(gbp)

    def test_pays_every_event_at_the_months_performance_where_the_product_says_so(self):
        by_month = month(events=TWO_EVENTS, terms=MonthTerms(aggregation="month"))
        by_event = month(events=TWO_EVENTS, terms=MonthTerms())

        assert [line.amount_gbp for line in by_month.lines] == [Decimal("42.00"), Decimal("18.00")]
        assert [line.amount_gbp for line in by_event.lines] == [Decimal("39.30"), Decimal("18.00")]

    def test_rounds_once_a_line(self):
        """A published contract: GBP 27,000/MW over 26 events; three of them are 3,115.38, rounded each or together."""
        event_gbp = Decimal(27_000) / 26
        parts = [round_gbp(Fraction(27_000, 26) * share) for share in (Fraction(1, 5), Fraction(4, 5))]
        events = [SettledEvent(name, Decimal(1000), Decimal(1000), round(event_gbp, 6)) for name in "abc"]

        each, together = (month(events=events, terms=MonthTerms(rounding=by)) for by in ("event", "month"))

        assert parts == [Decimal("207.69"), Decimal("830.77")]
        assert [line.amount_gbp for line in each.lines] == [sum(parts)] * 3 == [Decimal("1038.46")] * 3
        assert each.total_gbp == together.total_gbp == Decimal("3115.38")

    def test_rounds_each_event_or_the_month(self):
        events = [SettledEvent(name, Decimal(1), Decimal(1), Decimal(5)) for name in "abc"]

        each, together = (month(events=events, terms=MonthTerms(rounding=by)) for by in ("event", "month"))

        assert (each.total_gbp, together.total_gbp) == (Decimal("0.03"), Decimal("0.02"))
        assert [line.reference for line in together.lines] == [""]

    def test_shows_penalty_and_cap_as_lines(self):
        rule = PerformanceRule(penalty_gbp_per_mwh=Decimal(1000))
        terms = MonthTerms(cap_gbp_per_month=Decimal(50))

        assert month(events=TWO_EVENTS, rule=rule, terms=terms).lines == (
            PaymentLine("utilisation", "A", Decimal("39.30")),
            PaymentLine("penalty", "A", Decimal("-3.00")),
            PaymentLine("utilisation", "B", Decimal("18.00")),
            PaymentLine("cap", "", Decimal("-4.30")),
        )

    def test_refuses_power_held_ready_under_a_product_that_pays_none(self):
        with pytest.raises(InvalidPayment):
            month(held_ready=[january()], terms=MonthTerms())

    @given(
        rule=every_rule(),
        terms=every_month(),
        ordered=st.lists(ENERGIES, min_size=1, max_size=4),
        data=st.data(),
        previous=st.none() | st.fractions(0, 1),
    )
    def test_never_rises_when_delivery_falls_whatever_the_rules(self, rule, terms, ordered, data, previous):
        price = data.draw(st.decimals(0, 6000, places=2))
        delivered = [data.draw(st.decimals(-(10**5), 10**5, places=4)) for _ in ordered]
        missed = [data.draw(st.just(Decimal(0)) | ENERGIES) for _ in ordered]

        def of(energies):
            events = [
                SettledEvent(str(index), asked, got, price)
                for index, (asked, got) in enumerate(zip(ordered, energies, strict=True))
            ]
            return month(events=events, held_ready=[january(2)], rule=rule, terms=terms, previous=previous)

        more, less = of(delivered), of([got - lost for got, lost in zip(delivered, missed, strict=True)])

        assert 0 <= less.total_gbp <= more.total_gbp
        assert more.total_gbp == sum(line.amount_gbp for line in more.lines)
        if terms.cap_gbp_per_month is not None:
            assert more.total_gbp <= terms.cap_gbp_per_month

    @given(rule=every_rule(), delivered=st.lists(st.decimals(-100, 200, places=4), max_size=4))
    def test_is_the_sum_of_the_events_alone_where_nothing_is_of_the_month(self, rule, delivered):
        events = [SettledEvent(str(got), Decimal(140), got, Decimal(300)) for got in delivered]
        alone = [
            event_payment(
                ordered_kwh=Decimal(140), delivered_kwh=got, price_gbp_per_mwh=Decimal(300), rule=rule
            ).payment_gbp
            for got in delivered
        ]

        assert month(events=events, rule=rule, terms=MonthTerms()).total_gbp == sum(alone)
