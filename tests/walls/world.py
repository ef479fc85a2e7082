"""Two networks, three DSRSPs and everything each owns, marked: a marker read by anybody else is a leak.

``readers_of`` states who may read what, apart from the code it tests: in words of owners, not of queries.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from django.contrib.auth.models import User
from django.db import connection
from oauth2_provider.models import Application

from aggregator.core.timegrid import TimeGrid, charging_day
from aggregator.models import (
    EVSE,
    AvailabilityForecast,
    Batch,
    ChargingSession,
    ControlAct,
    EvseForecast,
    Finding,
    FleetUpload,
    GroupForecast,
    Job,
    MachineClient,
    Meter,
    MeterDay,
    NetworkNode,
    NodeRating,
    Organisation,
    Tariff,
    TariffDay,
)
from aggregator.services.event_log import record_event
from dispatch.models import DispatchRun, IssuedSetpoint, RunNode, RunRequest, Setpoint, TargetSignal
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
    LedgerClaim,
    Product,
    SecondaryUnit,
    SettlementLink,
    SettlementRun,
    Statement,
    StatementLine,
)
from tests.factories import make_evse, make_node, make_organisation
from tests.markets.builders import make_person
from tests.markets.contents import statement_content
from tests.walls.trading_rows import (
    make_contract,
    make_control_group,
    make_flex_request,
    make_market,
    make_nomination,
    make_offer,
    make_order,
)

DAY = date(2026, 1, 14)
DSRSPS = {"alpha": "north", "beta": "north", "gamma": "south"}  # DSRSP -> the DNO its EVSEs hang at
DNOS = ("north", "south")
PEOPLE = {
    "alpha.operator": ("alpha", "operator"),
    "alpha.admin": ("alpha", "admin"),
    "alpha.auditor": ("alpha", "auditor"),
    "beta.admin": ("beta", "admin"),
    "gamma.admin": ("gamma", "admin"),
    "north.operator": ("north", "control_room_operator"),
    "north.supervisor": ("north", "control_room_supervisor"),
    "south.supervisor": ("south", "control_room_supervisor"),
    "market.operator": ("market", "market_operator"),
    "platform.admin": ("platform", "platform_admin"),
    "platform.auditor": ("platform", "auditor"),
}
OWNERS = (*DSRSPS, *DNOS, "market", "platform")
FIRST_PERSON = {organisation: name for name, (organisation, _) in reversed(PEOPLE.items())}
NEVER_SHOWN = {"batch"}  # marked all the same: no page or operation tells where a batch came from
METERED_KWH = Decimal("4.0000")  # in a half-hour, by the eight meters of a DSRSP: what its statement has to say
N_LARGE, N_SMALL = 6, 2  # EVSEs of a DSRSP at a feeder that may be shown, and at one that may not


def mark(kind: str, owner: str) -> str:
    return f"{kind}-{owner}-7c1"


KINDS = (
    *(
        "competitor",
        "node",
        "identity",
        "session",
        "meter",
        "batch",
        "upload",
        "group",
        "pseudonym",
        "finding",
        "event",
    ),
    *("act", "rating", "request", "run", "forecast", "statement", "volume", "job", "person", "machine"),
    *("asked", "offer", "deal", "order"),
)


def readers_of(kind: str, owner: str) -> frozenset[str]:
    """Organisations that may read what is marked so."""
    dno = DSRSPS.get(owner, owner)
    dsrsps_there = {dsrsp for dsrsp, at in DSRSPS.items() if at == owner}
    return frozenset(
        {
            "competitor": {*DNOS, "market", "platform", owner},
            "node": {owner, "platform", "market", *dsrsps_there},
            "identity": {owner},
            "session": {owner},
            "meter": {owner},
            "batch": {owner},
            "upload": {owner},
            "group": {owner},
            "pseudonym": {owner, dno, "platform"},
            "finding": {owner, "platform"},
            "event": {owner, "platform"},
            "act": {owner, "platform"} - DSRSPS.keys(),
            "rating": {owner, "platform"},
            "request": {owner, "platform", "market", *dsrsps_there},
            "run": {owner, "platform", *dsrsps_there},
            "forecast": {owner, "platform", *dsrsps_there},
            "statement": {owner, dno, "market", "platform"},
            "volume": {owner, "platform"},
            "job": {"platform"},
            "asked": {owner, "platform", *dsrsps_there},
            "offer": {owner, dno, "platform"},
            "deal": {owner, dno, "platform"},
            "order": {owner, dno, "platform"},
            "person": {owner, "platform"},
            "machine": {owner, "platform"} - {"market"},
        }[kind]
    )


@dataclass
class World:
    organisations: dict[str, Organisation] = field(default_factory=dict)
    nodes: dict[str, NetworkNode] = field(default_factory=dict)
    evses: dict[str, list[EVSE]] = field(default_factory=dict)
    runs: dict[str, DispatchRun] = field(default_factory=dict)
    # Path parameter -> owner -> values, filled as rows are made: what the matrix puts into addresses.
    ids: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    marks: dict[str, frozenset[str]] = field(default_factory=dict)

    def mark(self, kind: str, owner: str) -> str:
        text = mark(kind, owner)
        self.marks[text] = readers_of(kind, owner)
        return text

    def note(self, parameter: str, owner: str, *values: object) -> None:
        self.ids.setdefault(parameter, {}).setdefault(owner, []).extend(str(value) for value in values)


def make_world() -> World:
    world = World()
    for code, kind in (
        *((dsrsp, "dsrsp") for dsrsp in DSRSPS),
        *((dno, "dno") for dno in DNOS),
        ("market", "market_operator"),
        ("platform", "platform"),
    ):
        world.organisations[code] = make_organisation(code, kind)
        if kind == "dsrsp":
            Organisation.objects.filter(code=code).update(name=world.mark("competitor", code))
            world.organisations[code].refresh_from_db()
        world.note("organisation", code, code)
        _facts_of_anybody(world, code)
    for name, (organisation, role) in PEOPLE.items():
        make_person(name, world.organisations[organisation], role)
        owner = world.mark("person", organisation)
        member = make_person(f"{owner}.{role}", world.organisations[organisation], role)
        world.note("person", organisation, member.username)
    _shared(world)
    for dno in DNOS:
        _network(world, dno)
    for dsrsp, dno in DSRSPS.items():
        _fleet(world, dsrsp, dno)
    for dno in DNOS:
        _dispatch(world, dno)
        _settlement(world, dno)
        _trading(world, dno)
    return world


def _facts_of_anybody(world: World, code: str) -> None:
    """What every organisation has: findings, control acts, events."""
    organisation = world.organisations[code]
    finding = Finding(
        code="session.reversed",
        severity="warning",
        subject=world.mark("finding", code),
        message="odd",
        source="test:1",
        organisation=organisation,
        noticed_at=_at(0),
    )
    finding.save()
    world.note("finding", code, finding.pk)
    act = ControlAct(
        kind="change_limits",
        organisation=organisation,
        subject=world.mark("act", code),
        payload={},
        figures={},
        exceeded=["limits"],
        reason="of the test",
        state="pending",
        asked_as="person:somebody",
        asked_at=_at(0),
        expires_at=datetime(2100, 1, 1, tzinfo=UTC),
    )
    act.save()
    world.note("control_act", code, act.pk)
    application = Application.objects.create(
        name=world.mark("machine", code),
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_CLIENT_CREDENTIALS,
    )
    MachineClient.objects.create(application=application, organisation=organisation, scopes=[], created_at=_at(0))
    world.note("machine", code, application.client_id)
    event = record_event(action="test.made", subject=world.mark("event", code), organisation=organisation, at=_at(0))
    world.note("event", code, event.sequence)


def _shared(world: World) -> None:
    batch = Batch.objects.create(
        kind="prices", organisation=world.organisations["platform"], source="x", sha256="3" * 64, received_at=_at(-3)
    )
    tariff = Tariff.objects.create(code="night", name="Night")
    TariffDay.objects.create(tariff=tariff, day=DAY, received_at=_at(-3), batch=batch, price_gbp_per_kwh=[0.1] * 48)
    job = Job.objects.create(
        kind="run_cycle",
        payload={"note": world.mark("job", "platform")},
        due_at=_at(0),
        created_at=_at(0),
        state="done",
    )
    world.note("job", "platform", job.pk)


def _network(world: World, dno: str) -> None:
    organisation = world.organisations[dno]
    primary = make_node(f"{dno}-p", "primary", dno=organisation)
    substation = make_node(f"{dno}-d", "distribution", primary, dno=organisation)
    world.nodes |= {f"{dno}-p": primary, f"{dno}-d": substation}
    for name in ("large", "small"):
        world.nodes[f"{dno}-{name}"] = make_node(f"{dno}-{name}", "feeder", substation, dno=organisation)
    NetworkNode.objects.filter(organisation=organisation).update(name=world.mark("node", dno))
    NodeRating.objects.filter(node__organisation=organisation).update(source=world.mark("rating", dno))
    world.note("node", dno, *(code for code in world.nodes if code.startswith(f"{dno}-")))
    meter = _feeder_meter(world, dno)
    world.note("meter", dno, meter)


def _feeder_meter(world: World, dno: str) -> str:
    code = world.mark("meter", dno)
    Meter(code=code, kind="feeder", node=world.nodes[f"{dno}-large"], organisation=world.organisations[dno]).save()
    return code


def _fleet(world: World, dsrsp: str, dno: str) -> None:
    organisation = world.organisations[dsrsp]
    batch = Batch.objects.create(
        kind="readings",
        organisation=organisation,
        source=world.mark("batch", dsrsp),
        sha256=hashlib.sha256(dsrsp.encode()).hexdigest(),
        received_at=_at(48),
    )
    with connection.cursor() as cursor:
        cursor.execute("SELECT aggregator_meterday_partition(%s)", [DAY])
    world.evses[dsrsp] = []
    for index in range(N_LARGE + N_SMALL):
        node = world.nodes[f"{dno}-{'large' if index < N_LARGE else 'small'}"]
        evse = make_evse(f"{world.mark('identity', dsrsp)}.{index}", node=node, dsrsp=organisation)
        EVSE.objects.across_tenants().filter(pk=evse.pk).update(
            pseudonym=f"evse_{world.mark('pseudonym', dsrsp)}.{index}"
        )
        evse.refresh_from_db(from_queryset=EVSE.objects.across_tenants())
        meter = evse.meter
        meter.code = f"{world.mark('meter', dsrsp)}.{index}"
        meter.save()
        world.evses[dsrsp].append(evse)
        _measured(world, dsrsp, evse, batch)
        world.note("evse", dsrsp, evse.pseudonym)
        world.note("meter", dsrsp, meter.code)
        world.note("enrolment", dsrsp, *evse.enrolments.across_tenants().values_list("pk", flat=True))
    upload = FleetUpload(
        organisation=organisation,
        uploaded_by=User.objects.get(username=FIRST_PERSON[dsrsp]),
        file_name=world.mark("upload", dsrsp),
        content=b"csms,evse_id\n",
        sha256="4" * 64,
        uploaded_at=_at(0),
    )
    upload.save()
    world.note("upload", dsrsp, upload.pk)
    _volumes(world, dsrsp)


def _volumes(world: World, dsrsp: str) -> None:
    """A file of delivered volumes with one volume; the supplier's name is the mark, in rows and in the file."""
    organisation, number = world.organisations[dsrsp], list(DSRSPS).index(dsrsp)
    supplier = world.mark("volume", dsrsp)
    unit = SecondaryUnit(organisation=organisation, bm_unit_id=f"V__A{number}", gsp_group_id="_A")
    unit.save()
    registration = AssetRegistration(
        organisation=organisation,
        unit=unit,
        meter=world.evses[dsrsp][0].meter,
        import_amsid=f"7{number:012d}",
        import_msid=f"1{number:012d}",
        supplier_id=supplier,
        max_import_kw=7.4,
        valid_from=DAY,
    )
    registration.save()
    content = f"ZHD|{supplier}|\n".encode()
    file = DeliveredVolumeFile(
        organisation=organisation,
        settlement_date=DAY,
        sequence=1,
        as_of=_at(48),
        input_sha256="8" * 64,
        content=content,
        sha256=hashlib.sha256(content).hexdigest(),
        n_volume=1,
        total_mwh=Decimal("0.0031"),
        residual_kwh=Decimal(0),
    )
    file.save()
    world.note("volume_file", dsrsp, file.pk)
    of_file = {"file": file, "organisation": organisation, "period": 37}
    kwh = {"baseline_kwh": Decimal("3.5"), "metered_kwh": Decimal("0.4"), "deviation_kwh": Decimal("3.1")}
    DeviationVolume(**of_file, registration=registration, filed_mwh=Decimal("0.0031"), **kwh).save()
    BoundaryVolume(**of_file, import_msid=f"1{number:012d}", supplier_id=supplier, secondary_kwh=Decimal("3.1")).save()


