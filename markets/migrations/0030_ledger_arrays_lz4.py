from django.db import migrations

COLUMNS = ("evses", "band_from", "band_to", "unmet_evses", "unmet_quanta")

# pglz takes 0.15 s to compress the claims of one event of 20,000 EVSEs, ten times as long as all else that stores them.
# A server that was built without lz4 keeps the arrays as they are: some 24 bytes a band.
QUICKEN = """
DO $block$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[{columns}] LOOP
        BEGIN
            EXECUTE format('ALTER TABLE markets_ledgerclaim ALTER COLUMN %I SET COMPRESSION lz4', name);
        EXCEPTION WHEN feature_not_supported THEN
            EXECUTE format('ALTER TABLE markets_ledgerclaim ALTER COLUMN %I SET STORAGE EXTERNAL', name);
        END;
    END LOOP;
END $block$
""".format(columns=", ".join(f"'{column}'" for column in COLUMNS))


def quicken(_apps, schema_editor):
    """Store the arrays of claims to come without a slow compression; those stored stay as they are."""
    schema_editor.execute(QUICKEN, params=None)


def slow_down(_apps, schema_editor):
    for column in COLUMNS:
        schema_editor.execute(
            f"ALTER TABLE markets_ledgerclaim ALTER COLUMN {column} SET COMPRESSION default, "
            f"ALTER COLUMN {column} SET STORAGE EXTENDED"
        )


class Migration(migrations.Migration):
    dependencies = [("markets", "0029_ledger_guard_by_statement")]
    operations = [migrations.RunPython(quicken, slow_down)]
