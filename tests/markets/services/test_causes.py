"""Why the small street fell short, kept with its settlement, and what came back after."""

from datetime import date, time, timedelta
from decimal import Decimal

import numpy as np
import pytest
from django.core.management import call_command
from django.db import ProgrammingError, connection, transaction

from aggregator.core.timegrid import charging_day, utc
from aggregator.models import ChargingSession, Finding
from dispatch.models import IssuedSetpoint
from markets.cause_policies import TABLES
from markets.models import ReboundPeriod, ShortfallCause, StatementLine
from markets.services.causes import explained_page
from markets.services.month import settle_month
from markets.services.settlement import settle_event
from tests.markets.services.test_settlement import AS_OF, STARTS_AT, evening, read, statement

pytestmark = pytest.mark.django_db

DAY = date(2026, 1, 15)


def causes(settlement, code: str) -> dict[object, dict[str, Decimal]]:
    """By half-hour what each cause is given of a DSRSP's shortfall."""
    found: dict[object, dict[str, Decimal]] = {}
    rows = ShortfallCause.objects.across_tenants().filter(statement=statement(settlement, code))
    for row in rows.order_by("starts_at"):
        found.setdefault(row.starts_at, {})[row.cause] = row.energy_kwh
    return found


def shortfalls(settlement, code: str) -> dict[object, Decimal]:
    lines = StatementLine.objects.filter(statement=statement(settlement, code)).order_by("starts_at")
    short = {line.starts_at: line.instructed_kwh - line.delivered_kwh for line in lines}
    return {at: kwh for at, kwh in short.items() if kwh > 0}


class TestExplainSettlement:
    def test_gives_an_override_what_it_drew_and_parts_every_shortfall_without_a_rest(self):
        area, event, run = evening()
        read(area, 0, [3.68, 3.68, 0.0, 0.0], late=timedelta(hours=1))
        settlement = settle_event(event=event, run=run, as_of=AS_OF)

        told = causes(settlement, "amber")
        assert {at: sum(parts.values()) for at, parts in told.items()} == shortfalls(settlement, "amber")
        assert told[STARTS_AT].keys() == {"override"}
        assert causes(settlement, "blue") == {}
        shown = explained_page(statement(settlement, "amber").pk)
        assert shown.causes[0].said == "Consumers overrode"
        assert shown.causes[0].most_evses == 1

    def test_takes_one_that_was_never_told_for_offline(self):
        area, event, run = evening()
        IssuedSetpoint.objects.across_tenants().filter(run=run, evse=area.evses[0]).delete()
        read(area, 0, [3.68, 3.68, 0.0, 0.0], late=timedelta(hours=1))
        settlement = settle_event(event=event, run=run, as_of=AS_OF)

        assert causes(settlement, "amber")[STARTS_AT].keys() == {"offline"}

    def test_reports_what_came_back_and_takes_nothing_off(self):
        """After 19:00 the homes, held back until then, draw what they did not; on other days they were full by then."""
        area, event, run = evening()
        after = np.array([3.0, 2.0, 1.0, 0.5])
        read(area, 0, after.tolist(), late=timedelta(hours=1), first=4)
        settlement = settle_event(event=event, run=run, as_of=AS_OF)

        back = ReboundPeriod.objects.across_tenants().filter(statement=statement(settlement, "amber"))
        rows = list(back.order_by("starts_at"))
        assert [row.starts_at for row in rows] == [
            utc(DAY, time(19)) + index * timedelta(minutes=30) for index in range(4)
        ]
        assert all(row.rebound_kwh == row.metered_kwh - row.baseline_kwh for row in rows)
        assert all(row.metered_kwh >= Decimal(str(kwh)) for row, kwh in zip(rows, after.tolist(), strict=True))
        line = StatementLine.objects.get(statement=statement(settlement, "amber"), starts_at=STARTS_AT)
        assert line.delivered_kwh == line.baseline_kwh - line.metered_kwh

    def test_flags_a_car_unplugged_inside_the_notice(self):
        area, event, run = evening()
        ChargingSession.objects.across_tenants().filter(evse=area.evses[1], plug_in_at__date=DAY).update(
            plug_out_at=STARTS_AT + timedelta(hours=1), plug_in_at=STARTS_AT - timedelta(minutes=1)
        )
        settlement = settle_event(event=event, run=run, as_of=charging_day(DAY).ends_at + timedelta(days=2))

        notes = Finding.objects.across_tenants().filter(
            source=f"settlement:{settlement.pk}", code="delivered.unplugged_in_notice"
        )
        assert [(note.subject, note.details) for note in notes] == [("blue", {"n_evse": 1})]

    def test_is_worked_out_later_for_a_month_and_is_the_same(self, capsys):
        area, event, _ = evening()
        read(area, 0, [3.68, 3.68, 0.0, 0.0], late=timedelta(hours=1))
        (settlement,) = settle_month(month=DAY, as_of=AS_OF).settlements
        assert causes(settlement, "amber") == {}
        for said in ("1 settlements", "0 settlements"):
            call_command("explain_settlements", event.signal.reference)
            assert said in capsys.readouterr().out
        told = causes(settlement, "amber")
        assert {at: sum(parts.values()) for at, parts in told.items()} == shortfalls(settlement, "amber")

    @pytest.mark.parametrize("table", TABLES)
    def test_is_never_changed(self, table):
        for act in ("DELETE FROM {}", "UPDATE {} SET starts_at = starts_at"):
            with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
                connection.cursor().execute(act.format(table))
