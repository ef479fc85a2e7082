from django.conf import settings
from django.db import migrations

from aggregator.row_security import put_up, take_down
from markets.volume_policies import FILED, POLICIES

# What may change of a row once it is stored: when a registration ends, and nothing that was filed.
CHANGING = {"markets_secondaryunit": "", "markets_assetregistration": "valid_to", **dict.fromkeys(FILED, "")}


def guard(_apps, schema_editor):
    """What was filed stays filed; registrations and files are shown to whose they are."""
    role = schema_editor.quote_name(settings.DATABASE_APP_ROLE)
    for table, columns in CHANGING.items():
        schema_editor.execute(f"REVOKE UPDATE, DELETE ON {table} FROM {role}")
        if columns:
            schema_editor.execute(f"GRANT UPDATE ({columns}) ON {table} TO {role}")
    put_up(schema_editor, (), POLICIES)


def free(_apps, schema_editor):
    role = schema_editor.quote_name(settings.DATABASE_APP_ROLE)
    take_down(schema_editor, (), POLICIES)
    for table in CHANGING:
        schema_editor.execute(f"GRANT UPDATE, DELETE ON {table} TO {role}")


class Migration(migrations.Migration):
    dependencies = [
        ("aggregator", "0005_row_security"),
        ("markets", "0019_filed_volumes"),
    ]
    operations = [migrations.RunPython(guard, free)]
