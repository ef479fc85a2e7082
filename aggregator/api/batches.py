"""Many rows in one request: meter readings, and EVSEs to register."""

import hashlib
import json
from collections.abc import Mapping
from typing import IO, Any

from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from aggregator.adapters import reading_batches
from aggregator.adapters.reading_batches import CSV, JSON, NDJSON, parse_reading_batch
from aggregator.core.permissions import Action
from aggregator.core.reading_form import CONVENTIONS, GRANULARITIES, STAMPS
from aggregator.core.registration import Registration, RegistrationRefused
from aggregator.models import EVSE, EvseIdentity, Meter, Organisation, as_platform
from aggregator.queries import identities_seen_by
from aggregator.rest.fields import Choice, Code, Number, OffsetDateTime, Text, Whole, WholeChoice, make_id
from aggregator.rest.parsers import read_bounded
from aggregator.rest.problems import FieldError, Refused
from aggregator.rest.serializers import Query, Row, StrictSerializer
from aggregator.rest.views import ApiView
from aggregator.services.own_fleet import register_own_fleet
from aggregator.services.reading_forms import AskedForm, stated_form
from aggregator.services.take_readings import TakenReadings, take_readings

MAX_EVSES = 5_000
LINES = {
    NDJSON: '{"meter":"cpo-one-0001","starts_at":"2026-11-21T18:00:00Z","energy_kwh":3.4}\n',
    CSV: "meter,starts_at,energy_kwh\ncpo-one-0001,2026-11-21T18:00:00Z,3.4\n",
}


class RejectedRowRow(Row):
    line = serializers.IntegerField(help_text="from 1; in a JSON array the place of the object")
    code = serializers.CharField()


class TakenReadingsRow(Row):
    """What became of a batch: accepted, duplicates and rejected add up to its rows."""

    example = {
        "batch_id": "batch_1",
        "sha256": "9f" * 32,
        "accepted": 46,
        "revised": 1,
        "duplicates": 0,
        "rejected": [{"line": 3, "code": "reading.unknown_meter"}],
    }

    batch_id = serializers.CharField()
    sha256 = serializers.CharField(help_text="of the body as received; the same content again is the same batch")
    accepted = serializers.IntegerField(help_text="stored")
    revised = serializers.IntegerField(help_text="those of them that replace a value known before, which is kept too")
    duplicates = serializers.IntegerField(help_text="known already, just so")
    rejected = RejectedRowRow(many=True, help_text="set aside, each with the reason")


class ReadingFormQuery(Query):
    """What stamps and values of a batch mean."""

    convention = Choice(
        choices=list(CONVENTIONS),
        default="headroom",
        help_text="`headroom`: `starts_at`, import positive; `flexible-power`: `ends_at`, import negative",
    )
    granularity = Choice(
        choices=list(GRANULARITIES),
        required=False,
        help_text="how long a value's period is; left out, what the product says or a half-hour",
    )
    stamp = Choice(
        choices=list(STAMPS),
        required=False,
        help_text="`starts_at` or `ends_at`; left out, what the product or else the convention says",
    )
    product = Code(
        max_length=50, required=False, help_text="whose version in force says granularity and stamp, in their place"
    )
    quantity = Choice(
        choices=["energy", "power"],
        required=False,
        help_text="`energy_kwh` or mean `power_kw`; left out, power where it is by the minute and else energy",
    )


