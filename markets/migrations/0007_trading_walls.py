from django.conf import settings
from django.db import migrations

from aggregator.row_security import put_up, take_down
from markets.trading_policies import FUNCTIONS, POLICIES

# What may change of a row once it is stored: how far it has come, and nothing of what it states.
CHANGING = {
    "markets_market": "state",
    "markets_flexrequest": "state",
    "markets_flexoffer": "state",
    "markets_contract": "state",
    "markets_flexorder": "state, event_id, stopped_at",
    "markets_offeroption": "",
    "markets_instructionstop": "",
}


def guard(_apps, schema_editor):
    """What was stated stays as it was stated, and is shown to whom it concerns."""
    role = schema_editor.quote_name(settings.DATABASE_APP_ROLE)
    for table, columns in CHANGING.items():
        schema_editor.execute(f"REVOKE UPDATE, DELETE ON {table} FROM {role}")
        if columns:
            schema_editor.execute(f"GRANT UPDATE ({columns}) ON {table} TO {role}")
    put_up(schema_editor, FUNCTIONS, POLICIES)


def free(_apps, schema_editor):
    role = schema_editor.quote_name(settings.DATABASE_APP_ROLE)
    take_down(schema_editor, FUNCTIONS, POLICIES)
    for table in CHANGING:
        schema_editor.execute(f"GRANT UPDATE, DELETE ON {table} TO {role}")


class Migration(migrations.Migration):
    dependencies = [
        ("aggregator", "0005_row_security"),
        ("dispatch", "0010_request_withdrawn"),
        ("markets", "0006_trading"),
    ]
    operations = [migrations.RunPython(guard, free)]
