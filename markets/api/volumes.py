"""Files of delivered volumes: lists, one with its volumes, and the file itself."""

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse
from rest_framework import serializers
from rest_framework.request import Request

from aggregator.core.permissions import Action
from aggregator.rest.fields import Code, Day, OffsetDateTime, PublicId
from aggregator.rest.schema import Operation
from aggregator.rest.serializers import Row
from aggregator.rest.views import ApiView, DetailView, ListQuery, ListView
from markets.api.shapes import Kwh
from markets.api.statement_file import WrittenRenderer
from markets.models import DeliveredVolumeFile
from markets.queries import delivered_files_seen_by
from markets.views.volumes import volume_response

VOLUME_FILE = "volumefile"
TEXT = "text/plain"
EXAMPLE = "ZHD|P0282002|flexco|SVAA|0000000007|\nMSA|20260114|\nZPT|3|" + "6" * 64 + "|\n"


class Mwh(Kwh):
    """Energy in MWh as text with four decimals."""


class VolumeFileRow(Row):
    """What a DSRSP filed for one settlement date; volumes are positive where less was drawn than expected."""

    example = {
        "id": "volumefile_1",
        "dsrsp": "flexco",
        "settlement_date": "2026-01-14",
        "sequence": 7,
        "as_of": "2026-01-15T14:00:00Z",
        "n_volume": 4,
        "total_mwh": "0.0125",
        "residual_kwh": "-0.0400",
        "sha256": "6" * 64,
        "superseded_by": None,
    }

    id = PublicId(VOLUME_FILE, source="pk")
    dsrsp = serializers.CharField(source="organisation.code")
    settlement_date = Day()
    sequence = serializers.IntegerField(help_text="of the DSRSP's files, without gaps")
    as_of = OffsetDateTime(help_text="readings received later were not looked at")
    n_volume = serializers.IntegerField()
    total_mwh = Mwh()
    residual_kwh = Kwh(help_text="what rounding to 0.0001 MWh left out; it is not carried over")
    sha256 = serializers.CharField(help_text="of the file")
    superseded_by = serializers.SerializerMethodField(help_text="the file of the same date that stands in its place")

    def get_superseded_by(self, file: DeliveredVolumeFile) -> str | None:
        later = getattr(file, "superseded_by", None)
        return f"{VOLUME_FILE}_{later.pk}" if later else None


class DeviationRow(Row):
    """One asset's volume in one settlement period, export positive."""

    example = {
        "bm_unit_id": "V__AFLEX001",
        "gsp_group_id": "_A",
        "import_msid": "1012345678901",
        "import_amsid": "7012345678901",
        "period": 37,
        "baseline_kwh": "3.5000",
        "metered_kwh": "0.4000",
        "deviation_kwh": "3.1000",
        "filed_mwh": "0.0031",
        "is_limited": False,
    }

    bm_unit_id = serializers.CharField(source="registration.unit.bm_unit_id")
    gsp_group_id = serializers.CharField(source="registration.unit.gsp_group_id")
    import_msid = serializers.CharField(source="registration.import_msid")
    import_amsid = serializers.CharField(source="registration.import_amsid")
    period = serializers.IntegerField()
    baseline_kwh = Kwh(help_text="import positive")
    metered_kwh = Kwh(help_text="import positive")
    deviation_kwh = Kwh(help_text="metered less baseline, export positive, as the meter supports it")
    filed_mwh = Mwh()
    is_limited = serializers.BooleanField(help_text="reduced to what the meter supports")


class BoundaryRow(Row):
    """What a site's supplier and its secondary units are settled on: together what the boundary metered."""

    example = {
        "import_msid": "1012345678901",
        "supplier_id": "SUPPLYCO",
        "period": 37,
        "metered_kwh": "-4.1000",
        "secondary_kwh": "3.1000",
        "supplier_kwh": "-7.2000",
    }

    import_msid = serializers.CharField()
    supplier_id = serializers.CharField()
    period = serializers.IntegerField()
    metered_kwh = Kwh(allow_null=True, help_text="export positive; null where the boundary was not read")
    secondary_kwh = Kwh()
    supplier_kwh = Kwh(allow_null=True)


class VolumeFileDetailRow(VolumeFileRow):
    """A file with its volumes."""

    example = {**VolumeFileRow.example, "volumes": [DeviationRow.example], "boundaries": [BoundaryRow.example]}

    volumes = DeviationRow(many=True)
    boundaries = BoundaryRow(many=True)


class VolumeFileQuery(ListQuery):
    dsrsp = Code(max_length=50, required=False, help_text="code of the DSRSP")
    settlement_date = Day(required=False)


class OfVolumeFiles(ApiView):
    """What shows files of delivered volumes."""

    def readable(self) -> "QuerySet[DeliveredVolumeFile]":
        return delivered_files_seen_by(self.viewer.organisation).select_related("organisation", "superseded_by")

    def file(self) -> DeliveredVolumeFile:
        """The file named in the address.

        Raises:
            Http404: there is none, or it is not the viewer's to read.
        """
        found = self.readable().filter(pk=self.pk()).first()
        if found is None:
            raise Http404
        return found


class VolumeFiles(OfVolumeFiles, ListView):
    """Files of delivered volumes: a DSRSP's own."""

    actions = {"GET": Action.SEE_VOLUMES}
    row, filters = VolumeFileRow, VolumeFileQuery
    orders = {"newest": ("-pk",), "oldest": ("pk",)}

    def seen(self, asked: dict[str, Any]) -> "QuerySet[DeliveredVolumeFile]":
        names = {"dsrsp": "organisation__code", "settlement_date": "settlement_date"}
        return self.readable().defer("content").filter(**{names[name]: value for name, value in asked.items()})


class VolumeFileDetail(OfVolumeFiles, DetailView):
    """One file with its volumes, asset by asset and period by period, and what suppliers are settled on."""

    actions = {"GET": Action.SEE_VOLUMES}
    row, id_prefix = VolumeFileDetailRow, VOLUME_FILE

    def find(self, *, to_change: bool = False) -> DeliveredVolumeFile:
        return self.file()

    def show(self, thing: DeliveredVolumeFile) -> dict[str, Any]:
        volumes = thing.deviations.across_tenants().select_related("registration__unit")
        boundaries = thing.boundaries.across_tenants()
        return {
            **VolumeFileRow.show(thing),
            "volumes": DeviationRow.show_all(volumes.order_by("registration__import_amsid", "period")),
            "boundaries": BoundaryRow.show_all(boundaries.order_by("import_msid", "period")),
        }


class TextRenderer(WrittenRenderer):
    media_type = TEXT
    format = "txt"


class TextOperation(Operation):
    """An operation that answers with a text file."""

    def get_response_serializers(self) -> Any:
        answers = dict(super().get_response_serializers())
        answers.pop(200)
        return {(200, TEXT): OpenApiResponse(OpenApiTypes.STR, description="The bytes as built."), **answers}

    def get_examples(self) -> list[OpenApiExample]:
        refusals = [example for example in super().get_examples() if example.status_codes != ["200"]]
        shown = OpenApiExample("file", value=EXAMPLE, response_only=True, status_codes=["200"], media_type=TEXT)
        return [shown, *refusals]


class VolumeFileContent(OfVolumeFiles, DetailView):
    """A file of delivered volumes (P0282, version 2), byte for byte as it was built; the ETag is its SHA-256."""

    schema = TextOperation()
    actions = {"GET": Action.SEE_VOLUMES}
    row: ClassVar[type[Row]] = Row
    id_prefix = VOLUME_FILE
    renderer_classes = [TextRenderer]

    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        return volume_response(self.file())
