from django.conf import settings
from django.db import migrations


def make_append_only(_apps, schema_editor):
    """What was released stays released."""
    role = schema_editor.quote_name(settings.DATABASE_APP_ROLE)
    schema_editor.execute(f"REVOKE UPDATE, DELETE ON markets_statementrelease FROM {role}")


def allow_changes(_apps, schema_editor):
    role = schema_editor.quote_name(settings.DATABASE_APP_ROLE)
    schema_editor.execute(f"GRANT UPDATE, DELETE ON markets_statementrelease TO {role}")


class Migration(migrations.Migration):
    dependencies = [("markets", "0004_row_security")]
    operations = [migrations.RunPython(make_append_only, allow_changes)]
