# ruff: noqa: S608 - statements are made of the names of our own tables
"""Every column of every row that a released statement or an issued invoice depends on: changed, it is found.

One evening is ordered, settled twice (a reading came late), invoiced with power held ready, filed under P375 and
released. Then each column is changed, a row deleted and a row added, with every trigger and constraint off.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.apps import apps
from django.core.exceptions import ObjectDoesNotExist

from aggregator.models import Finding
from dispatch.services.delivery import deliver_day
from dispatch.services.targets import receive_target
from markets.models import (
    FlexOrder,
    Instruction,
    InstructionStop,
    LedgerClaim,
    LedgerDisplacement,
    PrimacyRule,
    Product,
    SettlementRun,
    StackingRule,
    Statement,
)
from markets.services.allocation import build_delivered_file, register_asset
from markets.services.cycle import day_ahead
from markets.services.events import open_event
from markets.services.invoice_check import verify_invoices
from markets.services.invoices import InvoiceOrder, issue_invoices
from markets.services.settlement import instruct_event, settle_event
from markets.services.verify_files import verify_files
from markets.services.verify_seals import other_release, other_rows
from tests.markets.services.test_allocation import boundary_read, facts
from tests.markets.services.test_settlement import AS_OF, DAY, ENDS_AT, LATER, STARTS_AT, dispatch, read
from tests.markets.tampering import Change, as_owner, release, rows_of, tampering, verify
from tests.walks.small_area import SmallArea, make_small_area
from tests.walls.trading_rows import make_contract, make_flex_request, make_market, make_nomination, make_offer
from tests.walls.trading_rows import make_order as make_order_row

pytestmark = [
    pytest.mark.django_db,  # each test's own transaction stands within the module's
    pytest.mark.xdist_group("row security"),  # who may be the application's role is the whole server's to know
]

CLOSED = datetime(2026, 2, 15, tzinfo=UTC)
RELEASED_AT = CLOSED + timedelta(days=1)
OF_AMBER = "statement_id IN (SELECT id FROM markets_statement WHERE settlement_run_id = {released})"
OF_FIRST = "file_id IN (SELECT id FROM markets_deliveredvolumefile)"
# Table -> which of its rows what was published depends on; {released} is the settlement that was released.
ROWS = {
    "aggregator_meterday": f"day = '{DAY}' AND meter_id = (SELECT min(meter_id) FROM aggregator_meterday)",
    "aggregator_batch": "id = (SELECT min(batch_id) FROM aggregator_meterday)",
    "dispatch_dispatchrun": "true",
    "dispatch_runnode": "true",
    "dispatch_runrequest": "true",
    "dispatch_setpoint": "true",
    "dispatch_issuedsetpoint": "true",
    "dispatch_targetsignal": "true",
    "markets_flexevent": "true",
    "markets_instruction": "true",
    "markets_instructionstop": "true",
    "markets_product": "code = 'hold'",
    "markets_nomination": "true",
    "markets_market": "true",
    "markets_flexrequest": "true",
    "markets_flexoffer": "true",
    "markets_offeroption": "true",
    "markets_contract": "true",
    "markets_flexorder": "true",
    "markets_primacyrule": "id = (SELECT min(id) FROM markets_primacyrule)",
    "markets_stackingrule": "id = (SELECT min(id) FROM markets_stackingrule)",
    "markets_ledgerclaim": "settlement_id = {released}",
    "markets_ledgerdisplacement": "true",
    "markets_settlementrun": "id = {released}",
    "markets_settlementlink": "settlement_run_id = {released}",
    "markets_statement": "settlement_run_id = {released}",
    "markets_statementline": OF_AMBER,
    "markets_statementreason": OF_AMBER,
    "markets_shortfallcause": OF_AMBER,
    "markets_reboundperiod": OF_AMBER,
    "markets_settledday": "settlement_run_id = {released}",
    "aggregator_finding": "source = 'settlement:{released}'",
    "markets_settlementseal": "settlement_run_id = {released}",
    "markets_statementrelease": "true",
    "aggregator_controlact": "true",
    "markets_invoice": "true",
    "markets_invoiceline": "true",
    "markets_invoiceseal": "true",
    "markets_deliveredvolumefile": "true",
    "markets_deviationvolume": OF_FIRST,
    "markets_boundaryvolume": OF_FIRST,
    "markets_assetregistration": "valid_to IS NULL",
    "markets_secondaryunit": "true",
}
# Columns that may change without changing what was published, and why.
FREE = {
    # A trade goes on by its deadlines and by later acts; what it states does not.
    ("markets_market", "state"): "suspended or closed later",
    ("markets_flexrequest", "state"): "closes by its deadline",
    ("markets_flexoffer", "state"): "lapses by its deadline",
    ("markets_flexorder", "state"): "is delivered once its window is over",
    ("aggregator_controlact", "outcome"): "written when the act is closed, which its release is part of",
    # Keys of rows that nothing points to.
    ("markets_settlementseal", "id"): "nothing points to a seal",
    ("markets_invoiceseal", "id"): "nothing points to a seal",
    ("markets_statementrelease", "id"): "nothing points to a release",
    ("markets_secondaryunit", "organisation_id"): "whose unit it is stands with the registration and the file",
    ("markets_deviationvolume", "id"): "nothing points to a volume",
    ("markets_boundaryvolume", "id"): "nothing points to a volume",
    ("markets_deliveredvolumefile", "created_at"): "a clock of ours, in nothing that was filed",
    # P375 as filed is worked out again from registrations; what is in no file changes none.
    ("markets_assetregistration", "valid_from"): "another start that is not after the day filed",
}
# Rows that may be added without changing what was published, and why.
ADDED = {
    "aggregator_batch": "a batch says nothing without readings",
    "dispatch_dispatchrun": "another run of the day, under which nobody was instructed",
    "dispatch_targetsignal": "another request",
    "markets_flexevent": "another event",
    "markets_product": "a version is added by every edit",
    "markets_nomination": "this product's baseline is of past days; where it is nominated: test_nominations.py",
    "markets_market": "another market",
    "markets_flexrequest": "another request",
    "markets_flexoffer": "another offer",
    "markets_offeroption": "another option of an offer, not the one ordered",
    "markets_primacyrule": "a rule is changed by a new version",
    "markets_stackingrule": "a rule is changed by a new version",
    "aggregator_controlact": "another act",
    "markets_secondaryunit": "another unit",
}
OTHER_ID = 900_000
# What a copy of a row states otherwise where its key is not one number.
COPIES = {
    "aggregator_meterday": "'{\"energy_kwh\": [9]}'::jsonb || jsonb_build_object('batch_id', (SELECT max(id) FROM "
    "aggregator_batch) + 1, 'received_at', one.received_at - interval '1 second')",
    "markets_invoiceseal": f'\'{{"id": {OTHER_ID}, "part": "markets_product id 0"}}\'',
    "markets_settledday": "jsonb_build_object('settlement_date', one.settlement_date + 1)",
}
# Named by a seal that is of nothing else; and those whose seal looks them up by a row of the first.
SEALED = (
    *(
        "dispatch_dispatchrun",
        "dispatch_runnode",
        "dispatch_runrequest",
        "dispatch_setpoint",
        "dispatch_issuedsetpoint",
    ),
    *("dispatch_targetsignal", "markets_flexevent", "markets_instruction", "markets_product", "markets_nomination"),
    *("markets_market", "markets_flexrequest", "markets_flexoffer", "markets_offeroption", "markets_contract"),
    *("markets_flexorder", "markets_primacyrule", "markets_stackingrule", "markets_ledgerclaim"),
    *("markets_settlementlink", "markets_settledday", "aggregator_finding", "aggregator_controlact"),
    "markets_invoiceline",
)
SEALED_BELOW = (
    *("aggregator_batch", "markets_instructionstop", "markets_ledgerdisplacement", "markets_statementline"),
    *("markets_statementreason", "markets_shortfallcause", "markets_reboundperiod"),
)
OTHERS = tuple(table for table in ROWS if table not in SEALED + SEALED_BELOW)
CHANGED = {
    "bool": "NOT {0}",
    "int2": "coalesce({0}, 0) + 1",
    "int4": "coalesce({0}, 0) + 1",
    "int8": f"coalesce({{0}}, 0) + {OTHER_ID}",
    "numeric": "coalesce({0}, 0) + 0.01",
    "float8": "coalesce({0}, 0) + 0.001",
    "varchar": "CASE {0} WHEN 'x' THEN 'y' ELSE 'x' END",
    "text": "CASE {0} WHEN 'x' THEN 'y' ELSE 'x' END",
    "timestamptz": "coalesce({0}, now()) + interval '1 second'",
    "date": "coalesce({0}, '2026-01-01') + 1",
    "interval": "{0} + interval '1 second'",
    "jsonb": "'{{\"x\": 1}}'",
    "bytea": "{0} || '\\x00'",
}
ELEMENTS = {
    "_int2": "coalesce({0}[1], 0) + 1",
    "_int8": "coalesce({0}[1], 0) + 1",
    "_int4": "coalesce({0}[1], 0) + 1",
    "_float8": "coalesce({0}[1], 0) + 1",
}
TABLES = {model._meta.db_table: model for model in apps.get_models()}


@dataclass(frozen=True)
class Published:
    settlement: SettlementRun

    def where(self, table: str) -> str:
        return ROWS[table].format(released=self.settlement.pk)


def ordered_evening() -> tuple[SmallArea, SettlementRun]:
    """Amber is ordered 20 kW from 17:00 to 19:00 and delivers it, but for a reading that came late."""
    area = make_small_area(DAY)
    amber = area.dsrsps[0]
    product = Product.objects.create(
        code="hold",
        name="Held ready",
        buyer=area.dno,
        family="operational_utilisation_scheduled_availability",
        availability_gbp_per_mw_h=Decimal(5),
        valid_from=datetime(2020, 1, 1, tzinfo=UTC),
    )
    signal = receive_target(
        reference="CALL-1",
        node_code=area.feeder.code,
        starts_at=STARTS_AT,
        ends_at=ENDS_AT,
        direction="turn_down",
        kind="response",
        target_kw=20.0,
        shortfall_gbp_per_kwh=1.0,
        issued_by=area.dno,
        received_at=day_ahead(DAY) - timedelta(hours=3),
    )
    event = open_event(signal=signal, product_code="hold", price_gbp_per_mwh=Decimal("300.00"))
    market = make_market("evenings", area.dno, product=product)
    span = {"starts_at": STARTS_AT, "ends_at": ENDS_AT, "requested_kw": [20.0] * 4}
    option = make_offer("A/1", make_flex_request("R/1", market, area.feeder, **span), amber)
    order = make_order_row("O/1", option)
    FlexOrder.objects.across_tenants().filter(pk=order.pk).update(event=event)
    contract = make_contract("C/1", market, amber)
    type(contract).objects.across_tenants().filter(pk=contract.pk).update(state="in_force")
    make_nomination(product, amber, area.feeder, settlement_date=DAY)
    run = dispatch(area)
    instruct_event(event=event, run=run)
    deliver_day(run=run, as_of=LATER)
    told = Instruction.objects.across_tenants().get(event=event)
    InstructionStop(
        instruction=told, organisation=amber, stopped_at=ENDS_AT, recorded_at=ENDS_AT, by="person:x", reason="over"
    ).save()
    settle_event(event=event, run=run, as_of=AS_OF)
    read(area, 0, [3.0, 3.0, None, None], late=timedelta(days=2))
    issue_invoices(InvoiceOrder(product_code="hold", month=date(2026, 1, 1), now=CLOSED, cutoff_day=15))
    return area, SettlementRun.objects.get(code="MONTHLY")


def kept_beside(settlement: SettlementRun) -> None:
    """What this evening has none of: a displaced claim, a finding, rules."""
    amber = Statement.objects.across_tenants().get(settlement_run=settlement).organisation
    claim = LedgerClaim.objects.across_tenants().filter(settlement=settlement).order_by("starts_at").first()
    LedgerDisplacement.objects.create(
        claim=claim,
        by_product=settlement.event.product,
        by_event=settlement.event,
        reason="primacy",
        displaced_party_settlement="void",
        displaced_kwh=Decimal(1),
    )
    Finding(
        code="settlement.test",
        severity="info",
        subject="amber",
        message="odd",
        source=f"settlement:{settlement.pk}",
        organisation=amber,
        noticed_at=CLOSED,
    ).save()
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    rule = {"source": "by hand", "valid_from": long_ago}
    PrimacyRule.objects.create(code="one", product_hi="hold", product_lo="su", **rule)
    StackingRule.objects.create(code="one", kind="splitting", service_a="hold", service_b="su", is_allowed=True, **rule)


@pytest.fixture(scope="module")
def published(django_db_setup: None, django_db_blocker) -> Iterator[Published]:
    """Everything there is, released; all is taken back at the module's end."""
    with django_db_blocker.unblock(), as_owner():
        area, settlement = ordered_evening()
        kept_beside(settlement)
        boundary_read(area, "boundary-0", [4.1, 1.0, 0.5, 0.25])
        register_asset(organisation=area.dsrsps[0], facts=facts(area, 0, boundary_meter="boundary-0"), now=AS_OF)
        build_delivered_file(organisation=area.dsrsps[0], day=DAY, as_of=LATER)
        release(settlement, RELEASED_AT)
        yield Published(settlement)