def _measured(world: World, dsrsp: str, evse: EVSE, batch: Batch) -> None:
    organisation = world.organisations[dsrsp]
    session = ChargingSession(
        evse=evse,
        organisation=organisation,
        session_ref=world.mark("session", dsrsp),
        plug_in_at=_at(5),
        plug_out_at=_at(15),
        energy_kwh=9.0,
        received_at=_at(16),
        batch=batch,
    )
    session.save()
    world.note("session", dsrsp, session.pk)
    MeterDay(
        day=DAY, meter=evse.meter, batch=batch, organisation=organisation, received_at=_at(48), energy_kwh=[0.5] * 48
    ).save(force_insert=True)


def _dispatch(world: World, dno: str) -> None:
    grid = charging_day(DAY)
    area = world.nodes[f"{dno}-p"]
    forecast = AvailabilityForecast.objects.create(
        charging_day=DAY,
        area=area,
        as_of=_at(-2),
        starts_at=grid.starts_at,
        n_period=grid.n_period,
        method=world.mark("forecast", dno),
        rule={"min_probability": 0.1},
        input_sha256="0" * 64,
        quantiles=[0.5],
        n_session_known=10,
    )
    world.note("forecast", dno, forecast.pk)
    run = _run(world, dno, area, forecast, grid)
    signal = TargetSignal.objects.create(
        reference=world.mark("request", dno),
        node=area,
        starts_at=grid.starts_at + timedelta(hours=6),
        ends_at=grid.starts_at + timedelta(hours=8),
        direction="turn_down",
        kind="routine",
        target_kw=20,
        shortfall_gbp_per_kwh=1,
        issued_by=world.organisations[dno],
        received_at=_at(-3),
    )
    world.note("request", dno, signal.reference)
    RunRequest.objects.create(
        run=run, signal=signal, start_period=12, end_period=16, planned_kw=[18.0] * 4, shortfall_kw=[0.0] * 4
    )
    _run_nodes(world, dno, run, grid)
    for dsrsp in _dsrsps_at(dno):
        _own_plan(world, dsrsp, run, forecast, grid)


