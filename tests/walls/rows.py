"""Rows in every protected table, each stated with who reads it: in names of organisations, not in words of policies.

Amber and blue are DSRSPs, idle one without anything; north and south are DNOs, elx is a market operator, headroom the
platform. Amber is at home in the north, blue in the south; blue took over one EVSE of amber's and amber is to take over
one of blue's. South buys what north asks for and the other way round, so that asking, buying and owning are told apart.
"""

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.contrib.auth.models import User
from django.db import connection, models
from django.utils import timezone

from aggregator.models import (
    EVSE,
    AvailabilityForecast,
    Batch,
    ChargingSession,
    ControlAct,
    Enrolment,
    EvseForecast,
    EvseIdentity,
    Finding,
    FleetUpload,
    GroupForecast,
    IdempotentRequest,
    Job,
    Meter,
    MeterDay,
    NetworkNode,
    NodeRating,
    Organisation,
)
from aggregator.services.event_log import record_event
from dispatch.models import (
    DispatchRun,
    IssuedSetpoint,
    PartRound,
    RunNode,
    RunRequest,
    Setpoint,
    SolvePart,
    TargetSignal,
)
from markets.models import (
    AssetRegistration,
    BoundaryVolume,
    CycleNode,
    CycleRun,
    DeliveredVolumeFile,
    DeviationVolume,
    FlexEvent,
    Instruction,
    Invoice,
    InvoiceLine,
    InvoiceSeal,
    LedgerClaim,
    LedgerDisplacement,
    Product,
    ReboundPeriod,
    SecondaryUnit,
    SettledDay,
    SettlementLink,
    SettlementRun,
    SettlementSeal,
    ShortfallCause,
    Statement,
    StatementLine,
    StatementReason,
    StatementRelease,
)
from tests.factories import LONG_AGO, make_enrolment, make_evse, make_meter, make_node, make_organisation
from tests.walls.trading_rows import make_trading

KINDS = {
    "amber": "dsrsp",
    "blue": "dsrsp",
    "idle": "dsrsp",
    "north": "dno",
    "south": "dno",
    "elx": "market_operator",
    "headroom": "platform",
}
DSRSPS = ("amber", "blue", "idle")
DNOS = ("north", "south")
DAY = date(2026, 1, 14)
NOON = datetime(2026, 1, 14, 12, tzinfo=UTC)
FLAT = [0.0] * 48


class Rows:
    """Organisations, and by model who reads each row."""

    def __init__(self) -> None:
        self.organisations: dict[str, Organisation] = {
            code: make_organisation(code, kind) for code, kind in KINDS.items()
        }
        self.readers: dict[type[models.Model], dict[object, frozenset[str]]] = defaultdict(dict)

    def read_by(self, row: models.Model, *names: str) -> None:
        assert set(names) <= set(KINDS)
        self.readers[type(row)][row.pk] = frozenset(names)

    def seen_by(self, model: type[models.Model], name: str) -> set[object]:
        """Keys of the rows an audience is to see; ``work`` sees all and ``nobody`` none."""
        return {pk for pk, names in self.readers[model].items() if name == "work" or name in names}

    def __getattr__(self, code: str) -> Organisation:
        return self.organisations[code]


def make_rows() -> Rows:
    """Rows of everything; log in so that all of it may be written."""
    rows = Rows()
    nodes = _network(rows)
    evses = _fleet(rows, nodes)
    batches = _deliveries(rows)
    _readings(rows, evses, batches)
    forecasts = _forecasts(rows, nodes, evses)
    _records(rows, batches)
    signals = _requests(rows, nodes)
    runs = _runs(rows, nodes, evses, forecasts, signals)
    settlements = _settlements(rows, signals, runs)
    _cycles(rows, nodes, runs, settlements)
    make_trading(rows, nodes)
    _volumes(rows, evses)
    return rows


