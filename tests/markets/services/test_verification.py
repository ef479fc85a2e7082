# ruff: noqa: S608 - statements are made of the names of our own tables
"""What is said of rows that were changed after a release; ``test_tampering.py`` changes every column there is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import pytest
from django.core.management import CommandError
from django.db import OperationalError

from aggregator.core.types import IntArray
from aggregator.models import MeterDay
from dispatch.models import Setpoint
from markets.arrays import seals
from markets.arrays.seals import DigestedDays, ReadDays, reading_seals
from markets.models import (
    Instruction,
    SettledDay,
    SettlementRun,
    SettlementSeal,
    Statement,
    StatementLine,
    StatementRelease,
)
from markets.services.settlement import settle_event
from markets.services.verification import UnknownStatement, verify_statements
from tests.markets.services.test_settlement import AS_OF, DAY, evening
from tests.markets.tampering import Change, as_owner, release, tampering, verify

pytestmark = [
    pytest.mark.django_db,  # each test's own transaction stands within the module's
    pytest.mark.xdist_group("row security"),  # who may be the application's role is the whole server's to know
]


@dataclass(frozen=True)
class Released:
    settlement: SettlementRun
    amber: Statement


@pytest.fixture(scope="module")
def released(django_db_setup: None, django_db_blocker) -> Iterator[Released]:
    """One evening settled and released; all is taken back at the module's end."""
    with django_db_blocker.unblock(), as_owner():
        _, event, run = evening()
        settlement = settle_event(event=event, run=run, as_of=AS_OF)
        release(settlement)
        statements = Statement.objects.across_tenants().filter(settlement_run=settlement)
        yield Released(settlement, statements.get(organisation__code="amber"))


@pytest.fixture
def tamper(released: Released) -> Iterator[Change]:
    """Change rows as the owner with every trigger off, for one test."""
    with tampering() as change:
        yield change


class TestVerifyStatement:
    def test_agrees_with_what_nobody_touched(self, released):
        assert verify("--all") == (0, "2 statements in 1 settlements, 0 invoices, 0 files: 0 differences\n")
        assert verify(str(released.amber.pk)) == (
            0,
            "2 statements in 1 settlements, 0 invoices, 0 files: 0 differences\n",
        )

    def test_seals_every_kind_at_the_release(self, released):
        sealed = SettlementSeal.objects.filter(settlement_run=released.settlement)
        nothing_of = {"baseline", "trade"}  # nominated, ordered
        assert set(sealed.values_list("kind", flat=True)) == set(SettlementSeal.Kind.values) - nothing_of
        assert sealed.get(kind="readings", part=f"aggregator_meterday {DAY}").n_row > 0

    def test_wants_numbers_or_all(self, released):
        with pytest.raises(CommandError, match="--all"):
            verify()
        with pytest.raises(CommandError, match="--all"):
            verify("1", "--all")
        with pytest.raises(UnknownStatement, match="no statement 987654"):
            verify_statements(statement_pks=[987654])

    def test_calls_nothing_different_while_the_database_is_away(self, released, monkeypatch):
        def away(*_: object) -> None:
            raise OperationalError("the connection is lost")

        monkeypatch.setattr("markets.services.verification._settled_anew", away)
        with pytest.raises(OperationalError):
            verify("--all")


