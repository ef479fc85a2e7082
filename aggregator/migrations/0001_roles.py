from django.conf import settings
from django.contrib.postgres.operations import BtreeGistExtension
from django.db import migrations

from aggregator.roles import ensure_app_role, grant_app_role


def make_app_role(_apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        ensure_app_role(cursor, settings.DATABASE_APP_ROLE, settings.DATABASE_APP_PASSWORD)
        grant_app_role(cursor, settings.DATABASE_APP_ROLE)


class Migration(migrations.Migration):
    """Before any table: the role the application logs in as, and what it may do with every table to come."""

    initial = True
    # auth and contenttypes come later, so that default privileges cover their tables too
    run_before = [("contenttypes", "0001_initial"), ("auth", "0001_initial"), ("sessions", "0001_initial")]
    dependencies = []
    operations = [
        BtreeGistExtension(),
        migrations.RunPython(make_app_role, migrations.RunPython.noop),
    ]