def _volumes(rows: Rows, evses: dict[str, EVSE]) -> None:
    """What amber and blue registered and filed: nobody's but theirs."""
    for index, owner in enumerate(("amber", "blue")):
        organisation = rows.organisations[owner]
        unit = SecondaryUnit(organisation=organisation, bm_unit_id=f"V__{owner.upper()}", gsp_group_id="_A")
        unit.save()
        registration = AssetRegistration(
            organisation=organisation,
            unit=unit,
            meter=evses[owner].meter,
            import_amsid=f"{index:013d}",
            import_msid="1" * 13,
            supplier_id="X",
            max_import_kw=7.4,
            valid_from=DAY,
        )
        registration.save()
        file = DeliveredVolumeFile(
            organisation=organisation,
            settlement_date=DAY,
            sequence=1,
            as_of=NOON,
            input_sha256="8" * 64,
            content=b"ZHD",
            sha256="9" * 64,
            n_volume=1,
            total_mwh=Decimal(0),
            residual_kwh=Decimal(0),
        )
        file.save()
        of_file = {"file": file, "organisation": organisation, "period": 37}
        kwh = dict.fromkeys(["baseline_kwh", "metered_kwh", "deviation_kwh", "filed_mwh"], Decimal(0))
        deviation = DeviationVolume(**of_file, registration=registration, **kwh)
        boundary = BoundaryVolume(**of_file, import_msid="1" * 13, supplier_id="X", secondary_kwh=Decimal(0))
        for row in (deviation, boundary):
            row.save()
        for row in (unit, registration, file, deviation, boundary):
            rows.read_by(row, owner, "headroom")


def _network(rows: Rows) -> dict[str, NetworkNode]:
    """Two feeders a DNO; the other DNO buys what is asked for at ``…-asked``, and the market reads it."""
    nodes = {}
    for dno, other in (("north", "south"), ("south", "north")):
        for name, further in (("plain", ()), ("asked", (other, "elx"))):
            node = make_node(f"{dno}-{name}", dno=rows.organisations[dno])
            nodes[node.code] = node
            rows.read_by(node.parent, dno, "headroom", *DSRSPS)
            rows.read_by(node, dno, "headroom", *DSRSPS, *further)
    for rating in NodeRating.objects.select_related("node__organisation"):
        rows.read_by(rating, rating.node.organisation.code, "headroom")
    return nodes


def _fleet(rows: Rows, nodes: dict[str, NetworkNode]) -> dict[str, EVSE]:
    yesterday, tomorrow = timezone.now() - timedelta(days=1), timezone.now() + timedelta(days=1)
    evses = {
        "amber": make_evse("amber", node=nodes["north-plain"], dsrsp=rows.amber),
        "blue": make_evse("blue", node=nodes["south-plain"], dsrsp=rows.blue),
        "taken": make_evse("taken", node=nodes["north-plain"], dsrsp=rows.amber, enrolled_to=yesterday),
        "coming": make_evse("coming", node=nodes["south-plain"], dsrsp=rows.blue, enrolled_to=tomorrow),
        "left": make_evse("left", node=nodes["south-plain"], dsrsp=rows.amber, enrolled_to=yesterday),
    }
    make_enrolment(evses["taken"], rows.blue, yesterday)
    make_enrolment(evses["coming"], rows.amber, tomorrow)
    Meter.objects.across_tenants().filter(evse=evses["taken"]).update(organisation=rows.blue)
    for name, *readers in (
        ("amber", "amber", "north"),
        ("blue", "blue", "south"),
        ("taken", "amber", "blue", "north"),
        ("coming", "amber", "blue", "south"),
        ("left", "amber", "south"),
    ):
        rows.read_by(evses[name], *readers, "headroom")
    now_with = {"amber": ["amber"], "blue": ["blue"], "taken": ["blue"], "coming": ["blue"], "left": []}
    for name, readers in now_with.items():
        rows.read_by(EvseIdentity.objects.across_tenants().get(evse=evses[name]), *readers)
    for name, owner in {"amber": "amber", "blue": "blue", "taken": "blue", "coming": "blue", "left": "amber"}.items():
        rows.read_by(Meter.objects.across_tenants().get(evse=evses[name]), owner)
    for enrolment in Enrolment.objects.across_tenants().select_related("dsrsp"):
        rows.read_by(enrolment, enrolment.dsrsp.code)
    return evses


