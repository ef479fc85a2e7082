"""The chains of runs and of releases as they are stored: links, what each covers, and whether they still hold."""

from markets.arrays.seals import load_seals
from markets.core.release_chain import (
    NO_LINK,
    ReleaseContent,
    ReleaseLink,
    RunContent,
    chain_break,
    content_sha256,
    run_text,
    seals_sha256,
    text_sha256,
)
from markets.models import SettlementLink, SettlementRun, Statement, StatementRelease
from markets.services.statement_files import bytes_sha256


def release_links(*, up_to: int | None = None) -> tuple[ReleaseLink, ...]:
    """Links of the chain from the first on, to ``up_to`` or the end; ask as the platform, which sees them all."""
    releases = StatementRelease.objects.order_by("sequence")
    if up_to is not None:
        releases = releases.filter(sequence__lte=up_to)
    return tuple(link_of(release) for release in releases)


def link_of(row: StatementRelease | SettlementLink) -> ReleaseLink:
    return ReleaseLink(row.sequence, row.previous_sha256, row.content_sha256, row.sha256)


def content_of(release: StatementRelease) -> ReleaseContent:
    """What a release covers, from what is stored now; ask as the platform."""
    run = release.settlement_run
    seals = load_seals(settlement_pk=run.pk)
    return ReleaseContent(
        settlement=run.pk,
        version=run.version,
        as_of=run.as_of,
        input_sha256=run.input_sha256,
        released_at=release.released_at,
        statements=_statements(run),
        content_format=release.content_format,
        run_sha256=run.link.sha256 if hasattr(run, "link") else NO_LINK,
        seals_sha256=seals_sha256((one.kind, one.part, one.columns, one.n_row, one.sha256) for one in seals),
    )


def run_links(*, up_to: int | None = None) -> tuple[ReleaseLink, ...]:
    """Links of the chain of all runs from the first on, to ``up_to`` or the end; ask as the platform."""
    links = SettlementLink.objects.order_by("sequence")
    if up_to is not None:
        links = links.filter(sequence__lte=up_to)
    return tuple(link_of(link) for link in links)


def run_content_of(run: SettlementRun) -> RunContent:
    """What a run published, from what is stored now; ask as the platform."""
    return RunContent(
        settlement=run.pk,
        event=run.event_id,
        version=run.version,
        code=run.code,
        as_of=run.as_of,
        method=run.method,
        input_sha256=run.input_sha256,
        software_sha256=run.software.get("markets_core_sha256", ""),
        statements=_statements(run),
    )


def _statements(run: SettlementRun) -> tuple[str, ...]:
    statements = Statement.objects.across_tenants().filter(settlement_run=run)
    return tuple(bytes_sha256(statement) for statement in statements)


def release_fault(release: StatementRelease) -> str:
    """What a release covers that is no longer what is stored, in words; empty where all is."""
    if content_sha256(content_of(release)) == release.content_sha256:
        return ""
    return (
        f"release {release.sequence} covers other statements than those stored now of {release.settlement_run}, "
        "or other seals or another link"
    )


def run_fault(run: SettlementRun) -> str:
    """What of a run is not what was chained, in words; empty where all is."""
    link = getattr(run, "link", None)
    if link is None:
        return f"{run} is not in the chain of runs"
    if text_sha256(run_text(run_content_of(run))) != link.content_sha256:
        return f"link {link.sequence} of the chain of runs covers another run than the one stored now, {run}"
    return ""


def chain_faults() -> list[str]:
    """Where one of the two chains is broken; empty where both hold. Ask as the platform."""
    found = (chain_break(release_links()), chain_break(run_links(), "run"))
    return [fault for fault in found if fault]


def release_faults() -> list[str]:
    """What no longer holds of both chains, in words; empty where all does. Ask as the platform."""
    releases = StatementRelease.objects.select_related("settlement_run__event__signal", "settlement_run__link")
    linked = SettlementRun.objects.select_related("event__signal", "link").exclude(link=None)
    return [
        *chain_faults(),
        *filter(None, (release_fault(one) for one in releases.order_by("sequence"))),
        *filter(None, (run_fault(one) for one in linked.order_by("link__sequence"))),
    ]
