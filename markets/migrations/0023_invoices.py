import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.expressions
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("aggregator", "0006_bound_partitions"),
        ("markets", "0022_shortfall_cause_walls"),
    ]

    operations = [
        migrations.CreateModel(
            name="Invoice",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("month", models.DateField(help_text="its first day, local")),
                ("product_code", models.SlugField(help_text="whatever its version")),
                ("version", models.PositiveSmallIntegerField()),
                ("as_of", models.DateTimeField(help_text="readings received after this were not looked at")),
                ("issued_at", models.DateTimeField()),
                (
                    "statement_pks",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.BigIntegerField(), help_text="statements it adds up, by event", size=None
                    ),
                ),
                (
                    "performance",
                    models.CharField(
                        blank=True, help_text="exact fraction; empty where nothing was asked", max_length=80
                    ),
                ),
                (
                    "previous_performance",
                    models.CharField(blank=True, help_text="of the month before, as it was used", max_length=80),
                ),
                (
                    "amount_gbp",
                    models.DecimalField(decimal_places=2, help_text="what the month is worth", max_digits=14),
                ),
                (
                    "before_gbp",
                    models.DecimalField(
                        decimal_places=2, help_text="what the version before had it worth", max_digits=14
                    ),
                ),
                (
                    "delta_gbp",
                    models.DecimalField(decimal_places=2, help_text="what is to be paid, or paid back", max_digits=14),
                ),
                ("sha256", models.CharField(help_text="of all that it says", max_length=64)),
                (
                    "buyer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="invoices_to_pay",
                        to="aggregator.organisation",
                    ),
                ),
                (
                    "organisation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="invoices",
                        to="aggregator.organisation",
                    ),
                ),
                (
                    "product",
                    models.ForeignKey(
                        help_text="the version in force at the month's end",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="invoices",
                        to="markets.product",
                    ),
                ),
                (
                    "supersedes",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="superseded_by",
                        to="markets.invoice",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="InvoiceLine",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveIntegerField()),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("utilisation", "Utilisation"),
                            ("penalty", "Penalty"),
                            ("availability", "Availability"),
                            ("cap", "Cap"),
                        ],
                        max_length=20,
                    ),
                ),
                (
                    "reference",
                    models.CharField(
                        blank=True, help_text="request or contract; empty for the month's own", max_length=80
                    ),
                ),
                ("amount_gbp", models.DecimalField(decimal_places=2, max_digits=14)),
                ("before_gbp", models.DecimalField(decimal_places=2, max_digits=14)),
                ("delta_gbp", models.DecimalField(decimal_places=2, max_digits=14)),
                (
                    "reason",
                    models.CharField(blank=True, help_text="why it differs from the version before", max_length=500),
                ),
                (
                    "invoice",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="lines", to="markets.invoice"
                    ),
                ),
                (
                    "statement",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="invoice_lines",
                        to="markets.statement",
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.UniqueConstraint(
                fields=("month", "product_code", "organisation", "version"), name="invoice_version_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "delta_gbp",
                        django.db.models.expressions.CombinedExpression(
                            models.F("amount_gbp"), "-", models.F("before_gbp")
                        ),
                    )
                ),
                name="invoice_delta",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("before_gbp", 0), ("supersedes__isnull", True), ("version", 1)),
                    models.Q(("supersedes__isnull", False), ("version__gt", 1)),
                    _connector="OR",
                ),
                name="invoice_supersedes_the_last",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoiceline",
            constraint=models.UniqueConstraint(fields=("invoice", "position"), name="invoice_line_place_once"),
        ),
        migrations.AddConstraint(
            model_name="invoiceline",
            constraint=models.UniqueConstraint(fields=("invoice", "kind", "reference"), name="invoice_line_once"),
        ),
        migrations.AddConstraint(
            model_name="invoiceline",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "delta_gbp",
                        django.db.models.expressions.CombinedExpression(
                            models.F("amount_gbp"), "-", models.F("before_gbp")
                        ),
                    )
                ),
                name="invoice_line_delta",
            ),
        ),
    ]
