"""Long lists a page at a time: which rows, and the addresses of the pages before and after."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest

ROWS_A_PAGE = 50
LONGEST_NUMBER = 7


@dataclass(frozen=True, slots=True)
class PageOf:
    """One page of a list.

    Attributes:
        previous, following: query strings of the neighbouring pages, with the filters; empty where there is none.
    """

    rows: list[Any]
    number: int
    n_page: int
    n_row: int
    first: int
    last: int
    previous: str
    following: str


def page_of(
    request: HttpRequest, rows: QuerySet[Any] | Sequence[Any], *, n: int = ROWS_A_PAGE, name: str = "page"
) -> PageOf:
    """The page named by ``?page=``, or by ``name`` where an address pages two lists; beyond the end is the last page.

    Raises:
        Http404: the page is not a number from 1.
    """
    pages = Paginator(rows, n)
    page = pages.page(min(_number(request.GET.get(name, "1")), pages.num_pages))
    return PageOf(
        rows=list(page.object_list),
        number=page.number,
        n_page=pages.num_pages,
        n_row=pages.count,
        first=page.start_index(),
        last=page.end_index(),
        previous=_query(request, name, page.number - 1) if page.has_previous() else "",
        following=_query(request, name, page.number + 1) if page.has_next() else "",
    )


def _number(asked: str) -> int:
    if not (asked.isascii() and asked.isdigit() and len(asked) <= LONGEST_NUMBER and int(asked)):
        raise Http404("A page is named by its number.")
    return int(asked)


def _query(request: HttpRequest, name: str, number: int) -> str:
    query = request.GET.copy()
    query[name] = str(number)
    return "?" + query.urlencode()
