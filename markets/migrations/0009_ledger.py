import datetime

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.expressions
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("aggregator", "0006_bound_partitions"),
        ("markets", "0008_product_terms"),
    ]

    operations = [
        migrations.CreateModel(
            name="LedgerClaim",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("direction", models.CharField(max_length=10)),
                ("starts_at", models.DateTimeField(help_text="start of the settlement period")),
                ("claimed_kwh", models.DecimalField(decimal_places=4, max_digits=14)),
                ("payable_kwh", models.DecimalField(decimal_places=4, max_digits=14)),
                ("compensated_kwh", models.DecimalField(decimal_places=4, default=0, max_digits=14)),
                ("void_kwh", models.DecimalField(decimal_places=4, default=0, max_digits=14)),
                ("penalised_kwh", models.DecimalField(decimal_places=4, default=0, max_digits=14)),
                (
                    "evses",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.BigIntegerField(),
                        default=list,
                        help_text="keys of EVSEs, one for each band",
                        size=None,
                    ),
                ),
                (
                    "band_from",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.BigIntegerField(), default=list, help_text="0.0001 kWh", size=None
                    ),
                ),
                (
                    "band_to",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.BigIntegerField(),
                        default=list,
                        help_text="0.0001 kWh, left out of the band",
                        size=None,
                    ),
                ),
                (
                    "unmet_evses",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.BigIntegerField(),
                        default=list,
                        help_text="keys of EVSEs that were displaced",
                        size=None,
                    ),
                ),
                (
                    "unmet_quanta",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.BigIntegerField(),
                        default=list,
                        help_text="0.0001 kWh displaced of each",
                        size=None,
                    ),
                ),
                (
                    "stacking_rules",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.BigIntegerField(),
                        default=list,
                        help_text="keys of the co-delivery rules used",
                        size=None,
                    ),
                ),
                (
                    "organisation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="aggregator.organisation"
                    ),
                ),
                (
                    "settlement",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="ledger_claims",
                        to="markets.settlementrun",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="PrimacyRule",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("code", models.SlugField(max_length=60)),
                ("version", models.PositiveSmallIntegerField(default=1)),
                (
                    "product_hi",
                    models.SlugField(help_text="code of a product, a family of products, or any", max_length=60),
                ),
                (
                    "product_lo",
                    models.SlugField(help_text="code of a product, a family of products, or any", max_length=60),
                ),
                (
                    "direction",
                    models.CharField(
                        choices=[
                            ("same", "Same direction"),
                            ("opposite", "Opposite directions"),
                            ("any", "Any direction"),
                        ],
                        default="same",
                        max_length=10,
                    ),
                ),
                (
                    "lead_time",
                    models.DurationField(
                        default=datetime.timedelta(0),
                        help_text="the higher must have been contracted this long before delivery",
                    ),
                ),
                (
                    "action",
                    models.CharField(
                        choices=[
                            ("block", "The lower gets nothing there"),
                            ("curtail", "The lower gets what is left"),
                            ("notify", "Both are told, nothing is changed"),
                        ],
                        default="curtail",
                        max_length=10,
                    ),
                ),
                (
                    "displaced_party_settlement",
                    models.CharField(
                        choices=[
                            ("paid", "Paid all the same"),
                            ("void", "Taken from the order too"),
                            ("penalised", "Counts as not delivered"),
                        ],
                        default="void",
                        max_length=10,
                    ),
                ),
                ("source", models.CharField(max_length=500)),
                ("uncertain", models.CharField(blank=True, help_text="what of it is not certain", max_length=500)),
                ("valid_from", models.DateTimeField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("code", "version"), name="primacy_version_once"),
                    models.CheckConstraint(
                        condition=models.Q(("product_hi", models.F("product_lo")), _negated=True), name="primacy_of_two"
                    ),
                    models.CheckConstraint(condition=models.Q(("version__gte", 1)), name="primacy_version_from_1"),
                    models.CheckConstraint(
                        condition=models.Q(("lead_time__gte", datetime.timedelta(0))), name="primacy_lead_time"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("direction__in", ["same", "opposite", "any"])), name="primacy_direction"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("action__in", ["block", "curtail", "notify"])), name="primacy_action"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("displaced_party_settlement__in", ["paid", "void", "penalised"])),
                        name="primacy_displaced",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="LedgerDisplacement",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "reason",
                    models.CharField(
                        choices=[
                            ("primacy", "A rule puts the other before it"),
                            ("earlier-contract", "The other was contracted earlier, and no rule decides"),
                            ("paid-before", "The other was paid for it before"),
                            ("blocked", "A rule gives it nothing beside the other"),
                            ("splitting-refused", "The two may not share a half-hour"),
                            ("opposite", "The other asked for the opposite"),
                        ],
                        max_length=20,
                    ),
                ),
                (
                    "displaced_party_settlement",
                    models.CharField(
                        choices=[
                            ("paid", "Paid all the same"),
                            ("void", "Taken from the order too"),
                            ("penalised", "Counts as not delivered"),
                        ],
                        max_length=10,
                    ),
                ),
                ("displaced_kwh", models.DecimalField(decimal_places=4, max_digits=14)),
                (
                    "by_event",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="markets.flexevent"
                    ),
                ),
                (
                    "by_product",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="markets.product"
                    ),
                ),
                (
                    "claim",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="displacements",
                        to="markets.ledgerclaim",
                    ),
                ),
                (
                    "rule",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="markets.primacyrule",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="StackingRule",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("code", models.SlugField(max_length=60)),
                ("version", models.PositiveSmallIntegerField(default=1)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("co-delivery", "Co-delivery: both are paid for the same kWh"),
                            ("splitting", "Splitting: different kWh of one half-hour"),
                            ("jumping", "Jumping: different half-hours"),
                        ],
                        max_length=12,
                    ),
                ),
                (
                    "service_a",
                    models.SlugField(help_text="code of a product, a family of products, or any", max_length=60),
                ),
                (
                    "service_b",
                    models.SlugField(help_text="code of a product, a family of products, or any", max_length=60),
                ),
                ("is_allowed", models.BooleanField()),
                ("source", models.CharField(max_length=500)),
                ("uncertain", models.CharField(blank=True, help_text="what of it is not certain", max_length=500)),
                ("valid_from", models.DateTimeField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("code", "version"), name="stacking_version_once"),
                    models.CheckConstraint(condition=models.Q(("version__gte", 1)), name="stacking_version_from_1"),
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ["co-delivery", "splitting", "jumping"])),
                        name="stacking_kind_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("is_allowed", False), ("kind", "jumping"), _negated=True),
                        name="stacking_jumping_is_free",
                    ),
                ],
            },
        ),
        migrations.AddIndex(
            model_name="ledgerclaim",
            index=models.Index(fields=["starts_at", "direction"], name="ledger_by_period"),
        ),
        migrations.AddConstraint(
            model_name="ledgerclaim",
            constraint=models.UniqueConstraint(
                fields=("settlement", "organisation", "starts_at"), name="ledger_claim_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerclaim",
            constraint=models.CheckConstraint(
                condition=models.Q(("direction__in", ["turn_down", "turn_up"])), name="ledger_direction_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerclaim",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("compensated_kwh__gte", 0),
                    ("payable_kwh__gte", 0),
                    ("penalised_kwh__gte", 0),
                    ("void_kwh__gte", 0),
                ),
                name="ledger_energy_not_negative",
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerclaim",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "claimed_kwh",
                        django.db.models.expressions.CombinedExpression(
                            django.db.models.expressions.CombinedExpression(
                                django.db.models.expressions.CombinedExpression(
                                    models.F("payable_kwh"), "+", models.F("compensated_kwh")
                                ),
                                "+",
                                models.F("void_kwh"),
                            ),
                            "+",
                            models.F("penalised_kwh"),
                        ),
                    )
                ),
                name="ledger_adds_up",
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerdisplacement",
            constraint=models.UniqueConstraint(fields=("claim", "by_event", "reason"), name="displacement_once"),
        ),
        migrations.AddConstraint(
            model_name="ledgerdisplacement",
            constraint=models.CheckConstraint(
                condition=models.Q(("displaced_kwh__gt", 0)), name="displacement_of_something"
            ),
        ),
    ]
