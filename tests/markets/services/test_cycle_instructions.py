from datetime import date, time

import pytest

from aggregator.core.timegrid import utc
from dispatch.core.assemble import RunParameters
from markets.models import Instruction, SettlementRun
from markets.services.cycle import CycleOrder, run_cycle
from tests.walks.small_area import call, make_small_area

pytestmark = pytest.mark.django_db
DAY = date(2026, 1, 15)


class TestInstructionsOfASettledEvent:
    def test_stand_when_the_day_is_dispatched_anew(self):
        area = make_small_area(DAY)
        call(area, utc(DAY, time(17)), utc(DAY, time(19)))
        first = run_cycle(order=area.order())
        told = list(Instruction.objects.across_tenants().order_by("pk").values())
        asked = area.order()
        anew = CycleOrder(
            asked.area_code,
            asked.day,
            asked.tariff_code,
            asked.as_of,
            asked.now,
            parameters=RunParameters(background_quantile=0.5),
        )

        second = run_cycle(order=anew)

        assert second.run_id != first.run_id
        assert list(Instruction.objects.across_tenants().order_by("pk").values()) == told
        assert {settlement.dispatch_run_id for settlement in SettlementRun.objects.all()} == {told[0]["run_id"]}
