from django.conf import settings
from django.db import migrations

from aggregator.row_security import put_up, take_down
from markets.nomination_policies import FUNCTIONS, POLICIES, TABLES


def protect(_apps, schema_editor):
    """What was nominated stays as it was handed in, and is read by whom it concerns."""
    put_up(schema_editor, FUNCTIONS, POLICIES)
    role = schema_editor.quote_name(settings.DATABASE_APP_ROLE)
    for table in TABLES:
        schema_editor.execute(f"REVOKE UPDATE, DELETE ON {table} FROM {role}")


def free(_apps, schema_editor):
    role = schema_editor.quote_name(settings.DATABASE_APP_ROLE)
    for table in TABLES:
        schema_editor.execute(f"GRANT UPDATE, DELETE ON {table} TO {role}")
    take_down(schema_editor, FUNCTIONS, POLICIES)


class Migration(migrations.Migration):
    dependencies = [("markets", "0025_nominations")]
    operations = [migrations.RunPython(protect, free)]
