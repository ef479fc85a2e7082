import re
from datetime import UTC, date, datetime, time, timedelta
from io import StringIO

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command

from aggregator.core.errors import FlexError
from aggregator.core.timegrid import charging_day, utc
from aggregator.models import Job
from markets.models import CycleRun, SettlementRun
from markets.services.cycle import day_ahead
from tests.walks.small_area import TARIFF, SmallArea, call, make_small_area

pytestmark = pytest.mark.django_db

DAY = date(2026, 1, 15)
GRID = charging_day(DAY)
AS_OF = day_ahead(DAY).isoformat()
SETTLED_AT = (GRID.ends_at + timedelta(hours=2)).isoformat()
AREA = ("--area", "street", "--date", DAY.isoformat())
FORECAST = ("forecast_availability", *AREA, "--as-of", AS_OF)
DISPATCH = ("run_dispatch", *AREA, "--as-of", AS_OF, "--tariff", TARIFF)
DELIVER = ("deliver_day", *AREA)
CYCLE = ("run_cycle", *AREA, "--tariff", TARIFF)
SETTLE = ("settle_event", "CALL-1", "--as-of", SETTLED_AT)


def run(*words: str) -> str:
    """What a command prints, without what a clock says."""
    said = StringIO()
    call_command(*words, stdout=said)
    return re.sub(r"in [0-9.]+ s", "in … s", said.getvalue())


def n_rows() -> dict[str, int]:
    models = [
        model for name in ("aggregator", "dispatch", "markets") for model in apps.get_app_config(name).get_models()
    ]
    return {model.__name__: model._base_manager.count() for model in models}


@pytest.fixture
def street() -> SmallArea:
    area = make_small_area(DAY)
    call(area, utc(DAY, time(17)), utc(DAY, time(19)))
    return area


class TestEachStepAlone:
    def test_says_what_it_made_and_the_same_again(self, street):
        for command, said in (
            (FORECAST, r"forecast of 2026-01-15 as of 2026-01-14 18:00: 6 "),
            (
                DISPATCH,
                r"run \d+ of street for 2026-01-15: cost 4\.08 GBP, .*violation 0\.0e\+00 kW, certified by sparse",
            ),
            (DELIVER, r"6 sessions: 51\.0 of 51\.0 kWh delivered, 0 overridden, 0 absent"),
        ):
            first = run(*command)
            rows = n_rows()
            assert re.search(said, first), first
            assert run(*command) == first
            assert n_rows() == rows

    def test_settles_an_event_twice_with_the_same_result(self, street):
        run(*CYCLE)
        rows = n_rows()
        said = run(*SETTLE)
        assert re.search(r"settlement of CALL-1 v1: 51\.0 of 40\.8 kWh, 12\.25 GBP", said), said
        assert run(*SETTLE) == said
        assert n_rows() == rows

    def test_needs_the_step_before(self, street):
        for command, code in (
            (DISPATCH, "dispatch.no_forecast"),
            (DELIVER, "dispatch.nothing_dispatched"),
            (SETTLE, "settlement.nothing_instructed"),
        ):
            with pytest.raises(FlexError) as refused:
                run(*command)
            assert refused.value.code == code

    @pytest.mark.parametrize(
        ("words", "code"),
        [
            (
                ("forecast_availability", "--area", "nowhere", "--date", "2026-01-15", "--as-of", AS_OF),
                "network.unknown_node",
            ),
            ((*FORECAST[:-1], "2026-01-15T12:00:01Z"), "forecast.too_late"),
            (("settle_event", "NONE", "--as-of", SETTLED_AT), "markets.unknown_event"),
        ],
    )
    def test_refuses_what_is_not_there(self, street, words, code):
        with pytest.raises(FlexError) as refused:
            run(*words)
        assert refused.value.code == code

    @pytest.mark.parametrize("as_of", ["2026-01-14T18:00:00", "yesterday", "2026-13-01T00:00:00Z", ""])
    def test_refuses_a_time_without_an_offset(self, as_of):
        with pytest.raises(CommandError, match="as-of"):
            run(*FORECAST[:-1], as_of)

    @pytest.mark.parametrize("day", ["15.01.2026", "2026-02-30", "tomorrow"])
    def test_refuses_what_is_no_date(self, day):
        with pytest.raises(CommandError, match="date"):
            run("deliver_day", "--area", "street", "--date", day)

    def test_takes_a_time_in_any_offset(self, street):
        assert run(*FORECAST[:-1], "2026-01-14T19:00:00+01:00") == run(*FORECAST)


class TestRunCycle:
    def test_runs_twice_with_the_same_result(self, street):
        run(*CYCLE)
        rows, summary = n_rows(), CycleRun.objects.get().summary
        run(*CYCLE)
        assert n_rows() == rows
        assert CycleRun.objects.get().summary == summary
        assert CycleRun.objects.get().as_of == day_ahead(DAY)

    def test_says_what_is_missing(self):
        with pytest.raises(CommandError, match="--area, --tariff must be given"):
            run("run_cycle", "--date", "2026-01-15")

    def test_takes_what_was_known_at_another_time(self, street):
        as_of = datetime(2026, 1, 15, 6, tzinfo=UTC)
        run(*CYCLE, "--as-of", as_of.isoformat())
        assert CycleRun.objects.get().as_of == as_of


@pytest.mark.django_db(transaction=True)
class TestRunCycleAsAJob:
    def test_leaves_a_done_job_and_a_done_cycle(self, street):
        said = run(*CYCLE, "--as-job")
        job = Job.objects.get()
        assert said == f"job {job.pk} is done\n"
        cycle = CycleRun.objects.get()
        assert (job.state, job.attempts, cycle.state, cycle.as_of) == ("done", 1, "done", day_ahead(DAY))
        assert job.outcome == {"cycle": cycle.pk, "payment_gbp": 12.25}
        assert SettlementRun.objects.count() == 1

    def test_asks_once_however_often_it_is_asked(self, street):
        assert run(*CYCLE, "--as-job") == run(*CYCLE, "--as-job")
        assert (Job.objects.count(), Job.objects.get().attempts, CycleRun.objects.count()) == (1, 1, 1)

    def test_keeps_what_it_was_told_of_the_time(self, street):
        as_of = datetime(2026, 1, 15, 6, tzinfo=UTC)
        run(*CYCLE, "--as-job", "--as-of", as_of.isoformat())
        assert CycleRun.objects.get().as_of == as_of

    def test_leaves_the_reason_in_a_job_that_failed(self, street):
        run(*CYCLE[:-1], "nothing", "--as-job")
        job, cycle = Job.objects.get(), CycleRun.objects.get()
        assert job.state in ("queued", "failed")
        assert "prices.unknown_tariff" in str(job.outcome)
        assert cycle.state == "failed"
