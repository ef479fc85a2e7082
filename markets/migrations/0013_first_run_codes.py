from django.db import migrations
from django.db.models import CharField, F, Value
from django.db.models.functions import Cast, Concat

BSC = "order of the BSC's settlement runs"
OURS = "ours"
# code, name, series, position, is_numbered, source
CODES = (
    ("II", "Interim Information", "BSC", 1, False, BSC),
    ("SF", "Initial Settlement", "BSC", 2, False, BSC),
    ("R1", "First Reconciliation", "BSC", 3, False, BSC),
    ("R2", "Second Reconciliation", "BSC", 4, False, BSC),
    ("R3", "Third Reconciliation", "BSC", 5, False, BSC),
    ("RF", "Final Reconciliation", "BSC", 6, False, BSC),
    ("DF", "Dispute Final", "BSC", 7, False, BSC),
    ("PRELIM", "Preliminary", "market", 1, False, OURS),
    ("MONTHLY", "Monthly invoice", "market", 2, False, OURS),
    ("FINAL", "Final", "market", 3, False, OURS),
    ("RERUN", "Rerun", "rerun", 1, True, OURS),
)


def add_codes(apps, _schema_editor):
    """Fill the table, and number the reruns there are: the version before which each came."""
    run_codes, settlements = (apps.get_model("markets", name).objects for name in ("RunCode", "SettlementRun"))
    names = ("code", "name", "series", "position", "is_numbered", "source")
    run_codes.bulk_create(run_codes.model(**dict(zip(names, cells, strict=True))) for cells in CODES)
    number = Cast(F("version") - 1, CharField())
    settlements.filter(code="RERUN").update(code=Concat(Value("RERUN-"), number))


def take_codes_away(apps, _schema_editor):
    run_codes, settlements = (apps.get_model("markets", name).objects for name in ("RunCode", "SettlementRun"))
    settlements.filter(code__startswith="RERUN-").update(code="RERUN")
    run_codes.all().delete()


class Migration(migrations.Migration):
    dependencies = [("markets", "0012_run_codes")]
    operations = [migrations.RunPython(add_codes, take_codes_away)]
