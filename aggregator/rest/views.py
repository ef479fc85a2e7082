"""The bases of every operation: who asks and whether they may comes first, what they ask after it."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import patch_vary_headers
from rest_framework.exceptions import MethodNotAllowed, Throttled
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from aggregator.core.permissions import Action
from aggregator.rest import etags, paging
from aggregator.rest.authentication import ViewerAuthentication
from aggregator.rest.fields import Choice, Text, Whole, read_id
from aggregator.rest.permissions import ActionAllowed
from aggregator.rest.problems import InvalidInput
from aggregator.rest.serializers import Query, Row, StrictSerializer
from aggregator.rest.throttle import Level, take_tokens
from aggregator.viewer import Viewer

NO_ROW = 0


class ApiView(APIView):
    """One address of the API.

    Attributes:
        actions: what each method does: an ``Action``, or any of a frozenset of them where the thing decides which, or
            ``EVERY_VIEWER``; a method that is missing here is closed.
        queries: the query string each method takes; none takes no parameter at all.
        bodies: the JSON each method takes.
        answers: status and shape of each method's good answer; None is an empty answer.
        refusals: statuses a method may refuse with beyond those every method of its kind may.
        confirmed: methods that demand a viewer who proved just now who they are.
        people_only: methods no machine may use, whatever its scopes.
        id_prefix: prefix of the public id in the address, if it holds one.
        summaries: a line on each method; else the first line of its docstring, or the view's.
    """

    authentication_classes = [ViewerAuthentication]
    permission_classes = [ActionAllowed]
    actions: ClassVar[Mapping[str, Action | frozenset[Action] | str]] = {}
    queries: ClassVar[Mapping[str, type[Query]]] = {}
    bodies: ClassVar[Mapping[str, type[StrictSerializer]]] = {}
    answers: ClassVar[Mapping[str, tuple[int, type[Row] | None]]] = {}
    refusals: ClassVar[Mapping[str, frozenset[int]]] = {}
    confirmed: ClassVar[frozenset[str]] = frozenset()
    people_only: ClassVar[frozenset[str]] = frozenset()
    id_prefix: ClassVar[str] = ""
    summaries: ClassVar[Mapping[str, str]] = {}
    bucket: ClassVar[str] = ""
    asked: dict[str, Any]
    _level: Level | None = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Find out who asks and whether they may, before headers, parameters or body are looked at."""
        self.format_kwarg = None
        self.perform_authentication(request)
        self.check_permissions(request)
        if not hasattr(self, str(request.method).lower()):
            raise MethodNotAllowed(str(request.method))
        self.take(1)
        if any("\x00" in str(named) for named in kwargs.values()):  # PostgreSQL keeps no such text
            raise Http404
        request.accepted_renderer, request.accepted_media_type = self.perform_content_negotiation(request)
        method = "GET" if request.method == "HEAD" else str(request.method)
        self.asked = self.queries.get(method, Query).read(request.query_params)

    def take(self, n_token: int, bucket: str = "") -> None:
        """Count what is asked against the viewer's limits.

        Raises:
            Throttled: 429, with how long to wait.
        """
        default = self.bucket or ("reads" if self.request.method in SAFE_METHODS else "commands")
        self._level = take_tokens(self.viewer, bucket or default, n_token)
        if self._level.wait_s > 0:
            raise Throttled(self._level.wait_s)

    @property
    def viewer(self) -> Viewer:
        viewer: Viewer = self.request.auth  # type: ignore[assignment]
        return viewer

    def body(self) -> dict[str, Any]:
        """The validated body.

        Raises:
            InvalidInput: 400, with a pointer for each value in the way.
        """
        asked = self.bodies[str(self.request.method)](data=self.request.data)
        if not asked.is_valid():
            raise InvalidInput(asked.errors)
        return dict(asked.validated_data)

    def pk(self) -> int:
        """Key meant by the public id in the address; 0, which no row has, where it is no such id."""
        return read_id(self.id_prefix, str(self.kwargs["id"])) or NO_ROW

    def options(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:  # type: ignore[override]
        """Which methods there are."""
        return HttpResponse(status=204)

    def finalize_response(  # type: ignore[override]
        self, request: Request, response: HttpResponseBase, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        """Add what every answer says: limits, and that it is for this viewer alone."""
        final: HttpResponseBase = super().finalize_response(request, response, *args, **kwargs)  # type: ignore[arg-type]
        for name, value in (self._level.headers() if self._level else {}).items():
            final.headers[name] = value
        final.headers.setdefault("Cache-Control", "private, no-cache")
        patch_vary_headers(final, ("Accept", "Authorization", "Cookie"))
        return final

    @property
    def django_request(self) -> HttpRequest:
        asked: HttpRequest = self.request._request  # noqa: SLF001
        return asked


class ListQuery(Query):
    """What every list takes."""

    limit = Whole(
        min_value=1, max_value=paging.MAX_LIMIT, default=paging.DEFAULT_LIMIT, help_text="rows a page, at most"
    )
    cursor = Text(
        max_length=paging.LONGEST_CURSOR, required=False, help_text="from the links next and previous of another page"
    )


class ListView(ApiView):
    """Rows in pages.

    Attributes:
        row: the shape of one.
        filters: a ``ListQuery`` with the list's own filters.
        orders: fields by the word for an order, the first being the default; the last field is unique, none is null.
    """

    row: ClassVar[type[Row]]
    filters: ClassVar[type[ListQuery]] = ListQuery
    orders: ClassVar[Mapping[str, tuple[str, ...]]] = {"oldest": ("pk",)}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        words = list(cls.orders)
        order = Choice(choices=words, default=words[0], help_text="order of the rows")
        query = type(f"{cls.__name__}Query", (cls.filters,), {"order": order, "__doc__": None})
        cls.queries = {**cls.queries, "GET": query}

    def seen(self, asked: dict[str, Any]) -> "QuerySet[Any]":
        """The rows the viewer may see that fit the filters; in no order."""
        raise NotImplementedError

    def show(self, rows: list[Any]) -> list[dict[str, Any]]:
        return self.row.show_all(rows)

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        asked = dict(self.asked)
        limit, cursor, order = asked.pop("limit"), asked.pop("cursor", ""), asked.pop("order")
        page = paging.read_page(
            self.seen(asked),
            order=self.orders[order],
            limit=limit,
            cursor=cursor,
            name=f"{request.path} {order}",
        )
        links = {"next": self._link(page.next), "previous": self._link(page.previous)}
        return Response({"results": self.show(page.rows), **links})

    def _link(self, cursor: str | None) -> str | None:
        if cursor is None:
            return None
        params = self.request.query_params.copy()
        params["cursor"] = cursor
        return f"{self.request.path}?{params.urlencode()}"


class DetailView(ApiView):
    """One thing, with its ETag.

    Attributes:
        row: its shape.
    """

    row: ClassVar[type[Row]]

    def find(self, *, to_change: bool = False) -> Any:
        """The thing, locked if it is to be changed.

        Raises:
            Http404: there is none, or it is not the viewer's to see.
        """
        raise NotImplementedError

    def show(self, thing: Any) -> dict[str, Any]:
        return self.row.show(thing)

    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        shown = self.show(self.find())
        return self.answer_with_etag(shown)

    def answer_with_etag(self, shown: dict[str, Any], status: int = 200) -> HttpResponse:
        """What is shown with its ETag, or 304 where a reader has it."""
        etag = etags.etag_of(shown)
        if self.request.method in SAFE_METHODS and etags.is_known(self.django_request, etag):
            return HttpResponse(status=304, headers={"ETag": etag})
        return Response(shown, status=status, headers={"ETag": etag})

    def demand_match(self, thing: Any) -> None:
        """Go on only where If-Match names what the viewer would be shown of it now (428, 412)."""
        etags.demand_match(self.django_request, etags.etag_of(self.show(thing)))