def _run(world: World, dno: str, area: NetworkNode, forecast: AvailabilityForecast, grid: TimeGrid) -> DispatchRun:
    figures = ["cost_gbp", "cost_energy_gbp", "cost_unserved_gbp", "cost_shortfall_gbp", "cost_ramp_gbp"]
    figures += ["unavoidable_gbp", "lower_bound_gbp", "gap", "rounding_cost_gbp", "max_violation_kw", "solve_s"]
    run = DispatchRun.objects.create(
        area=area,
        charging_day=DAY,
        forecast=forecast,
        as_of=_at(-2),
        starts_at=grid.starts_at,
        n_period=grid.n_period,
        period_minutes=30,
        parameters={"tariff": "night"},
        input_sha256=world.mark("run", dno),
        method="reference",
        rung="certified",
        iterations=1,
        **dict.fromkeys(figures, 0.0),
    )
    world.runs[dno] = run
    world.note("run", dno, run.pk)
    return run


def _run_nodes(world: World, dno: str, run: DispatchRun, grid: TimeGrid) -> None:
    cycle = CycleRun.objects.create(
        charging_day=DAY,
        area=run.area,
        as_of=_at(-2),
        state="done",
        forecast=run.forecast,
        run=run,
        summary={"n_evse": len(_dsrsps_at(dno)) * (N_LARGE + N_SMALL), "tightest_node": f"{dno}-large", "findings": {}},
        started_at=_at(-2),
        finished_at=_at(-1),
    )
    world.note("cycle", dno, cycle.pk)
    n_dsrsp = len(_dsrsps_at(dno))
    counts = {"p": N_LARGE + N_SMALL, "d": N_LARGE + N_SMALL, "large": N_LARGE, "small": N_SMALL}
    for name, n_each in counts.items():
        values = {"background_kw": 20.0, "reserve_kw": 2.0, "limit_kw": 70.0, "planned_kw": 3.0 * n_each}
        RunNode.objects.create(
            run=run,
            node=world.nodes[f"{dno}-{name}"],
            rating_kw=98.0,
            ceiling_kw=[4.0 * n_each] * grid.n_period,
            price_gbp_per_kwh=[0.0] * grid.n_period,
            **{key: [value] * grid.n_period for key, value in values.items()},
        )
        CycleNode.objects.create(
            cycle=cycle,
            node=world.nodes[f"{dno}-{name}"],
            n_evse=n_each * n_dsrsp,
            uncontrolled_kw=[5.0] * grid.n_period,
            metered_kw=[2.0] * grid.n_period,
            background_kw=[19.0] * grid.n_period,
        )


