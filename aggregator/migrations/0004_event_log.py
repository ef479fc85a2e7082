from django.conf import settings
from django.db import migrations

# Owners and superusers too are refused: only who switches a trigger off can change the log, and the chain tells.
# Security definer, so that all rows are seen: the owner is bound by no policy, and the end of the log is the end of the
# whole log, whoever inserts.
CHAIN = """
CREATE FUNCTION aggregator_event_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $function$
BEGIN
    RAISE EXCEPTION 'events are only ever added: % of aggregator_event refused', TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $function$;

CREATE FUNCTION aggregator_event_refuse_fork() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $function$
DECLARE
    head record;
BEGIN
    SELECT sequence, sha256 INTO head FROM aggregator_event ORDER BY sequence DESC LIMIT 1;
    IF NEW.sequence <> coalesce(head.sequence, 0) + 1
       OR NEW.previous_sha256 <> coalesce(head.sha256, repeat('0', 64)) THEN
        RAISE EXCEPTION 'event % after % does not follow the last event, % with %',
            NEW.sequence, left(NEW.previous_sha256, 12), coalesce(head.sequence, 0), left(head.sha256, 12)
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $function$;

CREATE TRIGGER event_refuse_change BEFORE UPDATE OR DELETE ON aggregator_event
    FOR EACH ROW EXECUTE FUNCTION aggregator_event_refuse_change();
CREATE TRIGGER event_refuse_truncate BEFORE TRUNCATE ON aggregator_event
    FOR EACH STATEMENT EXECUTE FUNCTION aggregator_event_refuse_change();
CREATE TRIGGER event_refuse_fork BEFORE INSERT ON aggregator_event
    FOR EACH ROW EXECUTE FUNCTION aggregator_event_refuse_fork();
"""
FREE = """
DROP TRIGGER event_refuse_fork ON aggregator_event;
DROP TRIGGER event_refuse_truncate ON aggregator_event;
DROP TRIGGER event_refuse_change ON aggregator_event;
DROP FUNCTION aggregator_event_refuse_fork;
DROP FUNCTION aggregator_event_refuse_change;
"""


def make_append_only(_apps, schema_editor):
    """An event is never changed or removed, and the next one follows the last."""
    schema_editor.execute(CHAIN, params=None)
    role = schema_editor.quote_name(settings.DATABASE_APP_ROLE)
    schema_editor.execute(f"REVOKE UPDATE, DELETE ON aggregator_event FROM {role}")
    for function in ("refuse_change", "refuse_fork"):
        schema_editor.execute(f"REVOKE ALL ON FUNCTION aggregator_event_{function} FROM PUBLIC")


def allow_changes(_apps, schema_editor):
    schema_editor.execute(FREE, params=None)
    role = schema_editor.quote_name(settings.DATABASE_APP_ROLE)
    schema_editor.execute(f"GRANT UPDATE, DELETE ON aggregator_event TO {role}")


class Migration(migrations.Migration):
    dependencies = [("aggregator", "0003_people_and_control")]
    operations = [migrations.RunPython(make_append_only, allow_changes)]