class RawParser(BaseParser):
    """The bytes of a body, under a cap."""

    def parse(  # type: ignore[override]
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> bytes:
        return read_bounded(stream, reading_batches.MAX_BYTES)


class NdjsonParser(RawParser):
    media_type = NDJSON


class CsvParser(RawParser):
    media_type = CSV


class JsonArrayParser(RawParser):
    media_type = JSON


class ReadingBatches(ApiView):
    """Meter readings, many at once."""

    actions = {"POST": Action.SEND_READINGS}
    queries = {"POST": ReadingFormQuery}
    answers = {"POST": (200, TakenReadingsRow)}
    parser_classes = [NdjsonParser, CsvParser, JsonArrayParser]
    media_types = dict.fromkeys((NDJSON, CSV), OpenApiTypes.STR) | {JSON: OpenApiTypes.ANY}
    media_examples = {**LINES, JSON: [json.loads(LINES[NDJSON])]}

    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Send up to 50,000 half-hourly readings or 8 MB, as NDJSON, CSV or a JSON array, plain or gzipped.

        Each row names a `meter` by its code or an `evse` by its id (all rows of a batch the same), the start of the
        half-hour with its offset in `starts_at`, and `energy_kwh`, import positive. Good rows are stored and the
        others are recorded as findings before the answer; other organisations' meters are unknown meters. The same
        batch again changes nothing; another value for a known half-hour is a new revision beside the old one.

        `convention`, `granularity`, `stamp` and `quantity` say what stamps and values mean, where they mean something
        else; `product` names a product that says granularity and stamp. Of minutes a half-hour is made where all 30 are
        in the batch; counts and rejected lines are then of half-hours, by the first line of each.
        """
        if request.headers.get("Content-Encoding", "identity").lower() not in ("identity", "gzip"):
            raise UnsupportedMediaType("", "Content-Encoding is gzip, or left out.")
        content = request.data if isinstance(request.data, bytes) else b""
        media_type = str(request.content_type).split(";")[0].strip().lower()
        form = stated_form(AskedForm(**self.asked), now=timezone.now())
        batch = parse_reading_batch(content, media_type if media_type in self.media_types else NDJSON, form)
        self.take(batch.n_row, "rows")
        with as_platform():
            taken = take_readings(
                organisation=self.viewer.organisation,
                batch=batch,
                source="API",
                sha256=hashlib.sha256(content).hexdigest(),
                received_at=timezone.now(),
                part=form.part,
            )
        return Response(_taken(taken))


def _taken(taken: TakenReadings) -> dict[str, Any]:
    result = taken.result
    return {
        "batch_id": make_id("batch", result.batch.pk),
        "sha256": result.batch.sha256,
        "accepted": result.n_accepted,
        "revised": result.n_revised,
        "duplicates": result.n_duplicate,
        "rejected": [{"line": row.line, "code": row.code} for row in taken.rejected],
    }


class NewEvse(StrictSerializer):
    """An EVSE and its enrolment with the DSRSP that asks."""

    evse_id = Text(max_length=80, help_text="its id at its CSMS")
    csms = Code(max_length=50)
    dsrsp = Code(max_length=50, required=False, help_text="your own code, if you state it")
    node = Text(max_length=80, help_text="code of the feeder or phase it hangs on")
    phase = Choice(choices=["A", "B", "C"], required=False, help_text="picks the feeder's phase")
    phases = WholeChoice(choices=[1, 3], required=False)
    rated_kw = Number(min_value=0.1, max_value=500)
    min_current_a = Number(min_value=6, max_value=80, required=False)
    scenario = Choice(choices=EVSE.Scenario.values, required=False)
    meter_id = Text(max_length=80, required=False, help_text="code of its asset meter; left out, one is made")
    accuracy_class = Choice(choices=[one for one in Meter.AccuracyClass.values if one], required=False)
    amsid = Text(max_length=13, required=False)
    boundary_msid = Text(max_length=13, required=False)
    gsp_group = Text(max_length=2, required=False)
    firmware = Text(max_length=80, required=False)
    delay_max_s = Whole(max_value=1800, required=False)
    enrolled_from = OffsetDateTime(required=False, help_text="left out, from now")
    enrolled_to = OffsetDateTime(required=False)
    consented_at = OffsetDateTime(required=False)
    consent_evidence = Text(max_length=200, required=False, help_text="reference or hash of the record of consent")
    services = serializers.ListField(
        child=Choice(choices=["routine", "response"]), min_length=1, max_length=2, required=False
    )


class NewEvses(StrictSerializer):
    """EVSEs to register, all or none."""

    example = {
        "rows": [
            {
                "evse_id": "0001",
                "csms": "cpo-one",
                "node": "NR-0001-F1",
                "phase": "A",
                "rated_kw": 7.4,
                "consent_evidence": "form 4711",
            }
        ]
    }

    rows = NewEvse(many=True, allow_empty=False, max_length=MAX_EVSES)  # type: ignore[call-arg]


class RegisteredRow(Row):
    """An EVSE of the batch and its public id."""

    csms = serializers.CharField()
    evse_id = serializers.CharField()
    id = serializers.CharField(allow_null=True, help_text="null until its enrolment is in force")


class RegisteredEvsesRow(Row):
    """What became of a registration."""

    example = {
        "batch_id": "batch_2",
        "accepted": 1,
        "revised": 0,
        "duplicates": 0,
        "evses": [{"csms": "cpo-one", "evse_id": "0001", "id": "evse_2f6c0b"}],
    }

    batch_id = serializers.CharField()
    accepted = serializers.IntegerField(help_text="new, or changed something")
    revised = serializers.IntegerField(help_text="those of them that changed something")
    duplicates = serializers.IntegerField(help_text="registered already, just so")
    evses = RegisteredRow(many=True)


class EvseBatches(ApiView):
    """EVSEs to register, many at once."""

    actions = {"POST": Action.REGISTER_FLEET}
    bodies = {"POST": NewEvses}
    answers = {"POST": (200, RegisteredEvsesRow)}
    max_bytes = 8 * 2**20

    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Register EVSEs, up to 5,000 at once: all of them or none.

        An EVSE is known by its CSMS and its id there, so the same rows again change nothing. A row about a known one
        brings it up to date. Of an EVSE that is another DSRSP's today, a row may state the consumer's switch.
        """
        stated = self.body()["rows"]
        organisation, now = self.viewer.organisation, timezone.now()
        rows = tuple(_registration(line, row, organisation) for line, row in enumerate(stated, start=1))
        canonical = json.dumps(stated, sort_keys=True, cls=DjangoJSONEncoder).encode()
        try:
            result = register_own_fleet(
                organisation=organisation,
                rows=rows,
                source="API",
                sha256=hashlib.sha256(canonical).hexdigest(),
                now=now,
            )
        except RegistrationRefused as refused:
            raise _refused(refused) from refused
        counts = {"accepted": result.n_accepted, "revised": result.n_revised, "duplicates": result.n_duplicate}
        known = _public_ids(organisation, rows)
        evses = [{"csms": row.csms, "evse_id": row.evse_id, "id": known.get((row.csms, row.evse_id))} for row in rows]
        return Response({"batch_id": make_id("batch", result.batch.pk), **counts, "evses": evses})


def _registration(line: int, row: dict[str, Any], organisation: Organisation) -> Registration:
    services = tuple(dict.fromkeys(row.get("services", ["routine"])))
    return Registration(**{"dsrsp": organisation.code, **row, "line": line, "services": services})


def _refused(refused: RegistrationRefused) -> Refused:
    errors = [
        FieldError("body", f"/rows/{error.line - 1}/{error.column}", refused.code, error.message)
        for error in refused.errors
    ]
    return Refused(
        422, refused.code, f"{len(errors):,} errors stand in the way; nothing was registered.", errors=errors
    )


def _public_ids(organisation: Organisation, rows: tuple[Registration, ...]) -> dict[tuple[str, str], str]:
    refs, systems = {row.evse_id for row in rows}, {row.csms for row in rows}
    known = identities_seen_by(organisation, at=timezone.now()).filter(csms_ref__in=refs, csms__code__in=systems)
    shown: list[EvseIdentity] = list(known.select_related("csms", "evse"))
    return {(one.csms.code, one.csms_ref): one.evse.pseudonym for one in shown}
