"""Two chains: of all settlement runs, and of releases. Each link's hash covers its content and the link before it.

A link tells nothing of what it covers but a digest, so the whole chain can be shown to everybody; whoever holds the
content of a link can check it. PostgreSQL makes the links (markets/chain_sql.py,
run_chain_sql.py); this says the same in Python, to
check them.

Source: docs/formats.md
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

GENESIS_SHA256 = "0" * 64
NO_LINK = "unknown"
ChainName = Literal["release", "run"]


@dataclass(frozen=True, slots=True)
class ReleaseContent:
    """What one release made final.

    Attributes:
        settlement: key of the settlement run.
        statements: SHA-256 of the CSV of each of its statements, in any order.
        content_format: 1 is from before seals and runs were covered.
        run_sha256: its run's link in the chain of runs.
        seals_sha256: of the rows it was sealed by (``seals_sha256``).
    """

    settlement: int
    version: int
    as_of: datetime
    input_sha256: str
    released_at: datetime
    statements: tuple[str, ...]
    content_format: int = 1
    run_sha256: str = NO_LINK
    seals_sha256: str = ""


@dataclass(frozen=True, slots=True)
class RunContent:
    """What one settlement run published.

    Attributes:
        software_sha256: of the code that settled it; empty where that was not kept.
        statements: SHA-256 of the CSV of each of its statements, in any order.
    """

    settlement: int
    event: int
    version: int
    code: str
    as_of: datetime
    method: str
    input_sha256: str
    software_sha256: str
    statements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReleaseLink:
    """One link of a chain."""

    sequence: int
    previous_sha256: str
    content_sha256: str
    sha256: str


def content_text(content: ReleaseContent) -> str:
    """The content as lines of a word and a value, statements in the order of their digests; LF ends each."""
    lines = [
        f"headroom-release-content-{content.content_format}",
        f"settlement {content.settlement}",
        f"version {content.version}",
        f"as_of {_time(content.as_of)}",
        f"input {content.input_sha256}",
        f"released_at {_time(content.released_at)}",
        *(f"statement {digest}" for digest in sorted(content.statements)),
    ]
    if content.content_format > 1:
        lines += [f"run {content.run_sha256}", f"seals {content.seals_sha256}"]
    return "".join(f"{line}\n" for line in lines)


def run_text(content: RunContent) -> str:
    """A run's content, spelled as a release's is."""
    lines = [
        "headroom-run-content-1",
        f"settlement {content.settlement}",
        f"event {content.event}",
        f"version {content.version}",
        f"code {content.code}",
        f"as_of {_time(content.as_of)}",
        f"method {content.method}",
        f"input {content.input_sha256}",
        f"software {content.software_sha256 or NO_LINK}",
        *(f"statement {digest}" for digest in sorted(content.statements)),
    ]
    return "".join(f"{line}\n" for line in lines)


def text_sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def content_sha256(content: ReleaseContent) -> str:
    return text_sha256(content_text(content))


def link_sha256(link: ReleaseLink, chain: ChainName = "release") -> str:
    """What the link's hash should be."""
    return text_sha256(f"headroom-{chain}-1\n{link.sequence}\n{link.previous_sha256}\n{link.content_sha256}\n")


def next_link(text: str, *, last: ReleaseLink | None, chain: ChainName = "release") -> ReleaseLink:
    """The link of a content's text that follows ``last``."""
    bare = ReleaseLink(
        sequence=last.sequence + 1 if last else 1,
        previous_sha256=last.sha256 if last else GENESIS_SHA256,
        content_sha256=text_sha256(text),
        sha256="",
    )
    return replace(bare, sha256=link_sha256(bare, chain))


def chain_break(links: Iterable[ReleaseLink], chain: ChainName = "release") -> str:
    """Where links, from the first on, do not make a chain; empty where they do."""
    expected, previous = 1, GENESIS_SHA256
    for link in links:
        if link.sequence != expected:
            return f"{chain} {expected} is missing: {chain} {link.sequence} follows {chain} {expected - 1}"
        if link.previous_sha256 != previous:
            return f"{chain} {link.sequence} is chained to {link.previous_sha256[:12]}…, not to {previous[:12]}…"
        if link_sha256(link, chain) != link.sha256:
            return f"{chain} {link.sequence} does not fit its hash: it was altered"
        expected, previous = link.sequence + 1, link.sha256
    return ""


def seals_sha256(seals: Iterable[tuple[str, str, Sequence[str], int, str]]) -> str:
    """Digest of a run's seals: kind, part, columns, rows and SHA-256 of each, in any order."""
    ordered = sorted(seals, key=lambda seal: (seal[0].encode(), seal[1].encode()))
    return text_sha256(
        "".join(
            f"{kind} {part} {','.join(columns)} {n_row} {digest}\n" for kind, part, columns, n_row, digest in ordered
        )
    )


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