def _deliveries(rows: Rows) -> dict[str, Batch]:
    batches = {}
    for code, organisation in rows.organisations.items():
        batches[code] = Batch.objects.create(
            kind="readings", organisation=organisation, source="file", sha256="1" * 64, received_at=NOON
        )
        rows.read_by(batches[code], code, "headroom")
    return batches


def _readings(rows: Rows, evses: dict[str, EVSE], batches: dict[str, Batch]) -> None:
    monitors = {dno: make_meter(f"{dno}-monitor", "feeder", organisation=rows.organisations[dno]) for dno in DNOS}
    for dno, meter in monitors.items():
        rows.read_by(meter, dno)
    measured = [
        (evses["amber"].meter, "amber", DAY),
        (evses["taken"].meter, "amber", DAY),
        (evses["taken"].meter, "blue", date(2026, 2, 1)),
        (evses["blue"].meter, "blue", DAY),
        *((meter, dno, DAY) for dno, meter in monitors.items()),
    ]
    for meter, owner, day in measured:
        with connection.cursor() as cursor:
            cursor.execute("SELECT aggregator_meterday_partition(%s)", [day])
        reading = MeterDay(
            day=day,
            meter=meter,
            batch=batches[owner],
            organisation=rows.organisations[owner],
            received_at=NOON,
            energy_kwh=FLAT,
        )
        reading.save(force_insert=True)
        rows.read_by(reading, owner)
    for evse, owner in (("amber", "amber"), ("taken", "amber"), ("blue", "blue")):
        session = ChargingSession(
            evse=evses[evse],
            organisation=rows.organisations[owner],
            session_ref=f"{evse}-{owner}",
            plug_in_at=NOON,
            plug_out_at=NOON + timedelta(hours=8),
            energy_kwh=5.0,
            received_at=NOON,
            batch=batches[owner],
        )
        session.save()
        rows.read_by(session, owner)


def _forecasts(rows: Rows, nodes: dict[str, NetworkNode], evses: dict[str, EVSE]) -> dict[str, AvailabilityForecast]:
    """Amber and blue are expected in the north, blue alone in the south."""
    forecasts = {}
    for dno, dsrsps in (("north", {"amber": "amber", "blue": "taken"}), ("south", {"blue": "blue"})):
        forecast = AvailabilityForecast.objects.create(
            charging_day=DAY,
            area=nodes[f"{dno}-plain"],
            as_of=NOON,
            starts_at=NOON,
            n_period=48,
            method="test",
            rule={},
            input_sha256="2" * 64,
            quantiles=[0.5],
            n_session_known=1,
        )
        forecasts[dno] = forecast
        rows.read_by(forecast, dno, *dsrsps, "headroom")
        for dsrsp, evse in dsrsps.items():
            shared = {"forecast": forecast, "organisation": rows.organisations[dsrsp]}
            expected = EvseForecast(
                evse=evses[evse],
                probability=0.5,
                plug_in_h=[6.0],
                plug_out_h=[19.0],
                energy_quantiles_kwh=[5.0],
                start_period=12,
                end_period=38,
                energy_kwh=5.0,
                **shared,
            )
            group = GroupForecast(group=f"{dsrsp}/x", n_evse=1, quantiles=[0.5], plugged_in=[FLAT], **shared)
            for row in (expected, group):
                row.save()
                rows.read_by(row, dsrsp)
    return forecasts


