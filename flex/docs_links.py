"""Find dead links in the Markdown of the project: files that are not there, headings nobody wrote.

`python -m flex.docs_links` prints one line per dead link and fails if there is any. Addresses on the web
are left alone: a check that needs the network fails on other people's bad days.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

PROJECT = Path(__file__).resolve().parent.parent
SKIPPED = {".venv", ".git", "var", "node_modules"}
LINK = re.compile(r"!?\[(?:[^\]\[]|\[[^\]]*\])*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
REFERENCE = re.compile(r"^\s{0,3}\[[^\]]+\]:\s*<?(\S+?)>?(?:\s+\"[^\"]*\")?\s*$", re.MULTILINE)
FENCE = re.compile(r"^(```+|~~~+).*?^\1\s*$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*\s*$", re.MULTILINE)
ANCHOR = re.compile(r"<a\s+(?:id|name)=\"([^\"]+)\"")
WEB = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def pages(project: Path) -> list[Path]:
    """List the project's Markdown pages, sorted."""
    return sorted(page for page in project.rglob("*.md") if not SKIPPED & set(page.relative_to(project).parts[:-1]))


def headings(text: str) -> set[str]:
    """Return the anchors a page offers: one per heading, as GitHub makes them, and its own ``<a id>``."""
    plain = FENCE.sub("", text)
    anchors: set[str] = set(ANCHOR.findall(plain))
    for title in HEADING.findall(plain):
        shown = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", title).lower()
        anchor = re.sub(r"[^\w\- ]", "", shown).replace(" ", "-")
        n_before = 0
        while (candidate := f"{anchor}-{n_before}" if n_before else anchor) in anchors:
            n_before += 1
        anchors.add(candidate)
    return anchors


def targets(text: str) -> list[str]:
    """Return where a page's links point, web addresses left out."""
    plain = CODE.sub("", FENCE.sub("", text))
    return [target for target in LINK.findall(plain) + REFERENCE.findall(plain) if not WEB.match(target)]


def dead_links(project: Path) -> Iterator[str]:
    """Yield one sentence per link that leads nowhere."""
    for page in pages(project):
        for target in targets(page.read_text(encoding="utf-8")):
            name, _, anchor = unquote(target).partition("#")
            aim = (project / name.lstrip("/") if name.startswith("/") else page.parent / name) if name else page
            where = f"{page.relative_to(project)}: {target}"
            if not aim.exists():
                yield f"{where} names a file that is not there"
            elif not aim.resolve().is_relative_to(project.resolve()):
                yield f"{where} leaves the project"
            elif anchor and aim.suffix == ".md" and anchor not in headings(aim.read_text(encoding="utf-8")):
                yield f"{where} names a heading that is not there"


def main(project: Path = PROJECT) -> int:
    dead = list(dead_links(project))
    for sentence in dead:
        sys.stderr.write(f"{sentence}\n")
    sys.stdout.write(f"links of {len(pages(project))} pages: {len(dead) or 'none'} dead\n")
    return 1 if dead else 0


if __name__ == "__main__":
    sys.exit(main())
