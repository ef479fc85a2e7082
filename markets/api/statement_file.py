"""A statement's file: the bytes as published."""

from typing import Any, ClassVar

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from aggregator.core.permissions import Action
from aggregator.rest.schema import Operation
from aggregator.rest.serializers import Row
from aggregator.rest.views import DetailView
from markets.api.shapes import STATEMENT
from markets.api.statements import OfStatements
from markets.downloads import statement_file

CSV = "text/csv"
EXAMPLE = (
    "HDR,1,EVENING/1-v1,1,2026-01-14T18:00:00Z,2026-01-14T19:00:00Z,2026-01-15T14:00:00Z,flexco,GBP,"
    f"{'5' * 64}\nTRL,0,0.0000,0.00,{'6' * 64}\n"
)


class CsvRenderer(BaseRenderer):
    """Lets a caller ask for text/csv; the bytes are written already."""

    media_type = CSV
    format = "csv"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> Any:
        return data


class FileOperation(Operation):
    """An operation that answers with a file."""

    def get_response_serializers(self) -> Any:
        answers = dict(super().get_response_serializers())
        answers.pop(200)
        return {(200, CSV): OpenApiResponse(OpenApiTypes.STR, description="The bytes as published."), **answers}

    def get_examples(self) -> list[OpenApiExample]:
        refusals = [example for example in super().get_examples() if example.status_codes != ["200"]]
        shown = OpenApiExample("file", value=EXAMPLE, response_only=True, status_codes=["200"], media_type=CSV)
        return [shown, *refusals]


class StatementFile(OfStatements, DetailView):
    """A statement's CSV file, byte for byte as it was published.

    Records: HDR; COL naming the columns; for each line one LIN (money) and a PER per settlement period (volumes, in
    mean kW, import positive); TRL with counts, sums and the SHA-256 of what stands before it. The ETag is the file's
    SHA-256.
    """

    schema = FileOperation()
    actions = {"GET": Action.SEE_STATEMENTS}
    row: ClassVar[type[Row]] = Row
    id_prefix = STATEMENT
    renderer_classes = [CsvRenderer]

    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        return statement_file(self.django_request, self.statement())