def columns_of(table: str) -> list[str]:
    """Columns of a table that may not change."""
    columns = [field.column for field in TABLES[table]._meta.concrete_fields if field.column]
    return [column for column in columns if (table, column) not in FREE]


def change_column(change: Change, table: str, column: str, where: str) -> None:
    """Make a column something else in the first of the rows, whatever its type."""
    ((kind,),) = rows_of(
        "SELECT udt_name::text FROM information_schema.columns WHERE table_name = %s AND column_name = %s",
        table,
        column,
    )
    if kind.startswith("_"):
        said = f"{column}[1] = {ELEMENTS.get(kind, repr('x')).format(column)}"
    else:
        said = f"{column} = {CHANGED[kind].format(column)}"
    ((first,),) = rows_of(f"SELECT min(ctid)::text FROM {table} WHERE {where}")
    change(f"UPDATE {table} SET {said} WHERE ctid = '{first}' AND {where}")


def add_copy(change: Change, table: str, where: str) -> None:
    other = COPIES.get(table, f"jsonb_build_object('id', {OTHER_ID})")
    change(
        f"INSERT INTO {table} SELECT (jsonb_populate_record(one, {other})).* FROM {table} AS one WHERE {where} LIMIT 1"
    )


def found() -> bool:
    code, said = verify("--all")
    assert code == (said.count("\n") > 1)
    return code == 1