def _own_plan(world: World, dsrsp: str, run: DispatchRun, forecast: AvailabilityForecast, grid: TimeGrid) -> None:
    organisation = world.organisations[dsrsp]
    for evse in world.evses[dsrsp]:
        Setpoint(
            run=run,
            evse=evse,
            organisation=organisation,
            start_period=10,
            end_period=20,
            energy_kwh=6.0,
            ampere_kw=0.1,
            planned_a=[30] * grid.n_period,
            setpoint_a=[37] * grid.n_period,
            unserved_kwh=0.0,
            unserveable_kwh=0.0,
        ).save()
        IssuedSetpoint(
            run=run,
            evse=evse,
            organisation=organisation,
            ampere_kw=0.1,
            setpoint_a=[37] * grid.n_period,
        ).save()
        EvseForecast(
            forecast=forecast,
            evse=evse,
            organisation=organisation,
            probability=0.4,
            plug_in_h=[6.0],
            plug_out_h=[20.0],
            energy_quantiles_kwh=[6.0],
            start_period=10,
            end_period=30,
            energy_kwh=6.0,
        ).save()
    GroupForecast(
        forecast=forecast,
        group=world.mark("group", dsrsp),
        organisation=organisation,
        n_evse=len(world.evses[dsrsp]),
        quantiles=[0.5],
        plugged_in=[[3.0] * grid.n_period],
    ).save()


