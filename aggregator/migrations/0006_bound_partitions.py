from django.conf import settings
from django.db import migrations

# No policy of its own: whoever came upon a partition past its table would see nothing.
BOUND = """
CREATE OR REPLACE FUNCTION aggregator_meterday_partition(of_day date) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $function$
DECLARE
    first_day date := date_trunc('month', of_day)::date;
    partition text := format('aggregator_meterday_%s', to_char(first_day, 'YYYY_MM'));
BEGIN
    IF to_regclass(partition) IS NULL THEN
        PERFORM pg_advisory_xact_lock(hashtext('aggregator_meterday_partition'));
        EXECUTE format(
            'CREATE TABLE IF NOT EXISTS %I PARTITION OF aggregator_meterday FOR VALUES FROM (%L) TO (%L)',
            partition, first_day, (first_day + interval '1 month')::date);
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', partition);
        EXECUTE format('REVOKE ALL ON %I FROM %I', partition, 'APP_ROLE');
    END IF;
    RETURN partition;
END $function$;
"""
OPEN = BOUND.replace("        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', partition);\n", "")
PARTITIONS = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'aggregator_meterday'::regclass"


def bind(_apps, schema_editor):
    _make(schema_editor, BOUND, "ENABLE")


def free(_apps, schema_editor):
    _make(schema_editor, OPEN, "DISABLE")


def _make(schema_editor, function, what):
    """The function that makes months from now on, and the same for the months there are."""
    schema_editor.execute(function.replace("APP_ROLE", settings.DATABASE_APP_ROLE), params=None)
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(PARTITIONS)
        partitions = [row[0] for row in cursor.fetchall()]
    for partition in partitions:
        schema_editor.execute(f"ALTER TABLE {partition} {what} ROW LEVEL SECURITY", params=None)


class Migration(migrations.Migration):
    dependencies = [("aggregator", "0005_row_security")]
    operations = [migrations.RunPython(bind, free)]
