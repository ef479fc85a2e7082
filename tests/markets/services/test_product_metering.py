"""Readings for a product in each time-stamp convention and granularity: one settlement, however they were sent."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import transaction

from aggregator.adapters.bounded import FileRefused
from aggregator.core.reading_form import InvalidReadingForm
from aggregator.core.timegrid import LONDON, charging_day
from aggregator.models import MeterDay
from dispatch.models import TargetSignal
from markets.models import FlexEvent, Instruction, Product, Statement, StatementLine
from markets.services.events import UnknownProduct
from markets.services.product_metering import product_metering
from markets.services.settlement import settle_event
from tests.factories import make_dno, make_evse, make_node, make_organisation
from tests.markets.builders import make_run

pytestmark = pytest.mark.django_db

LONG_AGO, AT_LAST = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
MINUTE, HALF_HOUR = timedelta(minutes=1), timedelta(minutes=30)
FORMS = [(step, stamp) for step in ("half-hour", "minute") for stamp in ("period-start", "period-end")]
# When an event starts in UTC, its hour on London's clock, and the like days before; in the second the clocks go back
# within the event: its half-hours are 01:30 BST and 01:00 GMT.
EVENING = (datetime(2025, 1, 16, 17, tzinfo=UTC), time(17), (date(2025, 1, 15), date(2025, 1, 14)))
CLOCK_CHANGE = (datetime(2025, 10, 26, 0, 30, tzinfo=UTC), time(1), (date(2025, 10, 25), date(2025, 10, 19)))
WHEN = {"evening": EVENING, "clock-change": CLOCK_CHANGE}
N_PERIOD, INSTRUCTED_KW, PRICE = 2, 6.0, Decimal("300.00")


def make_product(granularity: str, stamp: str) -> Product:
    """Pays what was delivered against the mean of the two like days before."""
    return Product.objects.create(
        code="metered",
        name="Metered",
        buyer=make_dno(),
        valid_from=LONG_AGO,
        granularity=granularity,
        timestamp_convention=stamp,
        baseline_method="rolling-10-in-10",
        n_working_days=2,
        n_non_working_days=2,
        n_drop_working=0,
        n_drop_non_working=0,
        adjustment_periods=0,
        min_adjustment_periods=0,
        grace=0.0,
        slope=0.0,
        cutoff=None,
        pays_on="delivered",
        cap="interval",
    )


def called(product: Product, starts_at: datetime) -> FlexEvent:
    """An event of two half-hours, for which one DSRSP with one EVSE is to take 6 kW off."""
    node = make_node("F1", dno=product.buyer)
    evse = make_evse("e", node=node, dsrsp=make_organisation("flexco"))
    signal = TargetSignal(
        reference="CALL-1",
        node=node,
        issued_by=product.buyer,
        starts_at=starts_at,
        ends_at=starts_at + N_PERIOD * HALF_HOUR,
        direction="turn_down",
        kind="routine",
        target_kw=0.0,
        shortfall_gbp_per_kwh=1.0,
        received_at=starts_at - timedelta(days=1),
    )
    signal.save()
    event = FlexEvent.objects.create(signal=signal, product=product, price_gbp_per_mwh=PRICE)
    day = starts_at.date() if starts_at.hour >= 12 else starts_at.date() - timedelta(days=1)
    kw = dict.fromkeys(("instructed_kw", "expected_baseline_kw", "planned_kw"), [INSTRUCTED_KW] * N_PERIOD)
    run = make_run(node, day, charging_day(day))
    Instruction(event=event, organisation=evse.meter.organisation, run=run, **kw).save()
    return event


def minutes_kw(starts_at: datetime, clock: time, history: tuple[date, ...]) -> dict[datetime, float]:
    """Power of each minute, by its start: 3 kWh a half-hour on the days before, 1 and 0.9 kWh in the event.

    The half-hours before and after have other energies: a stamp taken for its period's other end would bring them in.
    """
    event_kw = [1.2] * 30 + [6.0] * 10 + [0.0] * 20 + [6.0] * 9 + [0.0] * 21 + [2.4] * 30
    past_kw = [0.6] * 30 + [6.0] * 60 + [1.8] * 30
    days = [datetime.combine(day, clock, tzinfo=LONDON).astimezone(UTC) for day in history]
    firsts = [(starts_at, event_kw), *((day, past_kw) for day in days)]
    return {first - HALF_HOUR + at * MINUTE: kw for first, power_kw in firsts for at, kw in enumerate(power_kw)}


def written(path: Path, power_kw: dict[datetime, float], granularity: str, stamp: str, sign: int = 1) -> Path:
    """A DSRSP's file of these minutes, or of the half-hours they make."""
    step, values, name = MINUTE, power_kw, "power_kw"
    if granularity == "half-hour":
        step, name = HALF_HOUR, "energy_kwh"
        half_hours = {at for at in power_kw if at.minute % 30 == 0}
        values = {at: round(sum(power_kw[at + n * MINUTE] for n in range(30)) / 60, 6) for at in half_hours}
    ends = stamp == "period-end"
    rows = [
        f"e,{(at + step if ends else at):%Y-%m-%dT%H:%M:%SZ},{sign * value}" for at, value in sorted(values.items())
    ]
    path.write_text("\n".join([f"evse_id,{'period_end_utc' if ends else 'period_start_utc'},{name}", *rows]))
    return path


