"""Files people take away: the bytes as published, never made again."""

import hashlib
import re

from django.http import Http404, HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response
from django.views import View

from aggregator.core.errors import FlexError
from aggregator.core.permissions import Action
from aggregator.viewer import viewer_of
from markets.models import Statement
from markets.queries import statements_seen_by


class StatementAltered(FlexError):
    code = "markets.statement_altered"


class StatementDownload(View):
    """One statement as CSV, for whoever acts for an organisation that may read it; for anybody else it is not there."""

    action = Action.SEE_STATEMENTS
    http_method_names = ["get", "head", "options"]

    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        return statement_file(request, self._readable(pk))

    def _readable(self, pk: int) -> Statement:
        seen = statements_seen_by(viewer_of(self.request).organisation)
        found = seen.select_related("settlement_run__event__signal", "organisation").filter(pk=pk).first()
        if found is None:
            raise Http404("There is no such statement, or it is not yours to read.")
        return found


def statement_file(request: HttpRequest, statement: Statement) -> HttpResponse:
    """A statement's bytes with their SHA-256 as ETag, or 304 where the reader has them.

    Raises:
        StatementAltered: the stored bytes are not those that were published.
    """
    content = bytes(statement.content)
    if hashlib.sha256(content).hexdigest() != statement.sha256:
        raise StatementAltered(f"statement {statement.pk} is not what was published", statement=statement.pk)
    response = HttpResponse(content, content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{file_name(statement)}"'
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "private, no-cache"
    etag = f'"{statement.sha256}"'
    response.headers["ETag"] = etag
    return get_conditional_response(request, etag=etag, response=response) or response


def file_name(statement: Statement) -> str:
    """Name a statement's file from what it states, in characters every file system takes."""
    run = statement.settlement_run
    name = f"statement_{run.event.signal.reference}_{statement.organisation.code}_v{run.version}"
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name) + ".csv"
