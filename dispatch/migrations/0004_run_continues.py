import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("aggregator", "0006_bound_partitions"),
        ("dispatch", "0003_row_security"),
    ]

    operations = [
        migrations.AddField(
            model_name="dispatchrun",
            name="continues",
            field=models.ForeignKey(
                help_text="the run it took over from",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="continued_by",
                to="dispatch.dispatchrun",
            ),
        ),
        migrations.AddField(
            model_name="dispatchrun",
            name="from_period",
            field=models.PositiveSmallIntegerField(
                default=0,
                help_text="the first period it planned; before it setpoints are those of the run it continues",
            ),
        ),
        migrations.AddConstraint(
            model_name="dispatchrun",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("from_period__lt", models.F("n_period")),
                    models.Q(("from_period", 0), ("continues__isnull", False), _connector="OR"),
                ),
                name="run_continues_from",
            ),
        ),
    ]
