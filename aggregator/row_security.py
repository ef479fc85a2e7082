"""Row-level security, the second tenant wall: what a policy is, and how migrations put policies up.

The policies of a floor are one page of data: ``aggregator/policies.py``, ``dispatch/policies.py`` and
``markets/policies.py``. Four rules hold for all of them:

- Whoever is nobody sees and writes nothing. A session says who it is by two settings (``aggregator.models.acting``).
- Only the platform's own work writes, but for the two tables that a request writes for its own organisation.
- Every policy lets one audience read; an audience sees a row that any policy shows it.
- An expression asks for the settings as ``(SELECT headroom_kind())``, so that they are looked up once a statement and
  not once a row. Where it must look into another protected table it asks a function that runs as the owner, whom no
  policy binds, and that answers with keys alone: the rows the acting organisation has business with.

Migrations put the pages up as they read now. A policy or function that changes is put up again by a migration of its
own; one that needs a new table or column goes on a page of its own beside it, for the migrations before have neither.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

KIND = "(SELECT headroom_kind())"
ORGANISATION = "(SELECT headroom_organisation())"
OWN = f"organisation_id = {ORGANISATION}"
WORK = f"{KIND} = 'work'"
PLATFORM = f"{KIND} = 'platform'"
DSRSP = f"{KIND} = 'dsrsp'"


class SchemaEditor(Protocol):
    def execute(self, sql: str, params: None = None) -> None: ...


@dataclass(frozen=True, slots=True)
class Policy:
    """Rows of ``table`` that ``using`` is true of may be read; where ``may_write``, also changed, removed and added."""

    table: str
    name: str
    using: str
    may_write: bool = False

    def sql(self) -> str:
        if self.may_write:
            return f"CREATE POLICY {self.name} ON {self.table} USING ({self.using}) WITH CHECK ({self.using})"
        return f"CREATE POLICY {self.name} ON {self.table} FOR SELECT USING ({self.using})"


@dataclass(frozen=True, slots=True)
class KeysOf:
    """A function that says, as the owner, which keys the acting organisation has business with."""

    name: str
    query: str

    def sql(self) -> str:
        return (
            f"CREATE OR REPLACE FUNCTION {self.name}() RETURNS SETOF bigint LANGUAGE sql STABLE PARALLEL SAFE "
            f"SECURITY DEFINER SET search_path = public, pg_temp AS $function$ {self.query} $function$"
        )


def policies_of(read_by: Mapping[str, Mapping[str, str]], *, owner_writes: Iterable[str] = ()) -> tuple[Policy, ...]:
    """Everybody who reads the rows of these tables, and the platform's own work, which also writes them.

    Args:
        read_by: by table and policy the expression that is true of rows it shows.
        owner_writes: tables where whoever the policy ``owner`` shows rows to may write them.
    """
    open_to_owner = set(owner_writes)
    return tuple(
        Policy(table, name, using, may_write=name == "work" or (name == "owner" and table in open_to_owner))
        for table, readers in read_by.items()
        for name, using in {"work": WORK, **readers}.items()
    )


def further_readers(read_by: Mapping[str, Mapping[str, str]]) -> tuple[Policy, ...]:
    """Who else reads rows of a lower floor, for what stands on this one."""
    return tuple(Policy(table, name, using) for table, readers in read_by.items() for name, using in readers.items())


def put_up(schema_editor: SchemaEditor, functions: Iterable[KeysOf], policies: Iterable[Policy]) -> None:
    """Make or replace these functions and policies, and bind their tables by them."""
    wanted = list(policies)
    for function in functions:
        schema_editor.execute(function.sql(), params=None)
    for table in dict.fromkeys(policy.table for policy in wanted):
        schema_editor.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY", params=None)
    for policy in wanted:
        schema_editor.execute(f"DROP POLICY IF EXISTS {policy.name} ON {policy.table}", params=None)
        schema_editor.execute(policy.sql(), params=None)


def take_down(schema_editor: SchemaEditor, functions: Iterable[KeysOf], policies: Iterable[Policy]) -> None:
    """Undo ``put_up``: tables that this floor alone bound are free again."""
    wanted = list(policies)
    for policy in wanted:
        schema_editor.execute(f"DROP POLICY {policy.name} ON {policy.table}", params=None)
    for policy in wanted:
        if policy.name == "work":
            schema_editor.execute(f"ALTER TABLE {policy.table} DISABLE ROW LEVEL SECURITY", params=None)
    for function in functions:
        schema_editor.execute(f"DROP FUNCTION {function.name}()", params=None)
