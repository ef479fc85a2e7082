import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

KW = django.contrib.postgres.fields.ArrayField(base_field=models.FloatField(), null=True, size=None)
RUN = {"on_delete": django.db.models.deletion.CASCADE, "to": "dispatch.dispatchrun", "db_index": False}


class Migration(migrations.Migration):
    """Room for amperes beside kW, empty at first, and for rows without kW."""

    dependencies = [("dispatch", "0005_solve_parts")]
    operations = [
        migrations.AlterField("setpoint", "planned_kw", KW.clone()),
        migrations.AlterField("setpoint", "setpoint_kw", KW.clone()),
        migrations.AlterField("issuedsetpoint", "setpoint_kw", KW.clone()),
        migrations.AddField("setpoint", "ampere_kw", models.FloatField(null=True)),
        migrations.AddField(
            "setpoint",
            "planned_a",
            django.contrib.postgres.fields.ArrayField(base_field=models.SmallIntegerField(), null=True, size=None),
        ),
        migrations.AddField("issuedsetpoint", "ampere_kw", models.FloatField(null=True)),
        migrations.AlterField("setpoint", "run", models.ForeignKey(related_name="setpoints", **RUN)),
        migrations.AlterField(
            "setpoint",
            "organisation",
            models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="aggregator.organisation",
            ),
        ),
        migrations.AlterField("issuedsetpoint", "run", models.ForeignKey(related_name="issued", **RUN)),
    ]