def named(tables: Iterable[str], said: str) -> list[str]:
    """Those of these tables that a difference names."""
    return [table for table in tables if re.search(rf"\b{table} ", said)]


def of_files() -> bool:
    return bool(verify_files()[1])


def of_invoices() -> bool:
    return bool(verify_invoices()[1])


# Which part of the command finds a changed column of these; the others' need all of it.
CHECKS = {
    **dict.fromkeys(("markets_deliveredvolumefile", "markets_deviationvolume", "markets_boundaryvolume"), of_files),
    **dict.fromkeys(("markets_assetregistration", "markets_secondaryunit"), of_files),
    **dict.fromkeys(("markets_invoice", "markets_invoiceseal"), of_invoices),
}


class TestPublished:
    def test_agrees_where_nobody_touched_it(self, published):
        assert verify("--all") == (0, "2 statements in 2 settlements, 1 invoices, 1 files: 0 differences\n")

    @pytest.mark.parametrize("table", ROWS)
    def test_stands_on_a_row_of_each_table(self, published, table):
        ((n_row,),) = rows_of(f"SELECT count(*) FROM {table} WHERE {published.where(table)}")
        assert n_row

    def test_stands_on_every_table_of_ours(self):
        """A table is tampered with here, or said here to hold nothing that is published."""
        beside = {
            "markets_cyclenode",  # what a control room was shown
            "markets_cyclerun",  # which cycle made a run
            # who is to be spared from now on; who was spared stands with the request: test_control_groups.py
            *("markets_controlgroup", "markets_controlgroupmember"),
            "markets_runcode",  # what runs may be called from now on
        }
        ours = {table for table, model in TABLES.items() if model._meta.app_label == "markets"}
        assert ours - set(ROWS) == beside


