from django.db import migrations, models

from aggregator.policies import FUNCTIONS, POLICIES, SESSION
from aggregator.row_security import put_up, take_down


def bind(_apps, schema_editor):
    schema_editor.execute(SESSION, params=None)
    put_up(schema_editor, FUNCTIONS, POLICIES)


def free(_apps, schema_editor):
    take_down(schema_editor, FUNCTIONS, POLICIES)
    schema_editor.execute("DROP FUNCTION headroom_kind(), headroom_organisation()", params=None)


class Migration(migrations.Migration):
    """Each tenant's rows are its own, in the database too."""

    dependencies = [("aggregator", "0004_event_log")]
    operations = [
        migrations.AddIndex(
            model_name="evseforecast",
            index=models.Index(fields=["organisation", "forecast"], name="evse_forecast_by_owner"),
        ),
        migrations.RunPython(bind, free),
    ]
