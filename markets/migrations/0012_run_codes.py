from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("markets", "0011_ledger_walls")]

    operations = [
        migrations.CreateModel(
            name="RunCode",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("code", models.CharField(max_length=20, unique=True)),
                ("name", models.CharField(max_length=120)),
                ("series", models.CharField(max_length=20)),
                ("position", models.PositiveSmallIntegerField()),
                (
                    "is_numbered",
                    models.BooleanField(default=False, help_text="used as CODE-1, CODE-2 …, in no order with others"),
                ),
                ("source", models.CharField(blank=True, max_length=200)),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("series", "position"), name="run_code_place_once")]
            },
        ),
        migrations.RenameField(model_name="settlementrun", old_name="run_type", new_name="code"),
        migrations.AlterField(
            model_name="settlementrun",
            name="code",
            field=models.CharField(
                default="PRELIM", help_text="a RunCode, with its number where it has one", max_length=20
            ),
        ),
    ]