def _records(rows: Rows, batches: dict[str, Batch]) -> None:
    """What every organisation has of its own, and what is nobody's."""
    for code in (*KINDS, None):
        organisation = rows.organisations.get(code) if code else None
        own = [code] if code else []
        finding = Finding(
            code="test", severity="info", subject="x", message="odd", organisation=organisation, noticed_at=NOON
        )
        finding.save()
        rows.read_by(finding, *own, "headroom")
        event = record_event(action="test", subject=f"of {code}", organisation=organisation, at=NOON)
        rows.read_by(event, *own, "headroom")
    for code, organisation in rows.organisations.items():
        rows.read_by(_control_act(organisation), code, "headroom")
        request = IdempotentRequest(organisation=organisation, key=code, request_sha256="4" * 64, asked_at=NOON)
        request.save()
        rows.read_by(request, code)
    person = User.objects.create(username="bringer")
    for code in ("amber", "blue"):
        upload = FleetUpload(
            organisation=rows.organisations[code],
            uploaded_by=person,
            file_name="fleet.csv",
            content=b"x",
            sha256="5" * 64,
            uploaded_at=NOON,
            batch=batches[code],
        )
        upload.save()
        rows.read_by(upload, code)
    rows.read_by(Job.objects.create(kind="test", due_at=NOON, created_at=NOON), "headroom")
    part = SolvePart.objects.create(solve=UUID(int=1), number=0, problem=b"x", created_at=NOON)
    for row in (part, PartRound.objects.create(part=part, number=0, ask=b"x")):
        rows.read_by(row)  # the work's alone


def _control_act(organisation: Organisation) -> ControlAct:
    act = ControlAct(
        kind="change_limits",
        organisation=organisation,
        subject="x",
        payload={},
        figures={},
        reason="test",
        state="pending",
        asked_as="person:x",
        asked_at=NOON,
        expires_at=NOON + timedelta(days=1),
    )
    act.save()
    return act


def _requests(rows: Rows, nodes: dict[str, NetworkNode]) -> dict[str, TargetSignal]:
    """``north`` and ``south`` are bought by the other, ``own`` by who asked, ``plain`` is under no product."""
    signals = {}
    for name, asker, node, *readers in (
        ("north", "north", "north-asked", "amber", "blue", "south", "elx"),
        ("south", "south", "south-asked", "blue", "north", "elx"),
        ("own", "north", "north-asked", "amber", "elx"),
        ("plain", "north", "north-plain"),
    ):
        signals[name] = TargetSignal.objects.create(
            reference=name,
            node=nodes[node],
            starts_at=NOON + timedelta(hours=6),
            ends_at=NOON + timedelta(hours=8),
            direction="turn_down",
            kind="routine",
            target_kw=20,
            shortfall_gbp_per_kwh=1,
            issued_by=rows.organisations[asker],
            received_at=NOON,
        )
        rows.read_by(signals[name], asker, "headroom", *readers)
    return signals


def _runs(
    rows: Rows,
    nodes: dict[str, NetworkNode],
    evses: dict[str, EVSE],
    forecasts: dict[str, AvailabilityForecast],
    signals: dict[str, TargetSignal],
) -> dict[str, DispatchRun]:
    figures = ["cost_gbp", "cost_energy_gbp", "cost_unserved_gbp", "cost_shortfall_gbp", "cost_ramp_gbp", "solve_s"]
    figures += ["unavoidable_gbp", "lower_bound_gbp", "gap", "rounding_cost_gbp", "max_violation_kw"]
    runs = {}
    for dno, planned in (("north", {"amber": "amber", "blue": "taken"}), ("south", {"blue": "blue"})):
        run = DispatchRun.objects.create(
            area=nodes[f"{dno}-plain"],
            charging_day=DAY,
            forecast=forecasts[dno],
            as_of=NOON,
            starts_at=NOON,
            n_period=48,
            period_minutes=30,
            parameters={},
            input_sha256="3" * 64,
            method="reference",
            rung="certified",
            iterations=1,
            **dict.fromkeys(figures, 0.0),
        )
        runs[dno] = run
        rows.read_by(run, dno, *planned, "headroom")
        arrays = ["background_kw", "reserve_kw", "limit_kw", "planned_kw", "ceiling_kw", "price_gbp_per_kwh"]
        loading = RunNode.objects.create(run=run, node=run.area, rating_kw=90, **dict.fromkeys(arrays, FLAT))
        asked = RunRequest.objects.create(
            run=run, signal=signals[dno], start_period=12, end_period=16, planned_kw=[0.0] * 4, shortfall_kw=[0.0] * 4
        )
        for row in (loading, asked):
            rows.read_by(row, dno, "headroom")
        for dsrsp, evse in planned.items():
            shared = {"run": run, "evse": evses[evse], "organisation": rows.organisations[dsrsp]}
            ceiling = {"setpoint_a": [0] * 48, "ampere_kw": 0.23}
            window = {"start_period": 12, "end_period": 38, "energy_kwh": 5, "planned_a": [0] * 48}
            left = {"unserved_kwh": 0, "unserveable_kwh": 0}
            for row in (Setpoint(**shared, **ceiling, **window, **left), IssuedSetpoint(**shared, **ceiling)):
                row.save()
                rows.read_by(row, dsrsp, dno, "headroom")
    return runs


