"""docs/roles.md says what the walls do."""

from pathlib import Path

import pytest

from aggregator.core.permissions import KIND_ROLES, PEOPLE_ONLY, SAID, SCOPES, Action, role_actions
from flex import roles_page
from flex.roles_page import main, render


def table(title: str) -> dict[str, dict[str, str]]:
    """Cells of the table under a heading, by the action's words and the column."""
    lines = render().split(f"## {title}\n", 1)[1].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    ends = next((at for at, row in enumerate(rows[1:], 1) if row[0] == "Action"), len(rows))
    return {row[0]: dict(zip(rows[0][1:], row[1:], strict=True)) for row in rows[2:ends]}


@pytest.fixture
def page(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setattr(roles_page, "PAGE", tmp_path / "roles.md")
    return tmp_path / "roles.md"


class TestRolesPage:
    def test_is_committed_as_the_table_says(self):
        assert main(["--check"]) == 0

    def test_says_of_every_role_and_action_what_it_may(self):
        rows = table("Roles")

        assert rows.keys() == set(SAID.values())
        for kind, roles in KIND_ROLES.items():
            for role in roles:
                column = f"{role.value.replace('_', ' ')}, {roles_page.KIND_SAID[kind]}"
                said = {action for action in Action if rows[SAID[action]][column] == "yes"}
                assert said == role_actions(role, kind)

    def test_says_nothing_of_scopes_for_what_only_people_may(self):
        rows = table("Scopes")

        assert rows.keys() == {SAID[action] for action in Action if action not in PEOPLE_ONLY}
        assert all(len(cells) == len(SCOPES) for cells in rows.values())
        assert rows[SAID[Action.SEE_FLEET]]["`fleet:read`"] == "DSRSP"
        assert rows[SAID[Action.SEE_STATEMENTS]]["`settlement:read`"] == "yes"
        assert rows[SAID[Action.SEE_STATEMENTS]]["`fleet:read`"] == ""
        text = " ".join(render().split())
        assert all(SAID[action] in text.split("Only people may ")[1].split(":")[0] for action in PEOPLE_ONLY)


class TestMain:
    def test_writes_what_it_then_finds_right(self, page):
        assert main(["--check"]) == 1
        assert main([]) == 0
        assert main(["--check"]) == 0
        page.write_text(page.read_text().replace("yes", "", 1))
        assert main(["--check"]) == 1

    def test_knows_no_other_argument(self, page):
        assert main(["--fix"]) == 2
        assert not page.exists()