def _settlement(world: World, dno: str) -> None:
    run = world.runs[dno]
    product = Product.objects.create(
        code=f"su-{dno}",
        name="Scheduled Utilisation",
        buyer=world.organisations[dno],
        valid_from=datetime(2020, 1, 1, tzinfo=UTC),
    )
    signal = TargetSignal.objects.get(reference=mark("request", dno))
    world.note("product", dno, product.pk)
    event = FlexEvent.objects.create(product=product, signal=signal, price_gbp_per_mwh=Decimal(300))
    world.note("flexevent", dno, event.pk)
    settlement = SettlementRun.objects.create(
        event=event, dispatch_run=run, version=1, as_of=_at(48), method="test", input_sha256="5" * 64
    )
    world.note("settlement", dno, settlement.pk)
    CycleRun.objects.get(run=run).settlement_runs.add(settlement)
    for dsrsp in _dsrsps_at(dno):
        organisation = world.organisations[dsrsp]
        Instruction(
            event=event,
            organisation=organisation,
            run=run,
            instructed_kw=[5.0] * 4,
            expected_baseline_kw=[9.0] * 4,
            planned_kw=[4.0] * 4,
        ).save()
        statement = _statement(settlement, organisation, world.mark("statement", dsrsp))
        world.note("statement", dsrsp, statement.pk)
        LedgerClaim(
            settlement=settlement,
            organisation=organisation,
            direction="turn_down",
            starts_at=signal.starts_at,
            claimed_kwh=Decimal("2.0000"),
            payable_kwh=Decimal("0.0000"),
            penalised_kwh=Decimal("2.0000"),
        ).save()
        world.note("invoice", dsrsp, _invoice(product, organisation, statement).pk)
    SettlementLink.objects.create(settlement_run=settlement)


