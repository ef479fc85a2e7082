"""The command that has an area solved by workers, from rows to rows."""

from datetime import date
from io import StringIO

import pytest
from django.core.management import call_command

from aggregator.models import EVSE, NetworkNode
from aggregator.services.forecasts import forecast_area
from dispatch.models import DispatchRun, Setpoint, SolvePart
from dispatch.services.runs import newest_forecast
from markets.services.cycle import day_ahead
from tests.walks.small_area import TARIFF, make_small_area

DAY = date(2026, 1, 15)
AS_OF = day_ahead(DAY)


@pytest.mark.django_db(transaction=True)
def test_stores_the_run_that_one_process_finds(settings):
    settings.CELERY_BROKER_URL = ""  # a job asked for is done by who asks
    area = make_small_area(DAY)
    # One EVSE hangs on the substation itself, five on the street under it: two parts.
    substation = NetworkNode.objects.get(code="street-up")
    EVSE.objects.across_tenants().filter(pk=area.evses[0].pk).update(node=substation)
    forecast_area(area_code="street-up", day=DAY, as_of=AS_OF)
    words = (
        "run_dispatch",
        "--area",
        "street-up",
        "--date",
        str(DAY),
        "--as-of",
        AS_OF.isoformat(),
        "--tariff",
        TARIFF,
    )
    said = StringIO()
    call_command(*words, "--workers", "2", stdout=said)
    assert "certified by parts " in said.getvalue()
    run = DispatchRun.objects.get()
    assert run.iterations >= 2
    assert run.max_violation_kw <= 1e-6
    assert Setpoint.objects.across_tenants().filter(run=run).count() == 6
    assert SolvePart.objects.count() == 0
    assert newest_forecast(area_code="street-up", day=DAY, as_of=AS_OF).runs.get() == run