class TestTampering:
    def test_names_a_changed_reading_of_the_event(self, released, tamper):
        meter = MeterDay.objects.across_tenants().filter(day=DAY).first().meter_id
        tamper("UPDATE aggregator_meterday SET energy_kwh[36] = 1.5 WHERE day = %s AND meter_id = %s", DAY, meter)
        code, said = verify("--all")
        assert code == 1
        assert f"readings (aggregator_meterday {DAY}), rows: stored" in said
        assert f"{DAY} period 36, metered_kwh: stored 0.0000, recomputed 1.5000" in said

    def test_names_a_changed_reading_that_moves_no_penny(self, released, tamper):
        """A night's reading of a past day is in no baseline, and is found all the same."""
        day = DAY.replace(day=9)
        tamper("UPDATE aggregator_meterday SET energy_kwh[5] = energy_kwh[5] + 0.0000001 WHERE day = %s", day)
        code, said = verify("--all")
        assert (code, said.count("stored")) == (1, 1)
        assert f"readings (aggregator_meterday {day})" in said

    @pytest.mark.parametrize(
        "statement",
        [
            "DELETE FROM aggregator_meterday WHERE day = '2026-01-08'",
            "UPDATE aggregator_meterday SET received_at = received_at + interval '9 years' WHERE day = '2026-01-08'",
            (
                "INSERT INTO aggregator_meterday SELECT day, meter_id, (SELECT min(id) FROM aggregator_batch), "
                "organisation_id, received_at - interval '1 second', energy_kwh FROM aggregator_meterday "
                "WHERE day = '2026-01-08' LIMIT 1"
            ),
        ],
    )
    def test_names_readings_taken_away_put_off_or_slipped_in(self, released, tamper, statement):
        tamper(statement)
        code, said = verify("--all")
        assert code == 1
        assert "readings (aggregator_meterday 2026-01-08)" in said

    @pytest.mark.parametrize(
        ("table", "change"),
        [
            ("dispatch_dispatchrun", "cost_gbp = cost_gbp + 1"),
            ("dispatch_setpoint", "setpoint_a[10] = 99"),
            ("dispatch_runnode", "limit_kw[1] = 0"),
        ],
    )
    def test_names_a_changed_plan(self, released, tamper, table, change):
        assert Setpoint.objects.across_tenants().exists()
        tamper(f"UPDATE {table} SET {change}")
        code, said = verify("--all")
        assert code == 1
        assert f"plan ({table} " in said

    def test_names_a_changed_instruction(self, released, tamper):
        told = Instruction.objects.across_tenants().get(organisation__code="amber")
        tamper("UPDATE markets_instruction SET instructed_kw[1] = 1 WHERE id = %s", told.pk)
        code, said = verify(str(released.amber.pk))
        assert code == 1
        assert f"instructions (markets_instruction event_id {released.settlement.event_id})" in said
        assert f"{DAY} period 35, instructed_kwh: stored 5.9000, recomputed 0.5000" in said

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE markets_flexevent SET price_gbp_per_mwh = 301",
            "UPDATE dispatch_targetsignal SET target_kw = 6",
        ],
    )
    def test_names_a_changed_event_or_request(self, released, tamper, statement):
        tamper(statement)
        code, said = verify("--all")
        assert code == 1
        assert f"instructions ({statement.split()[1]} id" in said

    @pytest.mark.parametrize("change", ["grace = 0.06", "name = 'Another name'"])
    def test_names_a_changed_product_version(self, released, tamper, change):
        tamper(f"UPDATE markets_product SET {change}")
        code, said = verify("--all")
        assert code == 1
        assert "product (markets_product id" in said

    def test_names_the_figure_of_a_changed_statement(self, released, tamper):
        tamper("UPDATE markets_statement SET payment_gbp = 584.00 WHERE id = %s", released.amber.pk)
        code, said = verify(str(released.amber.pk))
        assert code == 1
        assert f"statement {released.amber.pk} of amber: whole, payment_gbp: stored 584.00, recomputed 5.84" in said

    def test_names_the_half_hour_of_a_changed_line(self, released, tamper):
        line = StatementLine.objects.get(statement=released.amber, period=36)
        tamper("UPDATE markets_statementline SET delivered_kwh = 1 WHERE id = %s", line.pk)
        code, said = verify("--all")
        assert code == 1
        was = f"stored 1.0000, recomputed {line.delivered_kwh}"
        assert f"statement {released.amber.pk} of amber: {DAY} period 36, delivered_kwh: {was}" in said

    def test_names_the_evse_of_a_changed_settled_day(self, released, tamper):
        day = SettledDay.objects.across_tenants().order_by("evse").first()
        changed = [7, *day.baseline_quanta[1:]]
        tamper("UPDATE markets_settledday SET baseline_quanta[1] = 7 WHERE evse_id = %s", day.evse_id)
        code, said = verify("--all")
        assert code == 1
        was, now = (" ".join(map(str, quanta)) for quanta in (changed, day.baseline_quanta))
        assert f"settled days of EVSE {day.evse_id}, baseline_quanta: stored {was}, recomputed {now}" in said

    def test_names_the_evse_of_a_settled_day_that_is_gone(self, released, tamper):
        day = SettledDay.objects.across_tenants().order_by("evse").first()
        tamper("DELETE FROM markets_settledday WHERE evse_id = %s", day.evse_id)
        assert f"settled days of EVSE {day.evse_id}, rows: stored nothing, recomputed settled" in verify("--all")[1]

    def test_names_a_line_and_a_statement_that_are_gone(self, released, tamper):
        tamper("DELETE FROM markets_statementline WHERE statement_id = %s AND period = 35", released.amber.pk)
        assert f"of amber: {DAY} period 35, line: stored nothing, recomputed settled" in verify("--all")[1]
        tamper("DELETE FROM markets_statement WHERE id = %s", released.amber.pk)
        code, said = verify("--all")
        assert code == 1
        assert "statement of amber: stored nothing" in said

    def test_names_the_record_of_a_changed_file(self, released, tamper):
        """The SHA-256 beside it was changed to match: the settlement made anew differs all the same."""
        content = bytes(released.amber.content).replace(b",5.84,", b",9.84,")
        assert content != bytes(released.amber.content)
        tamper(
            "UPDATE markets_statement SET content = %s, sha256 = encode(sha256(%s), 'hex') WHERE id = %s",
            content,
            content,
            released.amber.pk,
        )
        code, said = verify("--all")
        assert code == 1
        assert "5.84" in said
        assert "9.84" in said

    def test_names_who_took_part_where_an_enrolment_was_changed(self, released, tamper):
        tamper(
            "UPDATE aggregator_enrolment SET dsrsp_id = (SELECT id FROM aggregator_organisation WHERE code = 'blue') "
            "WHERE id = (SELECT min(id) FROM aggregator_enrolment)"
        )
        code, said = verify("--all")
        assert code == 1
        assert "input portfolio, sha256" in said

    def test_names_seals_that_were_taken_away(self, released, tamper):
        tamper("DELETE FROM markets_settlementseal")
        code, said = verify("--all")
        assert code == 1
        assert "a released settlement is sealed" in said
        assert StatementRelease.objects.exists()

    def test_names_a_run_that_was_changed(self, released, tamper):
        tamper("UPDATE markets_settlementrun SET as_of = as_of - interval '1 second'")
        code, said = verify("--all")
        assert code == 1
        assert "statements (markets_settlementrun id" in said


