"""Seal what a settlement rests on at its release, and find what is no longer so."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from aggregator.models import ControlAct
from markets.arrays.sealed_parts import Kind, act_part, sealed_parts
from markets.arrays.seals import (
    BATCHES,
    DigestedDays,
    ReadDays,
    Seal,
    load_seals,
    reading_seals,
    rows_seal,
    sealed_again,
    store_seals,
)
from markets.models import FlexEvent, SettlementLink, SettlementRun, SettlementSeal, Statement, StatementRelease
from markets.services.release_chain import chain_faults, release_fault, run_fault
from markets.services.settlement_load import LoadedEvent, load_event
from markets.services.verified import Difference


def seal_settlement(*, settlement: SettlementRun, act_pk: int, released_at: datetime) -> None:
    """Keep digests of all that a settlement stands on; call it in the transaction that releases it.

    Args:
        act_pk: the control act that releases it.
    """
    loaded = load_event(event=settlement.event, run=settlement.dispatch_run, as_of=settlement.as_of)
    days = read_days(settlement, loaded)
    parts = sealed_parts(settlement, act_pk=act_pk, released_at=released_at)
    of_readings = [*reading_seals(days), *reading_seals(days, table=BATCHES)]
    seals = [*of_readings, *(rows_seal(kind, part) for kind, part in parts)]
    store_seals(settlement=settlement, seals=seals)


def read_days(settlement: SettlementRun, loaded: LoadedEvent) -> ReadDays:
    """The meter-days a settlement may have looked at."""
    history = loaded.inputs.history
    first = history.days[0] if history.days else history.grid.starts_at.date()
    return ReadDays(
        meter_pks=loaded.portfolios.read_meter_pks,
        first_day=first - timedelta(days=1),
        last_day=history.grid.ends_at.date(),
        as_of=settlement.as_of,
    )


def other_rows(
    settlement: SettlementRun, loaded: LoadedEvent | None, digested: DigestedDays | None = None
) -> Iterator[Difference]:
    """Rows that were sealed at the release and are others now; not readings, where nothing could be loaded."""
    sealed = load_seals(settlement_pk=settlement.pk)
    if not sealed:
        if hasattr(settlement, "release"):
            yield Difference(named(settlement), "seals", "rows", "nothing", "a released settlement is sealed")
        return
    if loaded is None:
        sealed = [seal for seal in sealed if seal.kind != Kind.READINGS]
    days = read_days(settlement, loaded) if loaded is not None else None
    for before, now in zip(sealed, sealed_again(sealed, days, digested), strict=True):
        if other := other_seal(named(settlement), before, now):
            yield other


def other_seal(name: str, before: Seal, now: Seal) -> Difference | None:
    """The difference of two seals of one part, if there is one."""
    if (before.n_row, before.sha256) == (now.n_row, now.sha256):
        return None
    return Difference(
        name,
        f"{before.kind} ({before.part})" if before.kind else before.part,
        "rows",
        f"{before.n_row} with SHA-256 {before.sha256}",
        f"{now.n_row} with SHA-256 {now.sha256}",
    )


def other_release(settlement: SettlementRun) -> Iterator[Difference]:
    """What the act and the two chains say of a settlement that is not what is stored."""
    name = named(settlement)
    release: StatementRelease | None = getattr(settlement, "release", None)
    if release is not None:
        yield from _act(settlement, release)
        if fault := release_fault(release):
            yield Difference(name, "chain of releases", "link", "other", fault)
    elif SettlementSeal.objects.filter(settlement_run=settlement).exists():
        yield Difference(name, "release", "row", "nothing", "it was sealed at a release")
    if fault := run_fault(settlement):
        yield Difference(name, "chain of runs", "link", "other", fault)


def _act(settlement: SettlementRun, release: StatementRelease) -> Iterator[Difference]:
    """Whether the act that a release names is the one that was sealed, and was done."""
    name = named(settlement)
    of_act = SettlementSeal.objects.filter(settlement_run=settlement, kind=Kind.RELEASE)
    for part in of_act.exclude(part=act_part(release.act_id)).values_list("part", flat=True):
        yield Difference(name, "release", "act_id", str(release.act_id), part)
    act = ControlAct.objects.across_tenants().filter(pk=release.act_id).first()
    if act is not None and act.state != ControlAct.State.DONE:
        yield Difference(name, f"{Kind.RELEASE} ({act_part(act.pk)})", "state", act.state, ControlAct.State.DONE)


def missing_rows() -> Iterator[Difference]:
    """What was taken away whole: settlements that others point to, versions before the newest, links of the chains."""
    for fault in chain_faults():
        yield Difference("chain", "whole", "links", "broken", fault)
    there = set(SettlementRun.objects.values_list("pk", flat=True))
    pointing = {
        "seals": SettlementSeal.objects.values_list("settlement_run_id", flat=True),
        "a release": StatementRelease.objects.values_list("settlement_run_id", flat=True),
        "a link": SettlementLink.objects.values_list("settlement_run_id", flat=True),
        "statements": Statement.objects.across_tenants().values_list("settlement_run_id", flat=True),
    }
    for what, pks in pointing.items():
        for pk in sorted(set(pks) - there):
            yield Difference(f"settlement {pk}", "whole", "settlement", "nothing", f"there is {what} of it")
    yield from _gaps()


def _gaps() -> Iterator[Difference]:
    """Versions that are missing between an event's first and its newest: a settlement that was taken away."""
    versions: dict[int, list[int]] = {}
    for event_pk, version in SettlementRun.objects.order_by("event", "version").values_list("event_id", "version"):
        versions.setdefault(event_pk, []).append(version)
    for event_pk, found in versions.items():
        for missing in sorted(set(range(1, found[-1] + 1)) - set(found)):
            yield Difference(f"event {event_pk}", f"settlement v{missing}", "settlement", "nothing", "published")


def named(settlement: SettlementRun) -> str:
    event = FlexEvent.objects.filter(pk=settlement.event_id).select_related("signal").first()
    reference = event.signal.reference if event else f"event {settlement.event_id}"
    return f"settlement {settlement.pk} ({reference} v{settlement.version})"
