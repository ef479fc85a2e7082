from django.conf import settings
from django.db import migrations

from aggregator.row_security import put_up, take_down
from markets.settlement_policies import POLICIES

KEPT = ("markets_settlementseal", "markets_statementreason")


def protect(_apps, schema_editor):
    """Everybody's own, and only ever added to."""
    put_up(schema_editor, (), POLICIES)
    role = schema_editor.quote_name(settings.DATABASE_APP_ROLE)
    for table in KEPT:
        schema_editor.execute(f"REVOKE UPDATE, DELETE ON {table} FROM {role}")


def free(_apps, schema_editor):
    role = schema_editor.quote_name(settings.DATABASE_APP_ROLE)
    for table in KEPT:
        schema_editor.execute(f"GRANT UPDATE, DELETE ON {table} TO {role}")
    take_down(schema_editor, (), POLICIES)


class Migration(migrations.Migration):
    dependencies = [("markets", "0014_settlement_seals")]
    operations = [migrations.RunPython(protect, free)]
