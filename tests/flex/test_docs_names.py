"""What the documents name in `code` exists: files, names in files, commands and make targets."""

import re
from pathlib import Path

import pytest
from django.core.management import get_commands

from flex.docs_links import FENCE, PROJECT, pages

PACKAGES = ("aggregator", "dispatch", "markets", "flex", "templates", "tests", "docs")
PLACE = re.compile(rf"`((?:(?:{'|'.join(PACKAGES)})/[^`:\s]*|manage\.py))(?::(\w+))?`")
# A word in backticks counts too, but for import_ and forecast_, which begin columns of files as well.
COMMAND = re.compile(r"(?:manage\.py|\$M) ([a-z]\w*)|`((?:run|seed|settle|deliver)_\w+)`")
TARGET = re.compile(r"`?\bmake ((?:run|test|check|stop|lock|help)[\w-]*)")
DOCUMENTS = [page.relative_to(PROJECT).as_posix() for page in pages(PROJECT)]


def text_of(document: str) -> str:
    return (PROJECT / document).read_text(encoding="utf-8")


def found(path: str) -> list[Path]:
    """Files and folders a path means; a * stands for any part of a name, <…> and … for what a reader fills in."""
    if re.search(r"[<>…]|NNNN", path):
        return [PROJECT]
    return list(PROJECT.glob(path.rstrip("/")))


def missing_places(text: str) -> list[str]:
    missing = []
    for path, name in PLACE.findall(FENCE.sub("", text)):
        files = found(path)
        defined = re.compile(rf"^(?:async )?(?:def|class) {name}\b|^{name}\b\s*[:=]", re.MULTILINE)
        if not files or (name and not any(defined.search(file.read_text(encoding="utf-8")) for file in files)):
            missing.append(f"{path}:{name}" if name else path)
    return missing


class TestMissingPlaces:
    @pytest.mark.parametrize(
        "text",
        [
            "`flex/docs_links.py`",
            "`flex/docs_links.py:dead_links`",
            "`flex/docs_links.py:LINK`",
            "`markets/core/demo_*.py`",
            "`docs/methods/`",
            "`docs/methods/<method>.md`",
            "`manage.py:AS_OWNER`",
        ],
    )
    def test_are_none_where_all_stand(self, text):
        assert missing_places(text) == []

    @pytest.mark.parametrize(
        "text", ["`flex/gone.py`", "`flex/docs_links.py:gone`", "`flex/docs_links.py:dead`", "`markets/core/gone_*.py`"]
    )
    def test_name_what_is_gone(self, text):
        assert missing_places(text) == [text.strip("`")]


@pytest.mark.parametrize("document", DOCUMENTS)
class TestDocument:
    def test_names_places_that_exist(self, document):
        assert missing_places(text_of(document)) == []

    def test_names_commands_that_exist(self, document):
        named = {first or second for first, second in COMMAND.findall(text_of(document))}

        assert named - set(get_commands()) == set()

    def test_names_make_targets_that_exist(self, document):
        targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))

        assert set(TARGET.findall(text_of(document))) - targets == set()
