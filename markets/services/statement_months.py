"""Statements by month, of London's calendar: which months hold any, and what one of them comes to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from django.db.models import Count, QuerySet, Sum
from django.db.models.functions import TruncMonth

from aggregator.core.errors import FlexError
from aggregator.core.timegrid import LONDON, settlement_day
from aggregator.models import Organisation
from markets.models import Statement
from markets.queries import statements_seen_by

NEWEST_MONTHS = 13


class NotAMonth(FlexError):
    code = "statements.not_a_month"


@dataclass(frozen=True, slots=True)
class Month:
    """A calendar month; ``key`` is written 2026-01."""

    first_day: date
    n_statement: int = 0

    @property
    def key(self) -> str:
        return f"{self.first_day:%Y-%m}"

    @property
    def label(self) -> str:
        return f"{self.first_day:%B %Y}"

    @property
    def starts_at(self) -> datetime:
        return settlement_day(self.first_day).starts_at

    @property
    def ends_at(self) -> datetime:
        last = self.first_day.month == 12
        after = date(self.first_day.year + last, 1 if last else self.first_day.month + 1, 1)
        return settlement_day(after).starts_at


@dataclass(frozen=True, slots=True)
class MonthTotals:
    """What the statements in force come to: versions that were superseded are left out."""

    n_statement: int
    delivered_kwh: Decimal
    payment_gbp: Decimal


def month_of(key: str) -> Month:
    """Read a month as ``2026-01``.

    Raises:
        NotAMonth: other text, or a year outside 2000 to 2099.
    """
    try:
        first_day = datetime.strptime(key, "%Y-%m").replace(tzinfo=LONDON).date()
    except ValueError:
        raise NotAMonth(f"a month is written as 2026-01, found {key[:40]!r}") from None
    if len(key) != len("2026-01") or not 2000 <= first_day.year < 2100:
        raise NotAMonth(f"a month is one from 2000-01 to 2099-12, found {key[:40]!r}")
    return Month(first_day)


def statement_months(*, organisation: Organisation) -> tuple[Month, ...]:
    """The newest months in which an event started that the organisation may read a statement of, newest first."""
    month = TruncMonth("settlement_run__event__signal__starts_at", tzinfo=LONDON)
    counted = statements_seen_by(organisation).annotate(month=month).values("month").annotate(n=Count("pk"))
    newest = counted.order_by("-month").values_list("month", "n")[:NEWEST_MONTHS]
    return tuple(Month(starts_at.date(), n) for starts_at, n in newest)


def month_totals(statements: "QuerySet[Statement]") -> MonthTotals:
    """Add up those of the statements that are in force."""
    in_force = statements.filter(settlement_run__superseded_by__isnull=True).order_by()
    found = in_force.aggregate(n=Count("pk"), delivered_kwh=Sum("delivered_kwh"), payment_gbp=Sum("payment_gbp"))
    return MonthTotals(found["n"], found["delivered_kwh"] or Decimal(0), found["payment_gbp"] or Decimal(0))


def shown_months(months: Sequence[Month], chosen: Month | None) -> tuple[Month, ...]:
    """The months to choose from, the chosen one among them even where it holds nothing."""
    if chosen is None or any(month.key == chosen.key for month in months):
        return tuple(months)
    return tuple(sorted((*months, chosen), key=lambda month: month.first_day, reverse=True))
