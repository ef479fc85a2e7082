"""Statements as one organisation may read them: where each stands among its versions, and what a version changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q

from aggregator.models import Organisation
from markets.core.statement_diff import LineChange, changed_lines
from markets.models import SettlementRun, Statement, StatementRelease
from markets.queries import statements_seen_by
from markets.services.statement_figures import line_figures


@dataclass(frozen=True, slots=True)
class SeenStatement:
    """A statement and the keys of the versions before and after it, None where there is none."""

    statement: Statement
    supersedes_pk: int | None
    superseded_by_pk: int | None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a settlement stands: ``preliminary``, ``released`` since a time, or ``superseded`` by a newer version."""

    state: str
    released_at: datetime | None
    superseded_by_pk: int | None


@dataclass(frozen=True, slots=True)
class StatementDiff:
    """A statement beside the one it supersedes; without one, every line of it is new."""

    before: Statement | None
    after: Statement
    lines: tuple[LineChange, ...]


def see_statements(statements: Sequence[Statement], organisation: Organisation) -> list[SeenStatement]:
    """Find the neighbours of each statement among its versions.

    Args:
        statements: with their ``settlement_run``, its ``superseded_by`` and its ``release``.
    """
    runs = [statement.settlement_run for statement in statements]
    neighbours = Q(settlement_run__superseded_by__in=runs) | Q(settlement_run__supersedes__in=runs)
    found = statements_seen_by(organisation).filter(neighbours).values_list("settlement_run", "organisation", "pk")
    pk_of = {(run_pk, dsrsp_pk): pk for run_pk, dsrsp_pk, pk in found}
    return [
        SeenStatement(
            one,
            supersedes_pk=pk_of.get((one.settlement_run.supersedes_id or 0, one.organisation_id)),
            superseded_by_pk=pk_of.get((standing(one.settlement_run).superseded_by_pk or 0, one.organisation_id)),
        )
        for one in statements
    ]


def standing(run: SettlementRun) -> Standing:
    """Where a settlement stands, and with it its statements."""
    newer: SettlementRun | None = getattr(run, "superseded_by", None)
    release: StatementRelease | None = getattr(run, "release", None)
    released_at = None if release is None else release.released_at
    if newer is not None:
        return Standing("superseded", released_at, newer.pk)
    return Standing("preliminary" if release is None else "released", released_at, None)


def compare_statement(statement: Statement, organisation: Organisation) -> StatementDiff:
    """Compare a statement with the one it supersedes, line by line."""
    superseded = statement.settlement_run.supersedes_id
    seen = statements_seen_by(organisation).select_related("settlement_run").defer("content")
    before = (
        seen.filter(settlement_run=superseded, organisation=statement.organisation_id).first() if superseded else None
    )
    lines = changed_lines({} if before is None else line_figures(before), line_figures(statement))
    return StatementDiff(before, statement, lines)
