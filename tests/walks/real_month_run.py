"""The real month run from the calendar to paid invoices, and put right by a late reading."""

import io
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from django.core.management import call_command

from aggregator.core.meter_energy import ReadingValues
from aggregator.models import EVSE, ControlAct, Finding, Organisation
from aggregator.services.ingest_readings import ingest_readings
from markets.models import FlexEvent, Invoice, LedgerClaim, Product, SettlementRun, Statement, StatementLine
from markets.services.releases import do_release_statements
from markets.services.settlement import instruct_event
from tests.factories import make_organisation
from tests.walks.real_month import CALLS, DSRSPS, MONTH, RealMonth
from tests.walks.real_month_load import dispatch_days, load

CLOSES_AT, CLOSED_AT = datetime(2025, 2, 15, tzinfo=UTC), datetime(2025, 2, 16, tzinfo=UTC)
CORRECTED_AT, RESTATED_AT = datetime(2025, 3, 1, tzinfo=UTC), datetime(2025, 3, 10, tzinfo=UTC)
PUT_RIGHT = "spen-piclo"


@dataclass(frozen=True)
class Walk:
    """What the month came to: its first invoices, those after the late reading, and what the check then said."""

    month: RealMonth
    first: dict[tuple[str, str], Invoice]
    restated: dict[tuple[str, str], Invoice]
    verified: tuple[int, str]
    pack: bytes


def run_all(month: RealMonth, folder: Path) -> Walk:
    """Settle the month in one pass as it closes, invoice, release, pack, correct, restate and check it all.

    The check comes last: it then settles again what was published before the correction, too.
    """
    load(month, folder)
    for run, events in dispatch_days():
        for event in events:
            instruct_event(event=event, run=run)
    words = ("--code", "MONTHLY", "--as-of", CLOSES_AT.isoformat(), "--workers", "1")
    call_command("settle_month", f"{MONTH:%Y-%m}", *words, stdout=io.StringIO())
    first = invoices(CALLS, CLOSED_AT)
    for settlement in standing():
        release(settlement)
    pack = pack_of(folder)
    correct()
    restated = invoices([PUT_RIGHT], RESTATED_AT, "--restate")
    return Walk(month, first, restated, verify(), pack)


def invoices(codes, now: datetime, *words: str) -> dict[tuple[str, str], Invoice]:
    """Issue a month's invoices through the command; returns the newest, by product and DSRSP."""
    words = ("--month", f"{MONTH:%Y-%m}", "--now", now.isoformat(), *words)
    for code in codes:
        call_command("issue_invoices", code, *words, stdout=io.StringIO())
    newest = Invoice.objects.across_tenants().filter(superseded_by=None).select_related("organisation")
    return {(one.product_code, one.organisation.code): one for one in newest}


def standing():
    """Settlements that no later one supersedes."""
    return SettlementRun.objects.filter(superseded_by=None).select_related("event__signal", "event__product")


def release(settlement: SettlementRun) -> None:
    act = ControlAct(
        kind="release_statements",
        organisation=make_organisation("market", "market_operator"),
        subject=str(settlement.pk),
        payload={"settlement": settlement.pk},
        figures={},
        exceeded=[],
        reason="the month's figures are agreed",
        state="done",
        asked_as="person:somebody",
        asked_at=CLOSED_AT,
        expires_at=CLOSED_AT + timedelta(days=1),
    )
    act.save()
    do_release_statements(act=act, now=CLOSED_AT)


def verify() -> tuple[int, str]:
    said = io.StringIO()
    try:
        call_command("verify_statement", "--all", stdout=said)
    except SystemExit as end:
        return int(end.code or 0), said.getvalue()
    return 0, said.getvalue()


def pack_of(folder: Path) -> bytes:
    statement = Statement.objects.across_tenants().filter(settlement_run__in=standing()).order_by("-payment_gbp")[0]
    call_command("evidence_pack", str(statement.pk), str(folder / "pack.zip"), stdout=io.StringIO())
    return (folder / "pack.zip").read_bytes()


def late_event() -> FlexEvent:
    """The last call of the product that is put right."""
    return FlexEvent.objects.filter(product__code=PUT_RIGHT).order_by("signal__starts_at").last()


def correct() -> None:
    """One EVSE's meter turns out to have read 2 kWh more in each of the first two half-hours of a call."""
    starts = np.datetime64(late_event().signal.starts_at.replace(tzinfo=None), "s")
    evses = EVSE.objects.across_tenants().filter(node__code="spen-month", enrolments__dsrsp__code=DSRSPS[0])
    ingest_readings(
        organisation=Organisation.objects.get(code=DSRSPS[0]),
        source="late correction",
        sha256="c" * 64,
        received_at=CORRECTED_AT,
        values=ReadingValues(
            np.full(2, evses.order_by("pk").first().meter_id),
            starts + np.array([0, 1800], dtype="timedelta64[s]"),
            np.array([3.0, 3.0]),
        ),
    )


def report(walk: Walk) -> str:
    """By product: family, baseline, calls, energy instructed, delivered, displaced, and what is invoiced."""
    rows = []
    for code in CALLS:
        product = Product.objects.get(code=code)
        of_it = standing().filter(event__product=product)
        lines = StatementLine.objects.filter(statement__settlement_run__in=of_it)
        claims = LedgerClaim.objects.across_tenants().filter(settlement__in=of_it)
        asked = sum(line.instructed_kwh for line in lines)
        delivered = sum(line.delivered_kwh for line in lines)
        displaced = sum(claim.claimed_kwh - claim.payable_kwh for claim in claims)
        paid = sum(invoice.amount_gbp for (name, _), invoice in walk.first.items() if name == code)
        rows.append(
            f"| {code} | {product.family} | {product.baseline_method} | {of_it.count()} | {asked:.1f} | "
            f"{delivered:.1f} | {displaced:.1f} | {paid} |"
        )
    total = sum(invoice.amount_gbp for invoice in walk.first.values())
    delta = walk.restated[PUT_RIGHT, DSRSPS[0]].delta_gbp
    codes = Finding.objects.across_tenants().filter(source__startswith="dispatches:").values_list("code", flat=True)
    found = {code: list(codes).count(code) for code in sorted(set(codes))}
    words = (f"invoiced {total} GBP, late reading {delta} GBP", walk.verified[1], str(found))
    return "\n".join(["", *rows, *words])
