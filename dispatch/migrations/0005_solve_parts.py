import django.db.models.deletion
from django.db import migrations, models

from aggregator.row_security import put_up, take_down
from dispatch.part_policies import POLICIES


def bind(_apps, schema_editor):
    put_up(schema_editor, (), POLICIES)


def free(_apps, schema_editor):
    take_down(schema_editor, (), POLICIES)


class Migration(migrations.Migration):
    dependencies = [
        ("dispatch", "0004_run_continues"),
    ]

    operations = [
        migrations.CreateModel(
            name="SolvePart",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("solve", models.UUIDField()),
                ("number", models.PositiveIntegerField()),
                ("problem", models.BinaryField(help_text="npz, the contract's field names")),
                ("created_at", models.DateTimeField()),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("solve", "number"), name="solve_part_once")],
            },
        ),
        migrations.CreateModel(
            name="PartRound",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField()),
                ("ask", models.BinaryField(help_text="npz: charges, ceiling, gap, time limit")),
                ("answer", models.BinaryField(help_text="npz: profile, cost, bound", null=True)),
                (
                    "plan",
                    models.BinaryField(
                        help_text="npz; read where the plans are put together, and to start from", null=True
                    ),
                ),
                ("answered_by", models.CharField(blank=True, max_length=120)),
                ("answered_at", models.DateTimeField(null=True)),
                (
                    "part",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="rounds", to="dispatch.solvepart"
                    ),
                ),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("part", "number"), name="part_round_once")],
            },
        ),
        migrations.RunPython(bind, free),
    ]
