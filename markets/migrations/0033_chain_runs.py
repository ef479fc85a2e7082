from django.conf import settings
from django.db import migrations

from aggregator.row_security import put_up, take_down
from markets.run_chain_sql import CHAIN, COVER, FILL, UNCHAIN, UNCOVER
from markets.run_evidence_policies import POLICIES

KEPT = ("markets_settlementlink", "markets_invoiceseal")


def bind(_apps, schema_editor):
    """Chain the runs there are, and let the database chain each that follows; rows are only ever added."""
    for statements in (CHAIN, FILL, COVER):
        schema_editor.execute(statements, params=None)
    put_up(schema_editor, (), POLICIES)
    role = schema_editor.quote_name(settings.DATABASE_APP_ROLE)
    for table in KEPT:
        schema_editor.execute(f"REVOKE UPDATE, DELETE ON {table} FROM {role}")


def free(_apps, schema_editor):
    role = schema_editor.quote_name(settings.DATABASE_APP_ROLE)
    for table in KEPT:
        schema_editor.execute(f"GRANT UPDATE, DELETE ON {table} TO {role}")
    take_down(schema_editor, (), POLICIES)
    for statements in (UNCOVER, UNCHAIN):
        schema_editor.execute(statements, params=None)


class Migration(migrations.Migration):
    dependencies = [("markets", "0032_run_evidence")]
    operations = [migrations.RunPython(bind, free)]
