from django.conf import settings
from django.db import migrations

from aggregator.row_security import put_up, take_down
from markets.invoice_policies import FUNCTIONS, POLICIES

KEPT = ("markets_invoice", "markets_invoiceline")


def protect(_apps, schema_editor):
    """Read by whom they concern, and only ever added to."""
    put_up(schema_editor, FUNCTIONS, POLICIES)
    role = schema_editor.quote_name(settings.DATABASE_APP_ROLE)
    for table in KEPT:
        schema_editor.execute(f"REVOKE UPDATE, DELETE ON {table} FROM {role}")


def free(_apps, schema_editor):
    role = schema_editor.quote_name(settings.DATABASE_APP_ROLE)
    for table in KEPT:
        schema_editor.execute(f"GRANT UPDATE, DELETE ON {table} TO {role}")
    take_down(schema_editor, FUNCTIONS, POLICIES)


class Migration(migrations.Migration):
    dependencies = [("markets", "0023_invoices")]
    operations = [migrations.RunPython(protect, free)]
