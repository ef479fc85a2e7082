"""Pages of a list by cursor: where the last page ended, not how many rows came before it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.core import signing
from django.db.models import Field, Model, Q, QuerySet

from aggregator.rest.problems import InvalidInput

DEFAULT_LIMIT = 100
MAX_LIMIT = 1_000
SALT = "headroom.rest.cursor"
LONGEST_CURSOR = 1_000


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of one page in the order asked for, and the cursors of its neighbours, None where there is none."""

    rows: list[Any]
    next: str | None
    previous: str | None


def read_page(rows: "QuerySet[Any]", *, order: Sequence[str], limit: int, cursor: str, name: str) -> Page:
    """One page of a queryset.

    Args:
        order: fields, ``-`` before a falling one; none may be null, and the last must be unique.
        cursor: empty for the first page.
        name: names the list and its order, so that a cursor is of use in no other.

    Raises:
        InvalidInput: 400, no cursor of ours, or one of another list.
    """
    key, is_back = _open(cursor, name, len(order)) if cursor else ([], False)
    way = [_turned(one) for one in order] if is_back else list(order)
    found = rows.order_by(*way)
    if cursor:
        found = found.filter(_beyond(rows.model, way, key))
    page = list(found[: limit + 1])
    is_more = len(page) > limit
    page = page[:limit][::-1] if is_back else page[:limit]
    if not page:
        return Page([], None, None)
    before = _seal(name, page[0], order, is_back=True) if (is_more if is_back else bool(cursor)) else None
    after = _seal(name, page[-1], order, is_back=False) if (is_back or is_more) else None
    return Page(page, after, before)


def _turned(field: str) -> str:
    return field[1:] if field.startswith("-") else f"-{field}"


def _open(cursor: str, name: str, n_field: int) -> tuple[list[Any], bool]:
    try:
        told, key, is_back = signing.loads(cursor, salt=SALT)
        if len(cursor) > LONGEST_CURSOR or told != name or len(key) != n_field:
            raise ValueError(cursor)
    except (signing.BadSignature, ValueError, TypeError):
        raise InvalidInput({"cursor": ["Not a cursor of this list in this order."]}, place="query") from None
    return key, is_back


def _seal(name: str, row: Model, order: Sequence[str], *, is_back: bool) -> str:
    key = [_plain(_value(row, field.removeprefix("-"))) for field in order]
    return signing.dumps([name, key, is_back], salt=SALT, compress=True)


def _value(row: Any, path: str) -> Any:
    for part in path.split("__"):
        row = getattr(row, part)
    return row


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


def _beyond(model: type[Model], way: Sequence[str], key: Sequence[Any]) -> Q:
    """Rows after the key: later in the first field, or level in it and later in the second, and so on."""
    found, level = Q(pk__in=[]), Q()
    for field, told in zip(way, key, strict=True):
        path, comparison = field.removeprefix("-"), "lt" if field.startswith("-") else "gt"
        value = _field(model, path).to_python(told)
        found |= level & Q(**{f"{path}__{comparison}": value})
        level &= Q(**{path: value})
    first = way[0].removeprefix("-")
    bound = "lte" if way[0].startswith("-") else "gte"
    return found & Q(**{f"{first}__{bound}": _field(model, first).to_python(key[0])})  # what an index can use


def _field(model: type[Model], path: str) -> "Field[Any, Any]":
    *parents, last = path.split("__")
    for parent in parents:
        model = model._meta.get_field(parent).related_model  # type: ignore[assignment]  # noqa: SLF001
    options = model._meta  # noqa: SLF001
    return options.pk if last == "pk" else options.get_field(last)  # type: ignore[return-value]
