from django.db import migrations, models

from markets.chain_sql import BIND, CHAIN, FILL, FREE


def bind(_apps, schema_editor):
    """Chain the releases there are, and let the database chain each that follows."""
    schema_editor.execute(CHAIN, params=None)
    schema_editor.execute(FILL, params=None)
    schema_editor.execute(BIND, params=None)


def free(_apps, schema_editor):
    schema_editor.execute(FREE, params=None)


def _digest():
    return models.CharField(default="", editable=False, max_length=64)


class Migration(migrations.Migration):
    dependencies = [("markets", "0017_products_append_only")]
    operations = [
        migrations.AddField(
            model_name="statementrelease",
            name="sequence",
            field=models.PositiveBigIntegerField(default=0, editable=False),
        ),
        *(
            migrations.AddField(model_name="statementrelease", name=name, field=_digest())
            for name in ("previous_sha256", "content_sha256", "sha256")
        ),
        migrations.RunPython(bind, free),
        migrations.AddConstraint(
            model_name="statementrelease",
            constraint=models.UniqueConstraint(fields=("sequence",), name="release_sequence_once"),
        ),
        migrations.AddConstraint(
            model_name="statementrelease",
            constraint=models.CheckConstraint(
                condition=models.Q(("sequence__gte", 1)), name="release_sequence_from_one"
            ),
        ),
    ]
