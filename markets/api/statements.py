"""Published statements: lists, one with its half-hours, what a version changed, and the file itself."""

from decimal import Decimal
from typing import Any

from django.db.models import F, QuerySet
from django.http import Http404

from aggregator.core.permissions import Action
from aggregator.rest.fields import Choice, Code, PublicId
from aggregator.rest.spans import PartQuery
from aggregator.rest.views import ApiView, DetailView, ListView
from markets.api.shapes import LONDON, SETTLEMENT, STATEMENT, TZ_HELP, TzQuery, with_local
from markets.api.statement_rows import (
    STATE_HELP,
    STATES,
    LineChangeRow,
    ReboundRow,
    ShortfallCauseRow,
    StatementDetailRow,
    StatementDiffRow,
    StatementLineRow,
    StatementReasonRow,
    StatementRow,
    TotalsRow,
)
from markets.models import Statement
from markets.queries import statements_seen_by
from markets.services.causes import explained
from markets.services.statements import compare_statement, see_statements

IS_STATE = {
    "superseded": {"superseded_by__isnull": False},
    "released": {"superseded_by__isnull": True, "release__isnull": False},
    "preliminary": {"superseded_by__isnull": True, "release__isnull": True},
}


def in_state(state: str | None, path: str = "") -> dict[str, bool]:
    """Filter of settlement runs in a state; ``path`` leads to them from another row."""
    return {f"{path}{name}": value for name, value in IS_STATE[state].items()} if state else {}


class StatementQuery(PartQuery):
    reference = Code(required=False, help_text="of the request")
    dsrsp = Code(max_length=50, required=False, help_text="code of the DSRSP")
    product = Code(max_length=50, required=False)
    state = Choice(choices=STATES, required=False, help_text=STATE_HELP)
    settlement_run = PublicId(SETTLEMENT, required=False)
    tz = Choice(choices=[LONDON], required=False, help_text=TZ_HELP)


FILTERS = {
    "reference": "settlement_run__event__signal__reference",
    "dsrsp": "organisation__code",
    "product": "settlement_run__event__product__code",
    "settlement_run": "settlement_run",
    "from": "settlement_run__event__signal__ends_at__gt",
    "to": "settlement_run__event__signal__starts_at__lt",
}


class OfStatements(ApiView):
    """What shows statements."""

    def readable(self) -> "QuerySet[Statement]":
        """Statements the viewer may read, without their files."""
        seen = statements_seen_by(self.viewer.organisation).defer("content")
        run = "settlement_run"
        return seen.select_related(
            "organisation",
            f"{run}__event__signal",
            f"{run}__event__product",
            f"{run}__superseded_by",
            f"{run}__release",
        )

    def statement(self) -> Statement:
        """The statement named in the address.

        Raises:
            Http404: there is none, or it is not the viewer's to read.
        """
        found = self.readable().filter(pk=self.pk()).first()
        if found is None:
            raise Http404
        return found


class Statements(OfStatements, ListView):
    """Statements: a DSRSP's own, a DNO's those of products it buys, every one for a market operator.

    ``from`` and ``to`` keep those whose event overlaps that span.
    """

    actions = {"GET": Action.SEE_STATEMENTS}
    row, filters = StatementRow, StatementQuery
    orders = {"newest": ("-pk",), "oldest": ("pk",)}

    def seen(self, asked: dict[str, Any]) -> "QuerySet[Statement]":
        found = {FILTERS[name]: value for name, value in asked.items() if name in FILTERS}
        return self.readable().filter(**found, **in_state(asked.get("state"), "settlement_run__"))

    def show(self, rows: list[Any]) -> list[dict[str, Any]]:
        shown = StatementRow.show_all(see_statements(rows, self.viewer.organisation))
        return [with_local(one, self.asked.get("tz")) for one in shown]


class StatementDetail(OfStatements, DetailView):
    """One statement with its settlement periods."""

    actions = {"GET": Action.SEE_STATEMENTS}
    queries = {"GET": TzQuery}
    row, id_prefix = StatementDetailRow, STATEMENT

    def find(self, *, to_change: bool = False) -> Statement:
        return self.statement()

    def show(self, thing: Statement) -> dict[str, Any]:
        tz = self.asked.get("tz")
        shown = StatementRow.show(see_statements([thing], self.viewer.organisation)[0])
        lines = StatementLineRow.show_all(thing.lines.order_by("starts_at"))
        why = explained(thing.pk)
        return {
            **with_local(shown, tz),
            "lines": [with_local(line, tz) for line in lines],
            "causes": ShortfallCauseRow.show_all(why.causes),
            "rebound": ReboundRow.show_all(why.rebounds),
        }


class StatementDiff(OfStatements, DetailView):
    """What a statement says otherwise than the version it supersedes, period by period."""

    actions = {"GET": Action.SEE_STATEMENTS}
    row, id_prefix = StatementDiffRow, STATEMENT

    def find(self, *, to_change: bool = False) -> Statement:
        return self.statement()

    def show(self, thing: Statement) -> dict[str, Any]:
        diff = compare_statement(thing, self.viewer.organisation)
        paid_before = Decimal("0.00") if diff.before is None else diff.before.payment_gbp
        reasons = thing.reasons.across_tenants().order_by(F("starts_at").asc(nulls_first=True), "pk")
        return {
            "before": None if diff.before is None else TotalsRow.show(diff.before),
            "after": TotalsRow.show(diff.after),
            "delta_gbp": str(diff.after.payment_gbp - paid_before),
            "lines": LineChangeRow.show_all(diff.lines),
            "reasons": StatementReasonRow.show_all(reasons),
        }
