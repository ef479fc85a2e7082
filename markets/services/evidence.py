"""The evidence pack of one statement: everything its figures came from, signed, to be verified without us."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
from django.db.models import Model

from aggregator.core.errors import FlexError
from aggregator.models import Finding, as_platform
from markets.arrays.evidence import UnitEvidence, load_unit_evidence
from markets.core.evidence import readings_csv, series
from markets.core.release_chain import content_text, run_text
from markets.core.statement_cells import time_cell
from markets.core.statement_file import format_version_of, parse_statement
from markets.files.pack import MEDIA_TYPE, Enclosure, build_pack, json_bytes
from markets.files.rows import header_facts, total_facts
from markets.models import SettlementLink, SettlementRun, Statement, StatementRelease
from markets.services.control_evidence import control_group_inputs
from markets.services.evidence_facts import invoice_facts, ledger_facts, nomination_facts
from markets.services.release_chain import content_of, link_of, release_links, run_content_of, run_links
from markets.services.rules import baseline_rule
from markets.services.signing import retired_keys, signing_key
from markets.services.software import software
from markets.services.statement_files import FORMATS, NamedFile, file_name, published_bytes, statement_file

SUFFIX = "zip"
READINGS, INPUTS = "readings.csv", "inputs.json"
FEWEST_METERS = 5  # of fewer, a sum tells of persons: as everywhere on the site
MOST_READINGS = 20_000_000


class EvidenceDiffers(FlexError):
    code = "evidence.differs"


class EvidenceTooLarge(FlexError):
    code = "evidence.too_large"


def evidence_pack(*, statement: Statement, with_readings: bool, most_readings: int | None = MOST_READINGS) -> NamedFile:
    """Gather, sign and zip the evidence of a statement; the same statement, key and libraries give the same bytes.

    Args:
        statement: with its settlement, event, request, product and organisation; whoever asks may read it.
        with_readings: for whose readings they are. Others get the portfolio's sums, and of fewer than
            ``FEWEST_METERS`` meters not those; the manifest keeps the digests, so that what was withheld can be handed
            over later and still be checked.
        most_readings: refuse to gather more.

    Raises:
        StatementAltered: the stored bytes are not those that were published.
        EvidenceDiffers: the readings known at ``as_of`` no longer give the metered energy that the statement states.
        EvidenceTooLarge: more readings than ``most_readings``.
    """
    with as_platform():  # the readings behind a portfolio's sums, and the chain of everybody's releases
        evidence = _evidence(statement)
        release = StatementRelease.objects.filter(settlement_run=statement.settlement_run).first()
        enclosures, is_small = _enclosures(statement, evidence, release, most_readings)
    withhold = frozenset() if with_readings else frozenset({READINGS, *([INPUTS] if is_small else [])})
    content = build_pack(
        enclosures,
        facts=_facts(statement, release),
        key=signing_key(),
        retired=retired_keys(),
        withhold=withhold,
    )
    return NamedFile(file_name(statement, SUFFIX).replace("statement_", "evidence_", 1), MEDIA_TYPE, content)


def _evidence(statement: Statement) -> UnitEvidence | None:
    run = statement.settlement_run
    return load_unit_evidence(
        event=run.event, organisation=statement.organisation, rule=baseline_rule(run.event.product), as_of=run.as_of
    )


def _enclosures(
    statement: Statement, evidence: UnitEvidence | None, release: StatementRelease | None, most_readings: int | None
) -> tuple[dict[str, Enclosure], bool]:
    """Files by name, and whether the portfolio is too small for its sums to be shown to everybody."""
    n_meter = 0 if evidence is None else len(evidence.evse_ids)
    if evidence is not None and most_readings is not None and evidence.readings_kwh.size > most_readings:
        raise EvidenceTooLarge(
            f"statement {statement.pk} stands on {evidence.readings_kwh.size} readings, at most {most_readings} are "
            "packed here: ask the operator of the platform for manage.py evidence_pack",
            statement=statement.pk,
        )
    inputs = _inputs(statement, evidence)
    _check_metered(statement, inputs)
    files = {
        f"statement.{suffix}": Enclosure(
            statement_file(statement=statement, suffix=suffix).content, f"the statement as {one.title}"
        )
        for suffix, one in FORMATS.items()
    }
    said = "baseline inputs: the portfolio's energy in the event, its window and its history"
    is_small = n_meter < FEWEST_METERS
    files[INPUTS] = Enclosure(json_bytes(inputs), said, may_be_withheld=is_small)
    files[READINGS] = Enclosure(_readings(evidence), "readings used, a row a meter", may_be_withheld=True)
    files["product.json"] = Enclosure(
        json_bytes(_row_facts(statement.settlement_run.event.product)), "the product version it was settled under"
    )
    files["results.json"] = Enclosure(json_bytes(_results(statement)), "results as stored, and findings")
    files["ledger.json"] = Enclosure(json_bytes(ledger_facts(statement)), "what was claimed, paid for and displaced")
    files["invoice.json"] = Enclosure(json_bytes(invoice_facts(statement)), "the invoices it went into, and its lines")
    files["chain.json"] = Enclosure(
        json_bytes(_chain(statement.settlement_run, release)), "the chains of runs and of releases up to this one"
    )
    return files, is_small


def _facts(statement: Statement, release: StatementRelease | None) -> dict[str, Any]:
    """What the manifest states beside its files."""
    data = published_bytes(statement)
    parsed, run = parse_statement(data), statement.settlement_run
    return {
        "statement": {
            **header_facts(parsed),
            "format_version": format_version_of(data),
            "statement": statement.pk,
            "settlement": run.pk,
            "code": run.code,
            "method": run.method,
        },
        "totals": total_facts(parsed),
        "release": None if release is None else asdict(link_of(release)),
        "software": software(),
        "settled_with": run.software,
    }


def _chain(run: SettlementRun, release: StatementRelease | None) -> dict[str, Any]:
    """Links up to the statement's own, so that the pack stays as it is when others follow; no release before its own.

    The chain of runs is of all of them, preliminary ones too.
    """
    own: SettlementLink | None = getattr(run, "link", None)
    runs = run_links(up_to=own.sequence) if own is not None else ()
    links = release_links(up_to=release.sequence) if release is not None else ()
    return {
        "links": [asdict(link) for link in links],
        "content": content_text(content_of(release)) if release is not None else "",
        "runs": [asdict(link) for link in runs],
        "run_content": run_text(run_content_of(run)) if own is not None else "",
    }


def _inputs(statement: Statement, evidence: UnitEvidence | None) -> dict[str, Any]:
    product = statement.settlement_run.event.product
    rule = baseline_rule(product)
    facts = {
        "unit": statement.organisation.code,
        "as_of": time_cell(statement.settlement_run.as_of),
        "product_version": [product.code, product.version],
        "min_meters_share": str(product.min_meters_share),
        "nominations": nomination_facts(statement),
        "baseline_rule": {field.name: _spelled(getattr(rule, field.name)) for field in fields(rule)},
        **control_group_inputs(statement=statement),
    }
    if evidence is None:
        nothing: dict[str, list[str | None]] = {"starts_at": [], "energy_kwh": []}
        empty = {"event": nothing, "adjustment": nothing, "history": [], "holidays": []}
        return {**facts, "n_meter": 0, "n_counting": 0, **empty}
    return {
        **facts,
        "n_meter": len(evidence.evse_ids),
        "n_counting": int(evidence.counts.sum()),
        "event": series(evidence.event.starts, evidence.event.energy_kwh),
        "adjustment": series(evidence.adjustment.starts, evidence.adjustment.energy_kwh),
        "history": [
            {
                "day": one.day.isoformat(),
                "is_event_day": one.is_event_day,
                **series(one.energy.starts, one.energy.energy_kwh),
            }
            for one in evidence.history
        ],
        "holidays": [day.isoformat() for day in evidence.holidays],
    }


def _readings(evidence: UnitEvidence | None) -> bytes:
    if evidence is None:
        nothing = np.zeros(0, dtype=np.str_)
        return readings_csv(nothing, np.zeros(0, dtype=np.bool_), np.zeros(0, dtype="datetime64[s]"), np.zeros((0, 0)))
    return readings_csv(evidence.evse_ids, evidence.counts, evidence.starts, evidence.readings_kwh)


def _results(statement: Statement) -> dict[str, Any]:
    run = statement.settlement_run
    findings = Finding.objects.across_tenants().filter(
        source=f"settlement:{run.pk}", organisation=statement.organisation
    )
    return {
        "statement": _row_facts(statement, without=("content",)),
        "periods": [
            {
                "starts_at": time_cell(line.starts_at),
                "instructed_kwh": _spelled(line.instructed_kwh),
                "baseline_kwh": _spelled(line.baseline_kwh),
                "metered_kwh": _spelled(line.metered_kwh),
                "delivered_kwh": _spelled(line.delivered_kwh),
                "n_meters_missing": line.n_meters_missing,
            }
            for line in statement.lines.order_by("starts_at")
        ],
        "findings": [
            {"code": one.code, "severity": one.severity, "message": one.message}
            for one in findings.order_by("code", "message")
        ],
    }


def _check_metered(statement: Statement, inputs: Mapping[str, Any]) -> None:
    """Compare with the statement what is metered now, as of then: a pack that a verifier would refuse is not signed."""
    metered = dict(zip(inputs["event"]["starts_at"], inputs["event"]["energy_kwh"], strict=True))
    for line in parse_statement(published_bytes(statement)).lines:
        for period in line.periods:
            at = time_cell(period.starts_at)
            stated = None if period.metered_kwh is None else f"{period.metered_kwh:.4f}"
            if metered.get(at) != stated:
                raise EvidenceDiffers(
                    f"statement {statement.pk} states {stated} kWh metered from {at}, the readings known as of "
                    f"{inputs['as_of']} give {metered.get(at)}: manage.py verify_statement {statement.pk} says more",
                    statement=statement.pk,
                )


def _row_facts(row: Model, *, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """Every column of a row, spelled."""
    return {
        field.attname: _spelled(getattr(row, field.attname))
        for field in row._meta.concrete_fields  # noqa: SLF001 - Django's own way to a model's columns
        if field.name not in without
    }


def _spelled(value: object) -> Any:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return time_cell(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g} s"
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
