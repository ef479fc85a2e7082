import django.db.models.deletion
from django.db import migrations, models

from dispatch.row_references import put_up, take_down

RUN = {
    "db_constraint": False,
    "db_index": False,
    "on_delete": django.db.models.deletion.CASCADE,
    "to": "dispatch.dispatchrun",
}
EVSE = {"db_constraint": False, "on_delete": django.db.models.deletion.PROTECT, "to": "aggregator.evse"}
OWNER = {
    "db_constraint": False,
    "on_delete": django.db.models.deletion.PROTECT,
    "related_name": "+",
    "to": "aggregator.organisation",
}


class Migration(migrations.Migration):
    dependencies = [("aggregator", "0005_row_security"), ("dispatch", "0008_setpoints_in_amperes")]
    operations = [
        migrations.AlterField("setpoint", "run", models.ForeignKey(related_name="setpoints", **RUN)),
        migrations.AlterField("setpoint", "evse", models.ForeignKey(related_name="setpoints", **EVSE)),
        migrations.AlterField("setpoint", "organisation", models.ForeignKey(db_index=False, **OWNER)),
        migrations.AlterField("issuedsetpoint", "run", models.ForeignKey(related_name="issued", **RUN)),
        migrations.AlterField("issuedsetpoint", "evse", models.ForeignKey(related_name="issued", **EVSE)),
        migrations.AlterField("issuedsetpoint", "organisation", models.ForeignKey(**OWNER)),
        migrations.RunPython(
            lambda _apps, schema_editor: put_up(schema_editor), lambda _apps, schema_editor: take_down(schema_editor)
        ),
    ]
