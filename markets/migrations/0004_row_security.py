from django.db import migrations

from aggregator.row_security import put_up, take_down
from markets.policies import FUNCTIONS, POLICIES


def bind(_apps, schema_editor):
    put_up(schema_editor, FUNCTIONS, POLICIES)


def free(_apps, schema_editor):
    take_down(schema_editor, FUNCTIONS, POLICIES)


class Migration(migrations.Migration):
    dependencies = [
        ("aggregator", "0005_row_security"),
        ("dispatch", "0003_row_security"),
        ("markets", "0003_statement_release"),
    ]
    operations = [migrations.RunPython(bind, free)]
