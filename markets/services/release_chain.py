"""The chain of releases as it is stored: its links, what each covers, and whether it still holds."""

from markets.core.release_chain import ReleaseContent, ReleaseLink, chain_break, content_sha256
from markets.models import Statement, StatementRelease
from markets.services.statement_files import bytes_sha256


def release_links(*, up_to: int | None = None) -> tuple[ReleaseLink, ...]:
    """Links of the chain from the first on, to ``up_to`` or the end; ask as the platform, which sees them all."""
    releases = StatementRelease.objects.order_by("sequence")
    if up_to is not None:
        releases = releases.filter(sequence__lte=up_to)
    return tuple(link_of(release) for release in releases)


def link_of(release: StatementRelease) -> ReleaseLink:
    return ReleaseLink(release.sequence, release.previous_sha256, release.content_sha256, release.sha256)


def content_of(release: StatementRelease) -> ReleaseContent:
    """What a release covers, from the statements as they are stored now; ask as the platform."""
    run = release.settlement_run
    statements = Statement.objects.across_tenants().filter(settlement_run=run)
    return ReleaseContent(
        settlement=run.pk,
        version=run.version,
        as_of=run.as_of,
        input_sha256=run.input_sha256,
        released_at=release.released_at,
        statements=tuple(bytes_sha256(statement) for statement in statements),
    )


def release_faults() -> list[str]:
    """What no longer holds of the chain of releases, in words; empty where all does. Ask as the platform."""
    found = chain_break(release_links())
    releases = StatementRelease.objects.select_related("settlement_run__event__signal").order_by("sequence")
    return [
        *([found] if found else []),
        *(
            f"release {one.sequence} covers other statements than those stored now of {one.settlement_run}"
            for one in releases
            if content_sha256(content_of(one)) != one.content_sha256
        ),
    ]