def meters() -> IntArray:
    """Keys of the meters that were read on the day."""
    return np.array(sorted(MeterDay.objects.across_tenants().filter(day=DAY).values_list("meter_id", flat=True)))


class TestDigestedDays:
    def test_works_each_day_out_once(self, released, monkeypatch):
        meter_pks = meters()
        days = ReadDays(meter_pks, DAY - timedelta(days=3), DAY - timedelta(days=1), AS_OF)
        longer = replace(days, first_day=DAY - timedelta(days=2), last_day=DAY)
        digested = DigestedDays()
        assert digested.seals(days, ["day", "energy_kwh"]) == reading_seals(days, ["day", "energy_kwh"])

        asked: list[ReadDays] = []

        def counted(span: ReadDays, columns: Sequence[str], table: str) -> list[seals.Seal]:
            asked.append(span)
            return reading_seals(span, columns, table)

        monkeypatch.setattr(seals, "reading_seals", counted)
        assert digested.seals(longer, ["day", "energy_kwh"]) == reading_seals(longer, ["day", "energy_kwh"])
        assert asked == [replace(longer, first_day=DAY)]
        assert len({seal.sha256 for seal in digested.seals(longer, ["day", "energy_kwh"])}) == 3

    def test_keeps_columns_meters_and_times_apart(self, released):
        days = ReadDays(meters(), DAY, DAY, AS_OF)
        others = [replace(days, meter_pks=days.meter_pks[:1]), replace(days, as_of=AS_OF - timedelta(days=90))]
        digested = DigestedDays()
        found = [digested.seals(one, ["energy_kwh"])[0].sha256 for one in (days, *others)]
        assert len({*found, digested.seals(days, ["day", "energy_kwh"])[0].sha256}) == 4
