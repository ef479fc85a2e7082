import django.contrib.postgres.fields
from django.db import migrations, models

AMPERE_KW = "kW of one ampere a phase, as the EVSE was connected"


class Migration(migrations.Migration):
    dependencies = [("dispatch", "0007_amperes_of_kw")]
    operations = [
        migrations.AlterField("setpoint", "ampere_kw", models.FloatField(help_text=AMPERE_KW)),
        migrations.AlterField(
            "setpoint",
            "planned_a",
            django.contrib.postgres.fields.ArrayField(
                base_field=models.SmallIntegerField(),
                help_text="the rounded plan; never above the setpoint",
                size=None,
            ),
        ),
        migrations.AlterField("issuedsetpoint", "ampere_kw", models.FloatField(help_text=AMPERE_KW)),
        migrations.RemoveField("setpoint", "planned_kw"),
        migrations.RemoveField("setpoint", "setpoint_kw"),
        migrations.RemoveField("issuedsetpoint", "setpoint_kw"),
    ]
