"""References checked a statement at a time: what a foreign key checks row by row, and locks, for a million rows.

A key of PostgreSQL looks every new row's target up on its own and writes a lock on it: half of what it takes to store a
run. These triggers join all new rows with their targets once. What is deleted is looked for in the same way, so that
nothing stays behind; two transactions that race are kept apart by the run's turn and by EVSEs never being deleted
while they are enrolled.
"""

from typing import Protocol

TABLES = ("dispatch_setpoint", "dispatch_issuedsetpoint")
TARGETS = {
    "run_id": "dispatch_dispatchrun",
    "evse_id": "aggregator_evse",
    "organisation_id": "aggregator_organisation",
}
ADDED = """
CREATE OR REPLACE FUNCTION dispatch_check_references() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $function$
DECLARE lost text;
BEGIN
    {checks}
    RETURN NULL;
END $function$
"""
CHECK = """
    SELECT '{column} ' || {column} INTO lost FROM added
    WHERE NOT EXISTS (SELECT FROM {target} AS target WHERE target.id = added.{column}) LIMIT 1;
    IF FOUND THEN
        RAISE foreign_key_violation USING MESSAGE = TG_TABLE_NAME || ' names ' || lost || ', which {target} lacks';
    END IF;
"""
DELETED = """
CREATE OR REPLACE FUNCTION dispatch_check_referenced_{column}() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $function$
BEGIN
    IF {finds} THEN
        RAISE foreign_key_violation USING MESSAGE = 'setpoints still name rows of ' || TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END $function$
"""
FIND = "EXISTS (SELECT FROM gone JOIN {table} AS told ON told.{column} = gone.id)"
ON_ADDED = """
CREATE TRIGGER {table}_references_{event} AFTER {event} ON {table} REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION dispatch_check_references()
"""
ON_DELETED = """
CREATE TRIGGER dispatch_referenced AFTER DELETE ON {target} REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION dispatch_check_referenced_{column}()
"""


class SchemaEditor(Protocol):
    def execute(self, sql: str, params: None = None) -> None: ...


def put_up(schema_editor: SchemaEditor) -> None:
    """Make the functions and hang them on the tables."""
    checks = "".join(CHECK.format(column=column, target=target) for column, target in TARGETS.items())
    schema_editor.execute(ADDED.format(checks=checks), params=None)
    for table in TABLES:
        for event in ("INSERT", "UPDATE"):
            schema_editor.execute(ON_ADDED.format(table=table, event=event), params=None)
    for column, target in TARGETS.items():
        finds = " OR ".join(FIND.format(table=table, column=column) for table in TABLES)
        schema_editor.execute(DELETED.format(column=column, finds=finds), params=None)
        schema_editor.execute(ON_DELETED.format(target=target, column=column), params=None)


def take_down(schema_editor: SchemaEditor) -> None:
    """Undo ``put_up``."""
    for table in TABLES:
        for event in ("INSERT", "UPDATE"):
            schema_editor.execute(f"DROP TRIGGER {table}_references_{event} ON {table}", params=None)
    for column, target in TARGETS.items():
        schema_editor.execute(f"DROP TRIGGER dispatch_referenced ON {target}", params=None)
        schema_editor.execute(f"DROP FUNCTION dispatch_check_referenced_{column}()", params=None)
    schema_editor.execute("DROP FUNCTION dispatch_check_references()", params=None)