def of_seals(published: Published) -> str:
    """What the command says of seals and acts, without settling anew."""
    settlement = SettlementRun.objects.get(pk=published.settlement.pk)
    said = list(map(str, [*other_rows(settlement, None), *verify_invoices()[1]]))
    with contextlib.suppress(ObjectDoesNotExist):  # the request's row, which gives a settlement its name
        said += map(str, other_release(settlement))
    return "\n".join(said)


def of_all(_published: Published) -> str:
    return verify("--all")[1]


class TestSealedRows:
    """Tables with seals of their own are changed together, one column of each at a time: each has to be named."""

    @pytest.mark.parametrize(("tables", "said"), [(SEALED, of_seals), (SEALED_BELOW, of_all)], ids=["sealed", "below"])
    def test_are_named_whichever_column_was_changed(self, published, tables, said):
        left = {table: columns_of(table) for table in tables}
        missed = []
        while any(left.values()):
            with tampering(unbound=True) as change:
                now = {table: columns.pop() for table, columns in left.items() if columns}
                for table, column in now.items():
                    change_column(change, table, column, published.where(table))
                missed += [(table, now[table]) for table in sorted(set(now) - set(named(now, said(published))))]
        assert missed == []

    @pytest.mark.parametrize("tables", [SEALED, SEALED_BELOW], ids=["sealed", "below"])
    def test_are_named_where_one_was_deleted(self, published, tables):
        with tampering(unbound=True) as change:
            for table in tables:
                change(f"DELETE FROM {table} WHERE {published.where(table)}")
            assert named(tables, verify("--all")[1]) == list(tables)

    @pytest.mark.parametrize("tables", [SEALED, SEALED_BELOW], ids=["sealed", "below"])
    def test_are_named_where_one_was_added(self, published, tables):
        added = [table for table in tables if table not in ADDED]
        with tampering(unbound=True) as change:
            for table in added:
                add_copy(change, table, published.where(table))
            assert named(added, verify("--all")[1]) == added


