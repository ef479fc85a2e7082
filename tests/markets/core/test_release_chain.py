from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.core.release_chain import (
    ReleaseContent,
    ReleaseLink,
    chain_break,
    content_text,
    link_sha256,
    next_link,
)

CONTENT = ReleaseContent(
    settlement=7,
    version=2,
    as_of=datetime(2026, 2, 15, 9, tzinfo=UTC),
    input_sha256="ab" * 32,
    released_at=datetime(2026, 2, 16, 9, 30, 0, 120, tzinfo=UTC),
    statements=("ff" * 32, "00" * 32),
)


def chain(n_link: int) -> list[ReleaseLink]:
    links: list[ReleaseLink] = []
    for settlement in range(1, n_link + 1):
        links.append(
            next_link(content_text(replace(CONTENT, settlement=settlement)), last=links[-1] if links else None)
        )
    return links


class TestContentText:
    def test_is_these_lines(self):
        assert content_text(CONTENT) == (
            "headroom-release-content-1\nsettlement 7\nversion 2\nas_of 2026-02-15T09:00:00.000000Z\n"
            f"input {'ab' * 32}\nreleased_at 2026-02-16T09:30:00.000120Z\n"
            f"statement {'00' * 32}\nstatement {'ff' * 32}\n"
        )


class TestChainBreak:
    def test_finds_nothing_in_a_chain(self):
        assert chain_break(chain(5)) == ""
        assert chain_break([]) == ""

    @given(at=st.integers(0, 4), name=st.sampled_from(["sequence", "previous_sha256", "content_sha256", "sha256"]))
    def test_finds_any_link_that_was_altered(self, at, name):
        links = chain(5)
        links[at] = replace(links[at], **{name: 99 if name == "sequence" else "1" * 64})

        assert chain_break(links)

    @pytest.mark.parametrize("at", range(4))
    def test_finds_a_link_taken_out_put_in_or_hashed_anew(self, at):
        links = chain(5)
        forged = replace(links[at], content_sha256="1" * 64)

        assert chain_break([*links[:at], *links[at + 1 :]])
        assert chain_break([*links[: at + 1], *links[at:]])
        assert chain_break([*links[:at], replace(forged, sha256=link_sha256(forged)), *links[at + 1 :]])
