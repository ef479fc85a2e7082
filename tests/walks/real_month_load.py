"""Storing the real month: area, readings, contracts, control groups, nominations, requests and plans."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
from django.core.management import call_command

from aggregator.core.meter_energy import ReadingValues
from aggregator.core.timegrid import charging_day
from aggregator.models import EVSE, NetworkNode, Organisation
from aggregator.services.ingest_readings import ingest_readings
from dispatch.models import DispatchRun, Setpoint, SparedEvse
from markets.models import FlexEvent, Product
from markets.services.control_groups import draw_control_group
from markets.services.orders_contracts import ContractTerms, move_contract, propose_contract
from markets.services.orders_markets import MarketTerms, make_market
from tests.factories import make_dno, make_evse, make_node, make_organisation
from tests.markets.builders import make_run
from tests.walks.real_month import AMPERE_KW, CALLS, DSRSPS, N_CONTROL, N_EVSE, RealMonth, node_code
from tests.walks.real_month_nominations import nominate

NOTICE_HOURS = {"npg-hv": 168}
CONTRACT_KW = 5.0
COMPARED = "grid-control"


def load(month: RealMonth, folder: Path) -> dict[str, str]:
    """Store the area, its readings and the calendar's requests; returns what each import said by product."""
    call_command("load_catalogue")
    call_command("load_ledger_rules")
    make_dno("grid")
    _evses(month)
    _readings(month)
    _held_ready()
    _control_groups(month)
    nominate(month)
    return {code: _import(code, rows, folder) for code, rows in month.calls.items()}


def _evses(month: RealMonth) -> None:
    for operator in N_EVSE:
        make_node(node_code(operator), "distribution", rating_kva=500.0, dno=Organisation.objects.get(code=operator))
    for home, operator in month.operator.items():
        rated_kw = float(np.ceil(2 * month.energy_kwh[home].max()) + 1)
        node = NetworkNode.objects.get(code=node_code(operator))
        make_evse(str(home), node=node, dsrsp=make_organisation(month.dsrsp[home]), rated_kw=max(rated_kw, 4.0))


def _readings(month: RealMonth) -> None:
    """Each DSRSP hands in its half-hours, known when the day had ended."""
    starts_at = month.energy_kwh.index.tz_localize(None).to_numpy("datetime64[s]")
    meters = dict(EVSE.objects.across_tenants().values_list("pseudonym", "meter_id"))
    for at, code in enumerate(DSRSPS):
        homes = month.dsrsp.index[month.dsrsp == code]
        ingest_readings(
            organisation=Organisation.objects.get(code=code),
            source="a month of readings",
            sha256=f"{at}" * 64,
            received_at=datetime(2025, 2, 2, tzinfo=UTC),
            backfill=True,
            values=ReadingValues(
                np.repeat([meters[f"evse_{home}"] for home in homes], len(starts_at)),
                np.tile(starts_at, len(homes)),
                month.energy_kwh[homes].to_numpy().T.ravel(),
            ),
        )


def _held_ready() -> None:
    """Both DSRSPs hold power ready on winter evenings under the product that states a price for it."""
    buyer = Organisation.objects.get(code="nged")
    asked_at = datetime(2024, 12, 1, 12, tzinfo=UTC)
    make_market(
        organisation=buyer,
        terms=MarketTerms(
            code="evenings",
            name="Winter evenings",
            product="nged-dynamic",
            node_codes=(node_code("nged"),),
            activity="turn_down",
            service_windows=[{"weekdays": [1, 2, 3, 4, 5], "starts": "17:00", "ends": "19:00"}],
            gate_closure={"kind": "lead", "lead_minutes": 1440},
            min_kw=1.0,
            starts_at=datetime(2025, 1, 1, tzinfo=UTC),
            ends_at=datetime(2025, 2, 1, tzinfo=UTC),
        ),
        now=asked_at,
    )
    for code in DSRSPS:
        terms = ContractTerms(
            reference=f"evenings-{code}",
            market="evenings",
            dsrsp=code,
            starts_at=datetime(2025, 1, 1, tzinfo=UTC),
            ends_at=datetime(2025, 2, 1, tzinfo=UTC),
            max_kw=CONTRACT_KW,
            price_gbp_per_mwh=Product.objects.get(code="nged-dynamic").utilisation_gbp_per_mwh,
        )
        propose_contract(organisation=buyer, terms=terms, now=asked_at)
        dsrsp = Organisation.objects.get(code=code)
        move_contract(organisation=dsrsp, reference=terms.reference, act="agree to", reason="agreed", now=asked_at)


