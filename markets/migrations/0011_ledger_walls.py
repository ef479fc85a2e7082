from django.db import migrations

from aggregator.row_security import put_up, take_down
from markets.ledger_policies import FUNCTIONS, POLICIES


def bind(_apps, schema_editor):
    put_up(schema_editor, FUNCTIONS, POLICIES)


def free(_apps, schema_editor):
    take_down(schema_editor, FUNCTIONS, POLICIES)


class Migration(migrations.Migration):
    dependencies = [("markets", "0010_ledger_guard")]
    operations = [migrations.RunPython(bind, free)]
