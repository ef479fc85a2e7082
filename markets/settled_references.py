"""References of settled days, checked a statement at a time.

A hundred thousand rows are added for each event. A foreign key looks every row's targets up on its own and locks
them, which takes longer than all the rest (as ``dispatch.row_references`` says of setpoints). Here the new rows are
joined with their targets once; and an EVSE that was settled is not deleted.
"""

from typing import Protocol

TARGETS = {
    "settlement_run_id": "markets_settlementrun",
    "evse_id": "aggregator_evse",
    "organisation_id": "aggregator_organisation",
}
SHAPE = """
ALTER TABLE markets_settledday ADD CONSTRAINT settled_day_shape CHECK (
    cardinality(baseline_quanta) BETWEEN 1 AND 51 - first_period AND first_period >= 1
    AND cardinality(metered_quanta) = cardinality(baseline_quanta)
    AND cardinality(delivered_quanta) = cardinality(baseline_quanta)
)
"""
ADDED = """
CREATE FUNCTION markets_check_settled_references() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $function$
DECLARE lost text;
BEGIN
    {checks}
    RETURN NULL;
END $function$
"""
CHECK = """
    SELECT '{column} ' || {column} INTO lost FROM (SELECT DISTINCT {column} FROM added) AS named
    WHERE NOT EXISTS (SELECT FROM {target} AS target WHERE target.id = named.{column}) LIMIT 1;
    IF FOUND THEN
        RAISE foreign_key_violation USING MESSAGE = TG_TABLE_NAME || ' names ' || lost || ', which {target} lacks';
    END IF;
"""
# By way of the runs, since the key begins with them.
DELETED = """
CREATE FUNCTION markets_check_settled_evses() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $function$
BEGIN
    IF EXISTS (
        SELECT FROM gone CROSS JOIN markets_settlementrun AS run
        JOIN markets_settledday AS told ON told.settlement_run_id = run.id AND told.evse_id = gone.id
    ) THEN
        RAISE foreign_key_violation USING MESSAGE = 'settled days still name rows of ' || TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END $function$
"""
TRIGGERS = (
    """
    CREATE TRIGGER settled_day_references AFTER INSERT ON markets_settledday REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION markets_check_settled_references()
    """,
    """
    CREATE TRIGGER markets_settled AFTER DELETE ON aggregator_evse REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION markets_check_settled_evses()
    """,
)


class SchemaEditor(Protocol):
    def execute(self, sql: str, params: None = None) -> None: ...


def put_up(schema_editor: SchemaEditor) -> None:
    """Make the functions and hang them on the tables."""
    checks = "".join(CHECK.format(column=column, target=target) for column, target in TARGETS.items())
    for statement in (SHAPE, ADDED.format(checks=checks), DELETED, *TRIGGERS):
        schema_editor.execute(statement, params=None)


def take_down(schema_editor: SchemaEditor) -> None:
    """Undo ``put_up``."""
    for statement in (
        "DROP TRIGGER markets_settled ON aggregator_evse",
        "DROP TRIGGER settled_day_references ON markets_settledday",
        "DROP FUNCTION markets_check_settled_evses()",
        "DROP FUNCTION markets_check_settled_references()",
        "ALTER TABLE markets_settledday DROP CONSTRAINT settled_day_shape",
    ):
        schema_editor.execute(statement, params=None)