def _control_groups(month: RealMonth) -> None:
    """A product that is in no catalogue: its baseline is what the DSRSPs' EVSEs drew that it does not call."""
    Product.objects.create(
        code=COMPARED,
        name="Compared with a control group",
        buyer=Organisation.objects.get(code="grid"),
        valid_from=datetime(2024, 1, 1, tzinfo=UTC),
        baseline_method="control-group-difference",
        baseline_parameters={"min_evses": N_CONTROL["grid"]},
    )
    for dsrsp in DSRSPS:
        draw_control_group(
            organisation=Organisation.objects.get(code=dsrsp),
            product=COMPARED,
            node=node_code("grid"),
            valid_from=date(2025, 1, 1),
            now=datetime(2024, 12, 20, 12, tzinfo=UTC),
            evses=[f"evse_{home}" for home in month.homes("grid", dsrsp, are_spared=True)],
        )


def _import(code: str, rows: pd.DataFrame, folder: Path) -> str:
    """Hand a product's rows to the command, as a file of the calendar's form."""
    product = Product.objects.get(code=code)
    if product.utilisation_gbp_per_mwh is not None:
        rows = rows.assign(utilisation_price=str(product.utilisation_gbp_per_mwh))
    path = folder / f"{code}.csv"
    rows.to_csv(path, index=False)
    operator = code.split("-")[0]
    words = [word for zone in CALLS[code][0] for word in ("--zone", f"{zone}={node_code(operator)}")]
    words += [word for name in CALLS[code][1] for word in ("--product", f"{name}={code}")]
    words += ["--dno", operator, "--from", "2025-01-01", "--to", "2025-01-31"]
    words += ["--notice-hours", str(NOTICE_HOURS.get(code, 24))]
    said = StringIO()
    call_command("import_dispatches", str(path), *words, stdout=said)
    return said.getvalue()


def dispatch_days() -> Iterator[tuple[DispatchRun, list[FlexEvent]]]:
    """A plan of each feeder and charging day with a request: no power while one runs, the post's rating else."""
    for operator in N_EVSE:
        node = NetworkNode.objects.get(code=node_code(operator))
        of_day: dict[date, list[FlexEvent]] = {}
        events = FlexEvent.objects.filter(signal__node=node).select_related("signal__node", "product")
        for event in events.order_by("signal__starts_at", "pk"):
            starts_at = event.signal.starts_at
            day = starts_at.date() if starts_at.hour >= 12 else starts_at.date() - timedelta(days=1)
            of_day.setdefault(day, []).append(event)
        evses = list(EVSE.objects.across_tenants().filter(node=node).select_related("meter"))
        for day, called in of_day.items():
            yield _plan(node, day, called, evses), called


def _plan(node: NetworkNode, day: date, called: list[FlexEvent], evses: list[EVSE]) -> DispatchRun:
    grid = charging_day(day)
    run = make_run(node, day, grid)
    windows = [(one.signal.starts_at, one.signal.ends_at) for one in called]
    is_free = np.array([not any(starts_at <= at < ends_at for starts_at, ends_at in windows) for at in grid.starts()])
    spared = set(SparedEvse.objects.across_tenants().filter(signal__node=node).values_list("evse", flat=True))
    Setpoint.objects.across_tenants().bulk_create(
        Setpoint(
            run=run,
            evse=evse,
            organisation_id=evse.meter.organisation_id,
            start_period=0,
            end_period=grid.n_period,
            energy_kwh=0.0,
            ampere_kw=AMPERE_KW,
            planned_a=[0] * grid.n_period,
            setpoint_a=((is_free | (evse.pk in spared)) * int(evse.rated_kw / AMPERE_KW)).tolist(),
            unserved_kwh=0.0,
            unserveable_kwh=0.0,
        )
        for evse in evses
    )
    return run
