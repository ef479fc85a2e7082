"""What the event log keeps of registrations: one event a DSRSP and batch, one a batch of network data."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime

from aggregator.core.registration import Registration
from aggregator.models import Batch, Organisation
from aggregator.services.caps import Standing, standings
from aggregator.services.event_log import record_event

MOST_NODES_SHOWN = 50
NOTHING = Standing(0, 0.0)

Ratings = Mapping[str, Mapping[str, float | str | None]]


def record_enrolments(
    *, batch: Batch, rows: tuple[Registration, ...], before: Mapping[int, Standing], now: datetime
) -> None:
    """Record what a batch changed for each DSRSP it names or takes EVSEs from.

    Args:
        rows: those that are new or changed something.
        before: ``standings`` before the batch.
    """
    after = standings(now=now)
    named = {row.dsrsp for row in rows}
    n_rows = {code: sum(row.dsrsp == code for row in rows) for code in named}
    for dsrsp in Organisation.objects.filter(kind=Organisation.Kind.DSRSP).order_by("code"):
        was, now_is = before.get(dsrsp.pk, NOTHING), after.get(dsrsp.pk, NOTHING)
        if dsrsp.code not in named and was == now_is:
            continue
        batch_facts = {"batch": batch.pk, "source": batch.source, "sha256": batch.sha256}
        record_event(
            action="enrolments.changed",
            subject=f"fleet of {dsrsp.code}",
            organisation=dsrsp,
            before=asdict(was),
            after={**asdict(now_is), "n_row": n_rows.get(dsrsp.code, 0), **batch_facts},
            at=now,
        )


def record_ratings(*, batch: Batch, before: Ratings, after: Ratings, now: datetime) -> None:
    """Record the ratings a batch of network data set: those of nodes that had one first, fifty nodes at most.

    Args:
        before: ratings replaced, by node code.
        after: ratings set, by node code; all of ``before``'s are among them.
    """
    if not after:
        return
    shown = [*sorted(before), *sorted(after.keys() - before.keys())][:MOST_NODES_SHOWN]
    record_event(
        action="limits.registered",
        subject=f"network of {batch.organisation.code}",
        organisation=batch.organisation,
        before={"n_node": len(before), "ratings": {code: dict(before[code]) for code in shown if code in before}},
        after={
            "n_node": len(after),
            "ratings": {code: dict(after[code]) for code in shown},
            "batch": batch.pk,
            "source": batch.source,
            "sha256": batch.sha256,
        },
        at=now,
    )