class TestOtherRows:
    @pytest.mark.parametrize("table", OTHERS)
    def test_are_found_whichever_column_was_changed(self, published, table):
        missed = []
        for column in columns_of(table):
            with tampering(unbound=True) as change:
                change_column(change, table, column, published.where(table))
                if not CHECKS.get(table, found)():
                    missed.append(column)
        assert missed == []

    @pytest.mark.parametrize("table", OTHERS)
    def test_are_found_where_one_was_deleted(self, published, table):
        with tampering(unbound=True) as change:
            change(f"DELETE FROM {table} WHERE {published.where(table)}")
            assert found()

    @pytest.mark.parametrize("table", [table for table in OTHERS if table not in ADDED])
    def test_are_found_where_one_was_added(self, published, table):
        with tampering(unbound=True) as change:
            add_copy(change, table, published.where(table))
            assert found()


class TestFreeColumns:
    def test_are_excused_only_where_nothing_is_found(self, published):
        with tampering(unbound=True) as change:
            for table, column in FREE:
                change_column(change, table, column, published.where(table))
            assert not found(), verify("--all")

    def test_and_added_rows_are_excused_only_where_nothing_is_found(self, published):
        with tampering(unbound=True) as change:
            for table in ADDED:
                add_copy(change, table, published.where(table))
            assert not found(), verify("--all")


class TestWhoTakesPart:
    """Rows that a settlement looks up: what of them it reads."""

    @pytest.mark.parametrize(
        "statement",
        [
            (
                "UPDATE aggregator_enrolment SET dsrsp_id = (SELECT max(id) FROM aggregator_organisation) "
                "WHERE evse_id = (SELECT min(id) FROM aggregator_evse)"
            ),
            (
                f"UPDATE aggregator_enrolment SET starts_at = '{STARTS_AT + timedelta(hours=1)}' "
                "WHERE evse_id = (SELECT min(id) FROM aggregator_evse)"
            ),
            (
                f"UPDATE aggregator_enrolment SET ends_at = '{STARTS_AT}' "
                "WHERE evse_id = (SELECT min(id) FROM aggregator_evse)"
            ),
            "DELETE FROM aggregator_enrolment WHERE evse_id = (SELECT min(id) FROM aggregator_evse)",
            (
                "UPDATE aggregator_evse SET meter_id = (SELECT max(id) FROM aggregator_meter) "
                "WHERE id = (SELECT min(id) FROM aggregator_evse)"
            ),
            "UPDATE aggregator_organisation SET code = 'ambre' WHERE code = 'amber'",
            "UPDATE aggregator_networknode SET code = 'road' WHERE code = 'street'",
            "UPDATE aggregator_networknode SET parent_id = NULL WHERE code = 'street-A'",
        ],
    )
    def test_is_found_where_it_was_changed(self, published, statement):
        with tampering(unbound=True) as change:
            change(statement)
            assert found()
