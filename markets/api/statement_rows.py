"""Published statements. Metered and baseline energy are import positive, delivered energy positive as asked for."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from aggregator.rest.fields import Day, OffsetDateTime, PublicId
from aggregator.rest.serializers import Row
from dispatch.models import TargetSignal
from markets.api.shapes import (
    EVENT,
    SETTLEMENT,
    STATEMENT,
    Gbp,
    Kwh,
    LocalTimes,
)
from markets.models import ShortfallCause
from markets.services.statements import SeenStatement, standing

STATES = ("preliminary", "released", "superseded")
RUN_TYPE_HELP = "the run's code, of an open list: PRELIM, II, SF, R1 …, MONTHLY, FINAL, RERUN-1, RERUN-2 …"
STATE_HELP = "preliminary until it is released; superseded once a newer version was settled, released or not"


class StatementRow(LocalTimes):
    """What one DSRSP is paid for one call on a product. A version is never changed, only superseded by a newer one."""

    example = {
        "id": "statement_1",
        "settlement_run": "settlement_1",
        "event": "flexevent_1",
        "reference": "EVENING/1",
        "dsrsp": "flexco",
        "product": "su-night",
        "product_version": 1,
        "direction": "turn_down",
        "starts_at": "2026-01-14T18:00:00Z",
        "ends_at": "2026-01-14T19:00:00Z",
        "version": 1,
        "run_type": "PRELIM",
        "as_of": "2026-01-15T14:00:00Z",
        "state": "preliminary",
        "released_at": None,
        "supersedes": None,
        "superseded_by": None,
        "instructed_kwh": "10.0000",
        "delivered_kwh": "9.0000",
        "delivered_share": 0.9,
        "performance_factor": 0.85,
        "price_gbp_per_mwh": "300.00",
        "payment_gbp": "2.55",
        "n_baseline_days": 10,
        "sha256": "5" * 64,
    }

    id = PublicId(STATEMENT, source="statement")
    settlement_run = PublicId(SETTLEMENT, source="statement.settlement_run")
    event = PublicId(EVENT, source="statement.settlement_run.event")
    reference = serializers.CharField(source="statement.settlement_run.event.signal.reference")
    dsrsp = serializers.CharField(source="statement.organisation.code", help_text="to whom it is addressed")
    product = serializers.CharField(source="statement.settlement_run.event.product.code")
    product_version = serializers.IntegerField(source="statement.settlement_run.event.product.version")
    direction = serializers.ChoiceField(
        source="statement.settlement_run.event.signal.direction", choices=TargetSignal.Direction.values
    )
    starts_at = OffsetDateTime(source="statement.settlement_run.event.signal.starts_at", help_text="of the event")
    ends_at = OffsetDateTime(source="statement.settlement_run.event.signal.ends_at", help_text="left out of it")
    version = serializers.IntegerField(source="statement.settlement_run.version", help_text="counts from 1")
    run_type = serializers.CharField(source="statement.settlement_run.code", help_text=RUN_TYPE_HELP)
    as_of = OffsetDateTime(
        source="statement.settlement_run.as_of", help_text="readings received after this were not looked at"
    )
    state = serializers.SerializerMethodField(help_text=STATE_HELP)
    released_at = serializers.SerializerMethodField(help_text="null while it was not released")
    supersedes = PublicId(
        STATEMENT, source="supersedes_pk", allow_null=True, help_text="the version before; null for the first"
    )
    superseded_by = PublicId(
        STATEMENT, source="superseded_by_pk", allow_null=True, help_text="the version after; null for the newest"
    )
    instructed_kwh = Kwh(source="statement.instructed_kwh", help_text="asked for in its half-hours")
    delivered_kwh = Kwh(source="statement.delivered_kwh", help_text="positive in the direction asked, uncapped")
    delivered_share = serializers.FloatField(
        source="statement.delivered_share", allow_null=True, help_text="null where nothing was instructed"
    )
    performance_factor = serializers.FloatField(
        source="statement.performance_factor", help_text="for reading: the money came from the exact fraction"
    )
    price_gbp_per_mwh = Gbp(source="statement.settlement_run.event.price_gbp_per_mwh")
    payment_gbp = Gbp(source="statement.payment_gbp", help_text="never negative")
    n_baseline_days = serializers.IntegerField(
        source="statement.n_baseline_days", help_text="fewest eligible days behind any half-hour"
    )
    sha256 = serializers.CharField(source="statement.sha256", help_text="of the file as published")

    @extend_schema_field(serializers.ChoiceField(choices=STATES))
    def get_state(self, seen: SeenStatement) -> str:
        return standing(seen.statement.settlement_run).state

    @extend_schema_field(OffsetDateTime(allow_null=True))
    def get_released_at(self, seen: SeenStatement) -> str | None:
        at = standing(seen.statement.settlement_run).released_at
        return None if at is None else OffsetDateTime().to_representation(at)


class StatementLineRow(LocalTimes):
    """One settlement period of a statement."""

    example = {
        "settlement_date": "2026-01-14",
        "period": 37,
        "starts_at": "2026-01-14T18:00:00Z",
        "ends_at": "2026-01-14T18:30:00Z",
        "instructed_kwh": "5.0000",
        "baseline_kwh": "9.0000",
        "metered_kwh": "4.5000",
        "delivered_kwh": "4.5000",
        "n_meters_missing": 0,
    }

    settlement_date = Day(help_text="local date")
    period = serializers.IntegerField(help_text="number of the half-hour in it: 1 to 46, 48 or 50")
    starts_at = OffsetDateTime()
    ends_at = OffsetDateTime(help_text="left out of the interval")
    instructed_kwh = Kwh()
    baseline_kwh = Kwh(allow_null=True, help_text="expected without the event, import positive; null: none")
    metered_kwh = Kwh(allow_null=True, help_text="import positive; null: no reading")
    delivered_kwh = Kwh(help_text="positive in the direction asked")
    n_meters_missing = serializers.IntegerField(help_text="meters of the portfolio that were left out")


class ShortfallCauseRow(Row):
    """One cause's part in what a half-hour fell short by; a half-hour's parts add up to its shortfall."""

    example = {"starts_at": "2026-01-14T18:00:00Z", "cause": "override", "n_evse": 1, "energy_kwh": "1.8400"}

    starts_at = OffsetDateTime()
    cause = serializers.ChoiceField(choices=ShortfallCause.Cause.values)
    n_evse = serializers.IntegerField(help_text="EVSEs it was seen at")
    energy_kwh = Kwh()


class ReboundRow(Row):
    """A half-hour after the event: what was drawn beyond the baseline, against the direction asked."""

    example = {
        "starts_at": "2026-01-14T19:00:00Z",
        "baseline_kwh": "4.0000",
        "metered_kwh": "6.5000",
        "rebound_kwh": "2.5000",
    }

    starts_at = OffsetDateTime()
    baseline_kwh = Kwh()
    metered_kwh = Kwh()
    rebound_kwh = Kwh(help_text="reported; not taken off what was delivered")


class StatementDetailRow(StatementRow):
    """A statement with its settlement periods, why they fell short, and what came back after the event."""

    example = {
        **StatementRow.example,
        "lines": [StatementLineRow.example],
        "causes": [ShortfallCauseRow.example],
        "rebound": [ReboundRow.example],
    }

    lines = StatementLineRow(many=True)
    causes = ShortfallCauseRow(many=True)
    rebound = ReboundRow(many=True)


class LineFiguresRow(Row):
    """The figures of one settlement period in one version."""

    example = {
        "instructed_kwh": "5.0000",
        "baseline_kwh": "9.0000",
        "metered_kwh": "4.5000",
        "delivered_kwh": "4.5000",
        "n_meters_missing": 0,
    }

    instructed_kwh = Kwh()
    baseline_kwh = Kwh(allow_null=True)
    metered_kwh = Kwh(allow_null=True)
    delivered_kwh = Kwh()
    n_meters_missing = serializers.IntegerField()


class TotalsRow(Row):
    """The figures of one version."""

    example = {
        "id": "statement_1",
        "version": 1,
        "as_of": "2026-01-15T14:00:00Z",
        "instructed_kwh": "10.0000",
        "delivered_kwh": "9.0000",
        "performance_factor": 0.85,
        "payment_gbp": "2.55",
        "n_baseline_days": 10,
        "sha256": "5" * 64,
    }

    id = PublicId(STATEMENT, source="pk")
    version = serializers.IntegerField(source="settlement_run.version")
    as_of = OffsetDateTime(source="settlement_run.as_of")
    instructed_kwh = Kwh()
    delivered_kwh = Kwh()
    performance_factor = serializers.FloatField()
    payment_gbp = Gbp()
    n_baseline_days = serializers.IntegerField()
    sha256 = serializers.CharField()


class LineChangeRow(Row):
    """A settlement period that two versions tell differently."""

    example = {
        "starts_at": "2026-01-14T18:00:00Z",
        "before": {**LineFiguresRow.example, "metered_kwh": None, "delivered_kwh": "0.0000", "n_meters_missing": 1},
        "after": LineFiguresRow.example,
    }

    starts_at = OffsetDateTime()
    before = LineFiguresRow(allow_null=True, help_text="null: the superseded version has no such period")
    after = LineFiguresRow(allow_null=True, help_text="null: this version has no such period")


class StatementReasonRow(Row):
    """Why a version differs from the one it supersedes."""

    example = {
        "starts_at": None,
        "code": "reading_corrected",
        "message": "2 readings of 1 meter corrected, of the event",
        "n_reading": 2,
        "n_meter": 1,
        "first_received_at": "2026-01-18T12:00:00Z",
        "last_received_at": "2026-01-18T12:00:00Z",
    }

    starts_at = OffsetDateTime(allow_null=True, help_text="of the settlement period; null: the whole statement")
    code = serializers.CharField(
        help_text="reading_arrived, reading_corrected, baseline_reading, product_version, plan …"
    )
    message = serializers.CharField()
    n_reading = serializers.IntegerField(help_text="0 where no reading is the reason")
    n_meter = serializers.IntegerField()
    first_received_at = OffsetDateTime(allow_null=True)
    last_received_at = OffsetDateTime(allow_null=True)


class StatementDiffRow(Row):
    """What a statement says otherwise than the one it supersedes."""

    example = {
        "before": TotalsRow.example,
        "after": {**TotalsRow.example, "id": "statement_9", "version": 2, "payment_gbp": "2.70", "sha256": "6" * 64},
        "delta_gbp": "0.15",
        "lines": [LineChangeRow.example],
        "reasons": [StatementReasonRow.example],
    }

    delta_gbp = Gbp(help_text="payment of this version less that of the superseded one")
    before = TotalsRow(allow_null=True, help_text="null: this is the first version, and every period is new")
    after = TotalsRow()
    lines: Any = LineChangeRow(many=True, help_text="periods that differ, in time order; the others are left out")
    reasons: Any = StatementReasonRow(many=True, help_text="of the whole statement first, then by settlement period")
