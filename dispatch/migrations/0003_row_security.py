from django.db import migrations, models

from aggregator.row_security import put_up, take_down
from dispatch.policies import FUNCTIONS, POLICIES


def bind(_apps, schema_editor):
    put_up(schema_editor, FUNCTIONS, POLICIES)


def free(_apps, schema_editor):
    take_down(schema_editor, FUNCTIONS, POLICIES)


class Migration(migrations.Migration):
    dependencies = [("aggregator", "0005_row_security"), ("dispatch", "0002_issued_setpoint")]
    operations = [
        migrations.AddIndex(
            model_name="setpoint",
            index=models.Index(fields=["organisation", "run"], name="setpoint_by_owner"),
        ),
        migrations.RunPython(bind, free),
    ]