def _trading(world: World, dno: str) -> None:
    """A market, a request at a feeder of it, and of each DSRSP there an offer, an order and a contract."""
    market = make_market(f"evening-{dno}", world.organisations[dno])
    world.note("market", dno, market.code)
    request = make_flex_request(world.mark("asked", dno), market, world.nodes[f"{dno}-large"])
    world.note("flexrequest", dno, request.pk)
    for dsrsp in _dsrsps_at(dno):
        organisation = world.organisations[dsrsp]
        option = make_offer(world.mark("offer", dsrsp), request, organisation)
        world.note("flexoffer", dsrsp, option.offer.pk)
        world.note("contract", dsrsp, make_contract(world.mark("deal", dsrsp), market, organisation).pk)
        world.note("nomination", dsrsp, make_nomination(market.product, organisation, request.node).pk)
        group, _ = make_control_group(market.product, organisation, request.node)
        world.note("controlgroup", dsrsp, group.pk)
        world.note("flexorder", dsrsp, make_order(world.mark("order", dsrsp), option).pk)


def _statement(settlement: SettlementRun, organisation: Organisation, text: str) -> Statement:
    figures = {
        "instructed_kwh": Decimal("10.0000"),
        "delivered_kwh": Decimal("9.0000"),
        "payment_gbp": Decimal("2.70"),
    }
    content = statement_content(text, metered_kwh=METERED_KWH, **figures)
    statement = Statement(
        settlement_run=settlement,
        organisation=organisation,
        **figures,
        delivered_share=0.9,
        performance_factor=1.0,
        n_baseline_days=10,
        content=content,
        sha256=hashlib.sha256(content).hexdigest(),
    )
    statement.save()
    for index in range(2):
        starts_at = settlement.event.signal.starts_at + timedelta(minutes=30 * index)
        StatementLine.objects.create(
            statement=statement,
            settlement_date=DAY,
            period=37 + index,
            starts_at=starts_at,
            ends_at=starts_at + timedelta(minutes=30),
            instructed_kwh=Decimal("5.0000"),
            baseline_kwh=Decimal("4.5000") + METERED_KWH,
            metered_kwh=METERED_KWH,
            delivered_kwh=Decimal("4.5000"),
        )
    return statement


def _invoice(product: Product, organisation: Organisation, statement: Statement) -> Invoice:
    amounts = {"amount_gbp": Decimal("2.70"), "before_gbp": Decimal(0), "delta_gbp": Decimal("2.70")}
    invoice = Invoice(
        month=DAY.replace(day=1),
        product_code=product.code,
        product=product,
        buyer=product.buyer,
        organisation=organisation,
        version=1,
        as_of=_at(48),
        issued_at=_at(48),
        statement_pks=[statement.pk],
        sha256=hashlib.sha256(organisation.code.encode()).hexdigest(),
        **amounts,
    )
    invoice.save()
    reference = statement.settlement_run.event.signal.reference
    InvoiceLine(
        invoice=invoice, position=1, kind="utilisation", reference=reference, statement=statement, **amounts
    ).save()
    return invoice


def _dsrsps_at(dno: str) -> list[str]:
    return [dsrsp for dsrsp, at in DSRSPS.items() if at == dno]


def _at(hour: float) -> datetime:
    """Hours after the charging day's start."""
    return charging_day(DAY).starts_at + timedelta(hours=hour)


def leaks(text: str, marks: dict[str, frozenset[str]], organisation: str) -> Iterable[str]:
    """Markers in an answer that this organisation may not read."""
    return (found for found, readers in marks.items() if found in text and organisation not in readers)
