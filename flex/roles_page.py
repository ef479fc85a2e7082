"""The page docs/roles.md, made from the table of permissions that the walls go by.

`python -m flex.roles_page` writes it; with `--check` it only says whether the page is what the table says, and ends
with 1 where it is not.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import fill

from aggregator.core.permissions import (
    KIND_ROLES,
    PEOPLE_ONLY,
    SAID,
    SCOPES,
    Action,
    Role,
    role_actions,
    scope_actions,
)

PAGE = Path(__file__).resolve().parent.parent / "docs" / "roles.md"
KIND_SAID = {
    "dsrsp": "DSRSP",
    "dno": "DNO",
    "market_operator": "market",
    "platform": "platform",
}
INTRODUCTION = """\
# Roles and scopes

Made from `aggregator/core/permissions.py` by `python -m flex.roles_page`; `make check` compares. The walls, the menu
and the API go by the same table.

A person acts for an organisation in one role; with several organisations they choose for which. A role never reaches
beyond what its organisation's kind may do, and every read ends at the organisation's own rows
(`aggregator/row_security.py`). Log-in asks for a password and a second factor. Acts that change what others rely on ask
for a proof of the last five minutes that it is still the same person (`CONFIRMED_FOR_S`).
"""
MACHINES = """\
## Scopes

An API client belongs to one organisation. It may do what the scopes of its token say, within its own scopes and within
what its organisation's kind may do. `yes` is for every kind of organisation; otherwise the kinds are named.
"""


def render() -> str:
    """The whole page."""
    return "\n".join(_lines()) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Write the page, or with ``--check`` compare it; give back the exit code."""
    if list(arguments) not in ([], ["--check"]):
        sys.stderr.write("usage: python -m flex.roles_page [--check]\n")
        return 2
    if not arguments:
        PAGE.write_text(render())
        return 0
    if PAGE.is_file() and PAGE.read_text() == render():
        return 0
    sys.stderr.write("docs/roles.md is not what the permissions say; `python -m flex.roles_page` writes it\n")
    return 1


def _lines() -> Iterator[str]:
    yield INTRODUCTION
    yield "## Roles\n"
    yield from _role_table()
    people_only = _listed([SAID[action] for action in Action if action in PEOPLE_ONLY])
    sentence = f"Only people may {people_only}: no API client can, whatever its scopes, for a person answers for these."
    yield f"\n{fill(sentence, 120)}\n"
    yield MACHINES
    yield from _scope_table()


def _role_table() -> Iterator[str]:
    given = [(kind, role) for kind, roles in KIND_ROLES.items() for role in roles]
    yield from _table(
        ["Action", *(f"{_words(role)}, {KIND_SAID[kind]}" for kind, role in given)],
        {
            SAID[action]: ["yes" if action in role_actions(role, kind) else "" for kind, role in given]
            for action in Action
        },
    )


def _scope_table() -> Iterator[str]:
    reachable = [action for action in Action if action not in PEOPLE_ONLY]
    yield from _table(
        ["Action", *(f"`{scope}`" for scope in SCOPES)],
        {SAID[action]: [_kinds(scope, action) for scope in SCOPES] for action in reachable},
    )


def _kinds(scope: str, action: Action) -> str:
    kinds = [said for kind, said in KIND_SAID.items() if action in scope_actions(frozenset({scope}), kind)]
    return "yes" if len(kinds) == len(KIND_SAID) else ", ".join(kinds)


def _table(header: Sequence[str], rows: Mapping[str, Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield "|" + "---|" * len(header)
    for name, cells in rows.items():
        yield f"| {' | '.join([name, *cells])} |"


def _words(role: Role) -> str:
    return role.value.replace("_", " ")


def _listed(parts: Sequence[str]) -> str:
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
