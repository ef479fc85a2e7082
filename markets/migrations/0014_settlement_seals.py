import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("dispatch", "0009_references_by_statement"),
        ("markets", "0013_first_run_codes"),
    ]

    operations = [
        migrations.CreateModel(
            name="SettlementSeal",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("readings", "Readings"),
                            ("plan", "Plan and setpoints"),
                            ("instructions", "Request, event and instructions"),
                            ("product", "Product version"),
                            ("statements", "Statements"),
                        ],
                        max_length=20,
                    ),
                ),
                ("part", models.CharField(help_text="the table, and the day where there are many", max_length=80)),
                (
                    "columns",
                    django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=63), size=None),
                ),
                ("n_row", models.PositiveBigIntegerField()),
                ("sha256", models.CharField(max_length=64)),
            ],
        ),
        migrations.CreateModel(
            name="StatementReason",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "starts_at",
                    models.DateTimeField(help_text="of the half-hour; empty for the whole statement", null=True),
                ),
                (
                    "code",
                    models.CharField(
                        choices=[
                            ("reading_arrived", "Readings arrived"),
                            ("reading_corrected", "Readings were corrected"),
                            ("baseline_reading", "Readings of the baseline's days arrived or were corrected"),
                            ("baseline_input", "The baseline's other inputs changed"),
                            ("product_version", "Another product version"),
                            ("plan", "Another plan"),
                            ("instruction", "Other instructions"),
                            ("membership", "Other EVSEs take part"),
                            ("method", "Another method of settlement"),
                        ],
                        max_length=20,
                    ),
                ),
                ("n_reading", models.PositiveIntegerField(default=0)),
                ("n_meter", models.PositiveIntegerField(default=0)),
                ("first_received_at", models.DateTimeField(null=True)),
                ("last_received_at", models.DateTimeField(null=True)),
                ("message", models.CharField(max_length=300)),
            ],
        ),
        migrations.AddField(
            model_name="settlementrun",
            name="input_digests",
            field=models.JSONField(default=dict, help_text="SHA-256 of each kind of input apart"),
        ),
        migrations.AddConstraint(
            model_name="settlementrun",
            constraint=models.UniqueConstraint(fields=("event", "code"), name="settlement_code_once"),
        ),
        migrations.AddField(
            model_name="settlementseal",
            name="settlement_run",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="seals", to="markets.settlementrun"
            ),
        ),
        migrations.AddField(
            model_name="statementreason",
            name="statement",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="reasons", to="markets.statement"
            ),
        ),
        migrations.AddConstraint(
            model_name="settlementseal",
            constraint=models.UniqueConstraint(fields=("settlement_run", "kind", "part"), name="seal_once"),
        ),
        migrations.AddConstraint(
            model_name="statementreason",
            constraint=models.UniqueConstraint(
                fields=("statement", "starts_at", "code"), name="reason_once", nulls_distinct=False
            ),
        ),
        migrations.AddConstraint(
            model_name="statementreason",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("last_received_at__isnull", True), ("n_reading", 0)),
                    models.Q(("last_received_at__isnull", False), ("n_reading__gt", 0)),
                    _connector="OR",
                ),
                name="reason_readings_have_a_time",
            ),
        ),
    ]
