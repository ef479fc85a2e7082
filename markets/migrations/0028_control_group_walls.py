from django.conf import settings
from django.db import migrations

from aggregator.row_security import put_up, take_down
from markets.control_group_policies import POLICIES, TABLES


def protect(_apps, schema_editor):
    """A control group stays as it was recorded, and is read by whom it concerns."""
    put_up(schema_editor, (), POLICIES)
    role = schema_editor.quote_name(settings.DATABASE_APP_ROLE)
    for table in TABLES:
        schema_editor.execute(f"REVOKE UPDATE, DELETE ON {table} FROM {role}")


def free(_apps, schema_editor):
    role = schema_editor.quote_name(settings.DATABASE_APP_ROLE)
    for table in TABLES:
        schema_editor.execute(f"GRANT UPDATE, DELETE ON {table} TO {role}")
    take_down(schema_editor, (), POLICIES)


class Migration(migrations.Migration):
    dependencies = [("markets", "0027_control_groups")]
    operations = [migrations.RunPython(protect, free)]
