from django.db import migrations

TABLES = ("dispatch_setpoint", "dispatch_issuedsetpoint")
# What the row itself says of its phases, and the EVSE where it was told 0 all day.
AMPERE_KW = """
UPDATE {table} AS told SET ampere_kw = 0.23::float8 * coalesce(
    (
        SELECT CASE WHEN kw > 0.46 * a THEN 3 ELSE 1 END
        FROM unnest(setpoint_a, setpoint_kw) AS period (a, kw) WHERE a > 0 LIMIT 1
    ),
    (SELECT phases FROM aggregator_evse AS evse WHERE evse.id = told.evse_id)
)
"""
PLANNED_A = """
UPDATE {table} SET planned_a = ARRAY(
    SELECT round(kw / ampere_kw)::smallint FROM unnest(planned_kw) WITH ORDINALITY AS period (kw, at) ORDER BY at
)
"""
KW = """
UPDATE {table} SET {kw} = ARRAY(
    SELECT a * ampere_kw FROM unnest({a}) WITH ORDINALITY AS period (a, at) ORDER BY at
)
"""


class Migration(migrations.Migration):
    """Every row's kW were whole amperes times 0.23 kV and its phases; backwards they are worked out again."""

    dependencies = [("dispatch", "0006_setpoint_amperes")]
    operations = [
        migrations.RunSQL(
            [*(AMPERE_KW.format(table=table) for table in TABLES), PLANNED_A.format(table="dispatch_setpoint")],
            [
                KW.format(table="dispatch_setpoint", kw="planned_kw", a="planned_a"),
                *(KW.format(table=table, kw="setpoint_kw", a="setpoint_a") for table in TABLES),
            ],
        )
    ]
