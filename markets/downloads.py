"""Files people take away: the bytes as published, and the other formats made of them."""

from http import HTTPStatus
from typing import ClassVar

from django.http import Http404, HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response
from django.views import View

from aggregator.core.errors import FlexError
from aggregator.core.permissions import Action
from aggregator.site.views import PUBLIC
from aggregator.viewer import Viewer, viewer_of
from markets.models import Statement
from markets.queries import statements_seen_by
from markets.services.evidence import evidence_pack
from markets.services.signing import key_set
from markets.services.statement_files import CSV, NamedFile, statement_file

TEXT = "text/plain; charset=utf-8"


class StatementDownload(View):
    """One statement as CSV, for whoever acts for an organisation that may read it; for anybody else it is not there."""

    action = Action.SEE_STATEMENTS
    http_method_names = ["get", "head", "options"]
    suffix: ClassVar[str] = CSV

    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        return file_response(request, statement_file(statement=self.readable(pk), suffix=self.suffix))

    def readable(self, pk: int) -> Statement:
        """The statement, if the viewer may read it.

        Raises:
            Http404: there is none, or it is not theirs.
        """
        seen = statements_seen_by(viewer_of(self.request).organisation)
        run = "settlement_run__event"
        found = seen.select_related(f"{run}__signal", f"{run}__product", "organisation").filter(pk=pk).first()
        if found is None:
            raise Http404("There is no such statement, or it is not yours to read.")
        return found


class ExcelDownload(StatementDownload):
    suffix = "xlsx"


class ParquetDownload(StatementDownload):
    suffix = "parquet"


class PdfDownload(StatementDownload):
    suffix = "pdf"


class EvidenceDownload(StatementDownload):
    """The statement's evidence pack, with meter readings for whose they are alone."""

    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        statement = self.readable(pk)
        try:
            pack = evidence_pack(statement=statement, with_readings=sees_readings(viewer_of(request), statement))
        except FlexError as error:
            return HttpResponse(
                f"{error.message}\n", status=HTTPStatus.CONFLICT, content_type="text/plain; charset=utf-8"
            )
        return file_response(request, pack)


class SigningKeys(View):
    """The public keys that evidence is signed with, now and before: a JSON Web Key set for everybody."""

    action = PUBLIC
    http_method_names = ["get", "head", "options"]

    def get(self, request: HttpRequest) -> HttpResponse:  # noqa: ARG002 - Django's signature
        response = HttpResponse(key_set(), content_type="application/jwk-set+json")
        response.headers["Cache-Control"] = "public, max-age=3600"
        return response


def sees_readings(viewer: Viewer, statement: Statement) -> bool:
    """Whether the viewer may see each meter's readings behind a statement: its DSRSP, where it may see readings."""
    return viewer.organisation.pk == statement.organisation_id and viewer.may(Action.SEE_READINGS)


def file_response(request: HttpRequest, file: NamedFile) -> HttpResponse:
    """A file to keep, with its SHA-256 as ETag, or 304 where the reader has it."""
    response = HttpResponse(file.content, content_type=file.media_type)
    response.headers["Content-Disposition"] = f'attachment; filename="{file.name}"'
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "private, no-cache"
    etag = f'"{file.sha256}"'
    response.headers["ETag"] = etag
    return get_conditional_response(request, etag=etag, response=response) or response
