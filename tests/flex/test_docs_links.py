"""The checker of links in the documentation."""

from pathlib import Path

import pytest

from flex.docs_links import dead_links, headings, main


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("# Head room\n\n## Who? It's `us`\n\n## Twice\n\n## Twice\n")
    return tmp_path


class TestDeadLinks:
    @pytest.mark.parametrize(
        "link",
        [
            "[a](../README.md)",
            "[a](/README.md#head-room)",
            '[a](../README.md#who-its-us "said")',
            "[a](../README.md#twice-1)",
            "[a](#here)",
            "[a](https://example.org/gone#away)",
            "[a](mailto:someone@example.org)",
            "`[a](gone.md)`",
            "```\n[a](gone.md)\n```",
            "[`code`][ref]\n\n[ref]: ../README.md",
        ],
    )
    def test_lets_pass_what_leads_somewhere(self, project, link):
        (project / "docs/page.md").write_text(f"# Here\n\n{link}\n")
        assert list(dead_links(project)) == []

    @pytest.mark.parametrize(
        ("link", "why"),
        [
            ("[a](gone.md)", "names a file that is not there"),
            ("![picture](gone.svg)", "names a file that is not there"),
            ("[a [b]](../README.md#nowhere)", "names a heading that is not there"),
            ("[a](../README.md#twice-2)", "names a heading that is not there"),
            ("[a](#nowhere)", "names a heading that is not there"),
            ("[a][ref]\n\n[ref]: gone.md", "names a file that is not there"),
            ("[a](../..)", "leaves the project"),
        ],
    )
    def test_names_what_leads_nowhere(self, project, link, why):
        (project / "docs/page.md").write_text(f"# Here\n\n{link}\n")
        (sentence,) = dead_links(project)
        assert sentence.startswith("docs/page.md: ")
        assert sentence.endswith(why)

    def test_ignores_folders_that_are_not_the_projects(self, project):
        (project / ".venv").mkdir()
        (project / ".venv/page.md").write_text("[a](gone.md)")
        assert main(project) == 0


class TestHeadings:
    def test_are_written_as_the_site_writes_them(self):
        assert headings("# A [link](x.md) & more\n```\n# no heading\n```\n") == {"a-link--more"}


class TestMain:
    def test_fails_on_a_dead_link(self, project, capsys):
        (project / "docs/page.md").write_text("[a](gone.md)")
        assert main(project) == 1
        assert "docs/page.md: gone.md" in capsys.readouterr().err
