"""The chain of released runs: each release's hash covers what was released and the hash of the release before it.

A link tells nothing of what it covers but a digest, so the whole chain can be shown to everybody; whoever holds the
content of a link can check it. PostgreSQL makes the links (markets/chain_sql.py); this says the same in Python, to
check them.

Source: docs/formats.md
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

GENESIS_SHA256 = "0" * 64
CONTENT_FORMAT = "headroom-release-content-1"
LINK_FORMAT = "headroom-release-1"


@dataclass(frozen=True, slots=True)
class ReleaseContent:
    """What one release made final.

    Attributes:
        settlement: key of the settlement run.
        statements: SHA-256 of the CSV of each of its statements, in any order.
    """

    settlement: int
    version: int
    as_of: datetime
    input_sha256: str
    released_at: datetime
    statements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReleaseLink:
    """One release in the chain."""

    sequence: int
    previous_sha256: str
    content_sha256: str
    sha256: str


def content_text(content: ReleaseContent) -> str:
    """The content as lines of a word and a value, statements in the order of their digests; LF ends each."""
    lines = [
        CONTENT_FORMAT,
        f"settlement {content.settlement}",
        f"version {content.version}",
        f"as_of {_time(content.as_of)}",
        f"input {content.input_sha256}",
        f"released_at {_time(content.released_at)}",
        *(f"statement {digest}" for digest in sorted(content.statements)),
    ]
    return "".join(f"{line}\n" for line in lines)


def content_sha256(content: ReleaseContent) -> str:
    return hashlib.sha256(content_text(content).encode()).hexdigest()


def link_sha256(link: ReleaseLink) -> str:
    """What the link's hash should be."""
    text = f"{LINK_FORMAT}\n{link.sequence}\n{link.previous_sha256}\n{link.content_sha256}\n"
    return hashlib.sha256(text.encode()).hexdigest()


def next_link(content: ReleaseContent, *, last: ReleaseLink | None) -> ReleaseLink:
    """The link that follows ``last``."""
    bare = ReleaseLink(
        sequence=last.sequence + 1 if last else 1,
        previous_sha256=last.sha256 if last else GENESIS_SHA256,
        content_sha256=content_sha256(content),
        sha256="",
    )
    return ReleaseLink(bare.sequence, bare.previous_sha256, bare.content_sha256, link_sha256(bare))


def chain_break(links: Iterable[ReleaseLink]) -> str:
    """Where links, from the first on, do not make a chain; empty where they do."""
    expected, previous = 1, GENESIS_SHA256
    for link in links:
        if link.sequence != expected:
            return f"release {expected} is missing: release {link.sequence} follows release {expected - 1}"
        if link.previous_sha256 != previous:
            return f"release {link.sequence} is chained to {link.previous_sha256[:12]}…, not to {previous[:12]}…"
        if link_sha256(link) != link.sha256:
            return f"release {link.sequence} does not fit its hash: it was altered"
        expected, previous = link.sequence + 1, link.sha256
    return ""


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