def import_readings(path: Path, **options: str) -> None:
    call_command("import_readings", str(path), organisation="flexco", stdout=StringIO(), **options)


def settled(event: FlexEvent) -> tuple[str, Decimal, list[tuple[Decimal, Decimal, Decimal]]]:
    """Digest of what was read, payment, and each half-hour's baseline, metered and delivered energy."""
    (instruction,) = Instruction.objects.across_tenants().filter(event=event)
    run = settle_event(event=event, run=instruction.run, as_of=AT_LAST)
    statement = Statement.objects.across_tenants().get(settlement_run=run)
    lines = StatementLine.objects.filter(statement=statement).order_by("ends_at")
    energies = list(lines.values_list("baseline_kwh", "metered_kwh", "delivered_kwh"))
    return run.input_sha256, statement.payment_gbp, energies


# 2.0 and 2.1 kWh at 300 GBP/MWh
ENERGIES = [(Decimal(3), Decimal(1), Decimal(2)), (Decimal(3), Decimal("0.9"), Decimal("2.1"))]
PAYMENT_GBP = Decimal("1.23")


class TestProductMetering:
    @pytest.mark.parametrize("when", sorted(WHEN))
    @pytest.mark.parametrize(("granularity", "stamp"), FORMS)
    def test_says_what_a_file_for_the_product_means(self, tmp_path, granularity, stamp, when):
        product = make_product(granularity, stamp)
        event = called(product, WHEN[when][0])
        import_readings(written(tmp_path / "r.csv", minutes_kw(*WHEN[when]), granularity, stamp), product="metered")

        _, payment_gbp, energies = settled(event)

        assert (energies, payment_gbp) == (ENERGIES, PAYMENT_GBP)

    @pytest.mark.parametrize("when", sorted(WHEN))
    def test_leaves_one_settlement_of_whichever_form_the_sender_states(self, tmp_path, when):
        """Both stamps, both granularities, both signs: not a bit of what is settled differs."""
        event = called(make_product("half-hour", "period-start"), WHEN[when][0])
        found = []
        for convention, sign in (("headroom", 1), ("flexible-power", -1)):
            for granularity, stamp in FORMS:
                path = written(tmp_path / "r.csv", minutes_kw(*WHEN[when]), granularity, stamp, sign)
                with transaction.atomic():
                    import_readings(path, convention=convention, granularity=granularity, stamp=stamp)
                    found.append(settled(event))
                    transaction.set_rollback(True)

        assert len(found) == 8
        assert found == [found[0]] * 8
        assert found[0][1:] == (PAYMENT_GBP, ENERGIES)

    def test_refuses_a_file_of_the_other_convention(self, tmp_path):
        called(make_product("half-hour", "period-end"), EVENING[0])
        path = written(tmp_path / "r.csv", minutes_kw(*EVENING), "half-hour", "period-start")
        with pytest.raises(FileRefused, match="period_end_utc"):
            import_readings(path, product="metered")
        assert not MeterDay.objects.across_tenants().exists()

    def test_leaves_no_room_for_the_sender_to_say_otherwise(self, tmp_path):
        called(make_product("half-hour", "period-end"), EVENING[0])
        path = written(tmp_path / "r.csv", minutes_kw(*EVENING), "minute", "period-end")
        with pytest.raises(InvalidReadingForm, match="those of product metered"):
            import_readings(path, product="metered", granularity="minute")
        with pytest.raises(UnknownProduct, match="'other'"):
            import_readings(path, product="other")
        assert not MeterDay.objects.across_tenants().exists()

    def test_is_of_the_version_in_force(self):
        product = make_product("minute", "period-end")
        with pytest.raises(UnknownProduct):
            product_metering(code=product.code, now=LONG_AGO - MINUTE)
        found = product_metering(code=product.code, now=LONG_AGO)
        assert (found.granularity, found.stamp) == ("minute", "period-end")
