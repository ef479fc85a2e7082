"""A statement's files: the CSV as published, and the other formats made of it."""

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
from markets.downloads import file_response, sees_readings
from markets.files import excel, pack, parquet, pdf
from markets.services.evidence import evidence_pack
from markets.services.statement_files import CSV, statement_file

EXAMPLE = (
    "HDR,2,EVENING/1-v1,1,2026-01-14T18:00:00Z,2026-01-14T19:00:00Z,2026-01-15T14:00:00Z,flexco,GBP,"
    f"{'5' * 64}\nTRL,0,0.0000,0.00,{'6' * 64}\n"
)


class WrittenRenderer(BaseRenderer):
    """Lets a caller ask for a media type; the bytes are written already."""

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> Any:
        return data


class CsvRenderer(WrittenRenderer):
    media_type, format = "text/csv", "csv"


class ExcelRenderer(WrittenRenderer):
    media_type, format = excel.MEDIA_TYPE, "xlsx"


class ParquetRenderer(WrittenRenderer):
    media_type, format = parquet.MEDIA_TYPE, "parquet"


class PdfRenderer(WrittenRenderer):
    media_type, format = pdf.MEDIA_TYPE, "pdf"


class ZipRenderer(WrittenRenderer):
    media_type, format = pack.MEDIA_TYPE, "zip"


class FileOperation(Operation):
    """An operation that answers with a file."""

    view: "StatementFile"

    def get_response_serializers(self) -> Any:
        answers = dict(super().get_response_serializers())
        answers.pop(200)
        return {
            (200, self.view.media_type): OpenApiResponse(self.view.written_as, description=self.view.said),
            **answers,
        }

    def get_examples(self) -> list[OpenApiExample]:
        examples = [example for example in super().get_examples() if example.status_codes != ["200"]]
        if self.view.example:
            shown = OpenApiExample(
                "file",
                value=self.view.example,
                response_only=True,
                status_codes=["200"],
                media_type=self.view.media_type,
            )
            examples.insert(0, shown)
        return examples


class StatementFile(OfStatements, DetailView):
    """A statement's CSV file, byte for byte as it was published.

    Records: HDR; COL and UNI naming the columns and their units; for each line one LIN (money) and a PER per
    settlement period (volumes, in mean kW, import positive); TRL with counts, sums and the SHA-256 of what stands
    before it. The ETag is the file's SHA-256.
    """

    schema = FileOperation()
    actions = {"GET": Action.SEE_STATEMENTS}
    row: ClassVar[type[Row]] = Row
    id_prefix = STATEMENT
    renderer_classes = [CsvRenderer]
    suffix: ClassVar[str] = CSV
    written_as: ClassVar[OpenApiTypes] = OpenApiTypes.STR
    said: ClassVar[str] = "The bytes as published."
    example: ClassVar[str] = EXAMPLE

    @property
    def media_type(self) -> str:
        return str(self.renderer_classes[0].media_type)

    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        return file_response(self.django_request, statement_file(statement=self.statement(), suffix=self.suffix))


class StatementExcel(StatementFile):
    """A statement as an Excel workbook: a cover with the totals, lines, periods. No formulas, no macros."""

    renderer_classes = [ExcelRenderer]
    suffix = "xlsx"
    written_as = OpenApiTypes.BINARY
    said = "The workbook."
    example = ""


class StatementParquet(StatementFile):
    """A statement as a typed Parquet table with the rows of the CSV; header and totals stand in its metadata."""

    renderer_classes = [ParquetRenderer]
    suffix = "parquet"
    written_as = OpenApiTypes.BINARY
    said = "The table."
    example = ""


class StatementPdf(StatementFile):
    """A statement as a PDF for reading: cover, totals, lines, periods."""

    renderer_classes = [PdfRenderer]
    suffix = "pdf"
    written_as = OpenApiTypes.BINARY
    said = "The document."
    example = ""


class StatementEvidence(StatementFile):
    """The statement's evidence pack: one zip with a signed manifest and a verifier that needs Python alone.

    Meter readings are in it for the DSRSP whose they are, with the scope to read them; from others they are withheld,
    and so are the sums of fewer than five meters. Public keys: /.well-known/headroom-signing-keys.json.
    """

    renderer_classes = [ZipRenderer]
    written_as = OpenApiTypes.BINARY
    said = "The pack."
    refusals = {"GET": frozenset({409, 413})}
    example = ""

    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        statement = self.statement()
        pack_file = evidence_pack(statement=statement, with_readings=sees_readings(self.viewer, statement))
        return file_response(self.django_request, pack_file)