def _settlements(
    rows: Rows, signals: dict[str, TargetSignal], runs: dict[str, DispatchRun]
) -> dict[str, SettlementRun]:
    """In the north both DSRSPs have statements and no instruction; ``own`` was instructed and not yet settled."""
    readers = {"north": ("south", "elx"), "south": ("north", "elx"), "own": ("north", "elx")}
    involved = {"north": ("amber", "blue"), "south": ("blue",), "own": ("amber",)}
    askers = {"north": ("north",), "south": ("south",), "own": ("north",)}
    buyers = {"north": rows.south, "south": rows.north, "own": rows.north}
    settlements = {}
    for name, signal in signals.items():
        if name == "plain":
            continue
        product = Product.objects.create(code=f"su-{name}", name="SU", buyer=buyers[name], valid_from=LONG_AGO)
        event = FlexEvent.objects.create(product=product, signal=signal, price_gbp_per_mwh=Decimal(300))
        rows.read_by(event, *involved[name], *askers[name], *readers[name], "headroom")
        if name != "north":
            _instruction(rows, event, runs["north" if name == "own" else name], involved[name][0], readers[name])
        if name != "own":
            settlement = _settlement(event, runs[name])
            settlements[name] = settlement
            rows.read_by(settlement, *involved[name], *readers[name], "headroom")
            for dsrsp in involved[name]:
                _statement(rows, settlement, dsrsp, readers[name])
            act = _control_act(rows.elx)
            rows.read_by(act, "elx", "headroom")
            release = StatementRelease.objects.create(settlement_run=settlement, act=act, released_at=NOON)
            rows.read_by(release, *involved[name], *readers[name], "headroom")
            seal = SettlementSeal.objects.create(
                settlement_run=settlement, kind="product", part="x", columns=["id"], n_row=1, sha256="6" * 64
            )
            rows.read_by(seal, *readers[name], "headroom")
            link = SettlementLink.objects.create(settlement_run=settlement)
            rows.read_by(link, *involved[name], *readers[name], "headroom")
            for dsrsp in involved[name]:
                _invoice(rows, product, dsrsp, buyers[name], readers[name])
    return settlements


def _invoice(rows: Rows, product: Product, dsrsp: str, buyer: Organisation, readers: tuple[str, ...]) -> None:
    amounts = {"amount_gbp": Decimal(4), "before_gbp": Decimal(0), "delta_gbp": Decimal(4)}
    invoice = Invoice(
        month=DAY.replace(day=1),
        product_code=product.code,
        product=product,
        buyer=buyer,
        organisation=rows.organisations[dsrsp],
        version=1,
        as_of=NOON,
        issued_at=NOON,
        statement_pks=[],
        sha256="8" * 64,
        **amounts,
    )
    invoice.save()
    line = InvoiceLine(invoice=invoice, position=1, kind="utilisation", **amounts)
    line.save()
    seal = InvoiceSeal(invoice=invoice, part="x", columns=["id"], n_row=1, sha256="6" * 64)
    seal.save()
    for row in (invoice, line, seal):
        rows.read_by(row, dsrsp, *readers, "headroom")


def _instruction(rows: Rows, event: FlexEvent, run: DispatchRun, dsrsp: str, readers: tuple[str, ...]) -> None:
    arrays = dict.fromkeys(["instructed_kw", "expected_baseline_kw", "planned_kw"], [1.0] * 4)
    row = Instruction(event=event, organisation=rows.organisations[dsrsp], run=run, **arrays)
    row.save()
    rows.read_by(row, dsrsp, *readers, "headroom")


