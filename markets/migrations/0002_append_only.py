from django.conf import settings
from django.db import migrations

PUBLISHED = ["markets_settlementrun", "markets_statement", "markets_statementline", "markets_instruction"]


def make_append_only(_apps, schema_editor):
    """What was instructed, settled and published is never changed or removed: a later run is a new version."""
    role = schema_editor.quote_name(settings.DATABASE_APP_ROLE)
    for table in PUBLISHED:
        schema_editor.execute(f"REVOKE UPDATE, DELETE ON {table} FROM {role}")


def allow_changes(_apps, schema_editor):
    role = schema_editor.quote_name(settings.DATABASE_APP_ROLE)
    for table in PUBLISHED:
        schema_editor.execute(f"GRANT UPDATE, DELETE ON {table} TO {role}")


class Migration(migrations.Migration):
    dependencies = [("markets", "0001_initial")]
    operations = [migrations.RunPython(make_append_only, allow_changes)]
