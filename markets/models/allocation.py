"""P375: asset metering systems, the boundaries and units they belong to, and the volumes filed for them."""

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateRangeField, RangeBoundary, RangeOperators
from django.db import models
from django.db.models import F, Func, Q

from aggregator.models import Meter, Organisation, TenantManager

THIRTEEN_DIGITS = r"^[0-9]{13}$"


class DateRange(Func):
    """``[from, to)`` of two columns of dates; an empty end never ends."""

    function = "daterange"
    output_field = DateRangeField()


class SecondaryUnit(models.Model):
    """A secondary BM unit: assets of one firm in one GSP group."""

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+")
    bm_unit_id = models.CharField(max_length=11, unique=True)
    gsp_group_id = models.CharField(max_length=2)

    objects = TenantManager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(gsp_group_id__regex=r"^_[A-P]$"), name="unit_gsp_group"),
            models.CheckConstraint(condition=Q(bm_unit_id__regex=r"^[A-Z0-9_-]{1,11}$"), name="unit_bm_unit_id"),
        ]

    def __str__(self) -> str:
        return self.bm_unit_id


class AssetRegistration(models.Model):
    """An asset metering system behind a boundary, from one settlement date to another.

    Several firms may register assets behind the same boundary; one asset is with one firm and in one unit a day.
    """

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+")
    unit = models.ForeignKey(SecondaryUnit, on_delete=models.PROTECT, related_name="registrations")
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="+", help_text="of the asset")
    boundary_meter = models.ForeignKey(
        Meter,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="empty where its readings do not come here",
    )
    import_amsid = models.CharField(max_length=13)
    export_amsid = models.CharField(max_length=13, blank=True)
    import_msid = models.CharField(max_length=13)
    export_msid = models.CharField(max_length=13, blank=True)
    supplier_id = models.CharField(max_length=20, help_text="of the boundary")
    max_import_kw = models.FloatField(help_text="what the asset's meter supports")
    max_export_kw = models.FloatField(default=0, help_text="0 without an export AMSID")
    valid_from = models.DateField(help_text="first settlement date")
    valid_to = models.DateField(null=True, help_text="first settlement date it is no longer so")

    objects = TenantManager()

    class Meta:
        constraints = [
            *(
                ExclusionConstraint(
                    name=f"registration_one_{name}_a_day",
                    expressions=[
                        (name, RangeOperators.EQUAL),
                        (DateRange(F("valid_from"), F("valid_to"), RangeBoundary()), RangeOperators.OVERLAPS),
                    ],
                )
                for name in ("import_amsid", "meter")
            ),
            models.CheckConstraint(
                condition=Q(valid_to__isnull=True) | Q(valid_to__gt=F("valid_from")),
                name="registration_ends_after_start",
            ),
            models.CheckConstraint(
                condition=Q(import_amsid__regex=THIRTEEN_DIGITS)
                & Q(import_msid__regex=THIRTEEN_DIGITS)
                & (Q(export_amsid="") | Q(export_amsid__regex=THIRTEEN_DIGITS))
                & (Q(export_msid="") | Q(export_msid__regex=THIRTEEN_DIGITS)),
                name="registration_thirteen_digits",
            ),
            models.CheckConstraint(
                condition=Q(max_import_kw__gte=0, max_export_kw__gte=0) & (Q(max_export_kw=0) | ~Q(export_amsid="")),
                name="registration_exports_by_a_meter",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.import_amsid} behind {self.import_msid} from {self.valid_from}"


class DeliveredVolumeFile(models.Model):
    """What one firm filed for one settlement date. It is built once; sending it again sends these bytes."""

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+")
    settlement_date = models.DateField()
    sequence = models.PositiveIntegerField(help_text="of the firm's files, without gaps")
    supersedes = models.OneToOneField("self", null=True, on_delete=models.PROTECT, related_name="superseded_by")
    as_of = models.DateTimeField(help_text="readings received after this were not looked at")
    input_sha256 = models.CharField(max_length=64)
    content = models.BinaryField()
    sha256 = models.CharField(max_length=64)
    n_volume = models.PositiveIntegerField()
    total_mwh = models.DecimalField(max_digits=14, decimal_places=4)
    residual_kwh = models.DecimalField(max_digits=14, decimal_places=4, help_text="what rounding left out")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TenantManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organisation", "sequence"], name="delivered_file_sequence_once"),
            models.CheckConstraint(condition=Q(sequence__gte=1), name="delivered_file_sequence_from_one"),
        ]

    def __str__(self) -> str:
        return f"delivered volumes of {self.settlement_date}, file {self.sequence}"


class DeviationVolume(models.Model):
    """One asset's volume in one settlement period, export positive."""

    file = models.ForeignKey(DeliveredVolumeFile, on_delete=models.PROTECT, related_name="deviations")
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+", db_index=False)
    registration = models.ForeignKey(AssetRegistration, on_delete=models.PROTECT, related_name="+")
    period = models.PositiveSmallIntegerField()
    baseline_kwh = models.DecimalField(max_digits=14, decimal_places=4)
    metered_kwh = models.DecimalField(max_digits=14, decimal_places=4)
    deviation_kwh = models.DecimalField(max_digits=14, decimal_places=4, help_text="as the meter supports it")
    filed_mwh = models.DecimalField(max_digits=14, decimal_places=4)
    is_limited = models.BooleanField(default=False)

    objects = TenantManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["file", "registration", "period"], name="deviation_once"),
            models.CheckConstraint(condition=Q(period__gte=1, period__lte=50), name="deviation_period"),
        ]

    def __str__(self) -> str:
        return f"{self.filed_mwh} MWh in period {self.period}"


class BoundaryVolume(models.Model):
    """What a boundary's supplier and the secondary units there are settled on in one settlement period."""

    file = models.ForeignKey(DeliveredVolumeFile, on_delete=models.PROTECT, related_name="boundaries")
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+", db_index=False)
    import_msid = models.CharField(max_length=13)
    supplier_id = models.CharField(max_length=20)
    period = models.PositiveSmallIntegerField()
    metered_kwh = models.DecimalField(max_digits=14, decimal_places=4, null=True)
    secondary_kwh = models.DecimalField(max_digits=14, decimal_places=4)
    supplier_kwh = models.DecimalField(max_digits=14, decimal_places=4, null=True)

    objects = TenantManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["file", "import_msid", "period"], name="boundary_volume_once"),
            models.CheckConstraint(
                condition=Q(metered_kwh__isnull=True, supplier_kwh__isnull=True)
                | Q(metered_kwh=F("secondary_kwh") + F("supplier_kwh")),
                name="boundary_volume_adds_up",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.import_msid} in period {self.period}"