def _settlement(event: FlexEvent, run: DispatchRun) -> SettlementRun:
    return SettlementRun.objects.create(
        event=event, dispatch_run=run, version=1, as_of=NOON, method="test", input_sha256="6" * 64
    )


def _statement(rows: Rows, settlement: SettlementRun, dsrsp: str, readers: tuple[str, ...]) -> None:
    volumes = {"instructed_kwh": Decimal(15), "delivered_kwh": Decimal(14)}
    statement = Statement(
        settlement_run=settlement,
        organisation=rows.organisations[dsrsp],
        performance_factor=1.0,
        payment_gbp=Decimal("4.28"),
        n_baseline_days=10,
        content=b"HDR",
        sha256="7" * 64,
        **volumes,
    )
    statement.save()
    line = StatementLine.objects.create(
        statement=statement,
        settlement_date=DAY,
        period=37,
        starts_at=NOON + timedelta(hours=6),
        ends_at=NOON + timedelta(hours=6.5),
        **volumes,
    )
    reason = StatementReason(statement=statement, code="plan", message="x")
    reason.save()
    cause = ShortfallCause(
        statement=statement, starts_at=line.starts_at, cause="override", n_evse=1, energy_kwh=Decimal(1)
    )
    kwh = {"baseline_kwh": Decimal(4), "metered_kwh": Decimal(6), "rebound_kwh": Decimal(2)}
    rebound = ReboundPeriod(statement=statement, starts_at=line.ends_at, **kwh)
    for row in (cause, rebound):
        row.save()
    for row in (statement, line, reason, cause, rebound, *_ledger(settlement, rows.organisations[dsrsp])):
        rows.read_by(row, dsrsp, *readers, "headroom")
    day = SettledDay(
        settlement_run=settlement,
        evse=EVSE.objects.across_tenants().order_by("pk").first(),
        organisation=rows.organisations[dsrsp],
        settlement_date=DAY + timedelta(days=settlement.settled_days.across_tenants().count()),
        first_period=37,
        baseline_quanta=[100],
        metered_quanta=[90],
        delivered_quanta=[10],
    )
    day.save(force_insert=True)
    rows.read_by(day, dsrsp)


def _ledger(settlement: SettlementRun, dsrsp: Organisation) -> tuple[LedgerClaim, LedgerDisplacement]:
    """A claim of which a call on the same product took a part."""
    starts_at, event = NOON + timedelta(hours=6), settlement.event
    claim = LedgerClaim(
        settlement=settlement,
        organisation=dsrsp,
        direction="turn_down",
        starts_at=starts_at,
        claimed_kwh=1,
        payable_kwh=0,
        penalised_kwh=1,
    )
    claim.save()
    displacement = LedgerDisplacement.objects.create(
        claim=claim,
        by_product=event.product,
        by_event=event,
        reason="paid-before",
        displaced_party_settlement="penalised",
        displaced_kwh=1,
    )
    return claim, displacement


def _cycles(
    rows: Rows,
    nodes: dict[str, NetworkNode],
    runs: dict[str, DispatchRun],
    settlements: dict[str, SettlementRun],
) -> None:
    for dno, planned in (("north", ("amber", "blue")), ("south", ("blue",))):
        cycle = _cycle(nodes[f"{dno}-plain"], runs[dno], NOON)
        rows.read_by(cycle, dno, *planned, "headroom")
        arrays = dict.fromkeys(["uncontrolled_kw", "metered_kw", "background_kw"], FLAT)
        curves = CycleNode.objects.create(cycle=cycle, node=cycle.area, n_evse=9, **arrays)
        rows.read_by(curves, dno, "headroom")
        cycle.settlement_runs.add(settlements[dno])
        link = CycleRun.settlement_runs.through.objects.get(cyclerun=cycle)
        rows.read_by(link, dno, *planned, "headroom")
    begun = _cycle(nodes["south-plain"], None, NOON + timedelta(hours=1))
    rows.read_by(begun, "south", "headroom")


def _cycle(area: NetworkNode, run: DispatchRun | None, as_of: datetime) -> CycleRun:
    return CycleRun.objects.create(charging_day=DAY, area=area, as_of=as_of, run=run, started_at=as_of)
