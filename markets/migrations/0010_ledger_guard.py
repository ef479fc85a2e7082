from django.conf import settings
from django.db import migrations

# aggregator/services/turns.py:turn_key("ledger"); a test compares.
TURN = -138484540444757245
TABLES = ["markets_ledgerclaim", "markets_ledgerdisplacement", "markets_primacyrule", "markets_stackingrule"]

# The turn is the one markets/services/ledger.py takes: whoever inserts a claim waits for whoever did so before, and then
# sees it. Security definer, so that all claims are seen: the owner is bound by no policy. An exclusion constraint could
# not know that a claim is no longer in force without a change of its row, and rows are never changed.
GUARD = """
CREATE FUNCTION markets_ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $function$
BEGIN
    RAISE EXCEPTION 'rows are only ever added: % of % refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $function$;

CREATE FUNCTION markets_ledger_refuse_double() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $function$
DECLARE
    clash record;
BEGIN
    PERFORM pg_advisory_xact_lock(markets_ledger_turn());
    IF cardinality(NEW.evses) <> cardinality(NEW.band_from) OR cardinality(NEW.evses) <> cardinality(NEW.band_to)
       OR cardinality(NEW.unmet_evses) <> cardinality(NEW.unmet_quanta) THEN
        RAISE EXCEPTION 'claim % has columns of different lengths', NEW.id USING ERRCODE = 'check_violation';
    END IF;
    IF EXISTS (
        SELECT FROM unnest(NEW.evses, NEW.band_from, NEW.band_to) AS band(evse, low, high)
        WHERE evse IS NULL OR low IS NULL OR high IS NULL OR low < 0 OR high <= low
    ) THEN
        RAISE EXCEPTION 'claim % has a band that is not 0 <= from < to', NEW.id USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.payable_kwh * 10000 <> (
        SELECT coalesce(sum(high - low), 0) FROM unnest(NEW.band_from, NEW.band_to) AS band(low, high)
    ) THEN
        RAISE EXCEPTION 'claim % is to be paid % kWh and its bands hold another amount', NEW.id, NEW.payable_kwh
            USING ERRCODE = 'check_violation';
    END IF;
    IF EXISTS (SELECT FROM markets_settlementrun AS later WHERE later.supersedes_id = NEW.settlement_id) THEN
        RAISE EXCEPTION 'settlement % of claim % is superseded', NEW.settlement_id, NEW.id
            USING ERRCODE = 'check_violation';
    END IF;
    SELECT evse, low INTO clash FROM (
        SELECT evse, low, max(high) OVER (
            PARTITION BY evse ORDER BY low, high ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS taken_to
        FROM unnest(NEW.evses, NEW.band_from, NEW.band_to) AS band(evse, low, high)
    ) AS own WHERE taken_to > low LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'claim % holds energy of EVSE % from % twice', NEW.id, clash.evse, clash.low
            USING ERRCODE = 'exclusion_violation';
    END IF;
    SELECT held.evse, greatest(held.low, asked.low) AS low, other.id INTO clash
    FROM markets_settlementrun AS own_run
    JOIN markets_flexevent AS own_event ON own_event.id = own_run.event_id
    JOIN markets_product AS own_product ON own_product.id = own_event.product_id
    JOIN markets_ledgerclaim AS other
        ON other.starts_at = NEW.starts_at AND other.direction = NEW.direction AND other.id <> NEW.id
    JOIN markets_settlementrun AS run ON run.id = other.settlement_id
    JOIN markets_flexevent AS event ON event.id = run.event_id
    JOIN markets_product AS product ON product.id = event.product_id
    CROSS JOIN LATERAL unnest(other.evses, other.band_from, other.band_to) AS held(evse, low, high)
    JOIN unnest(NEW.evses, NEW.band_from, NEW.band_to) AS asked(evse, low, high)
        ON asked.evse = held.evse AND asked.low < held.high AND held.low < asked.high
    WHERE own_run.id = NEW.settlement_id
      AND NOT EXISTS (SELECT FROM markets_settlementrun AS later WHERE later.supersedes_id = other.settlement_id)
      AND NOT EXISTS (
        SELECT FROM markets_stackingrule AS rule
        WHERE rule.id = ANY (NEW.stacking_rules) AND rule.kind = 'co-delivery' AND rule.is_allowed
          AND own_product.code <> product.code AND rule.valid_from <= NEW.starts_at
          AND NOT EXISTS (
            SELECT FROM markets_stackingrule AS newer
            WHERE newer.code = rule.code AND newer.version > rule.version AND newer.valid_from <= NEW.starts_at
          )
          AND (
            rule.service_a IN (own_product.code, own_product.family, 'any')
            AND rule.service_b IN (product.code, product.family, 'any')
            OR rule.service_a IN (product.code, product.family, 'any')
            AND rule.service_b IN (own_product.code, own_product.family, 'any')
          )
      )
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'claim % holds energy of EVSE % from % that claim % is paid for, and no rule named says co-delivery',
            NEW.id, clash.evse, clash.low, clash.id USING ERRCODE = 'exclusion_violation';
    END IF;
    RETURN NULL;
END $function$;

CREATE TRIGGER ledger_refuse_double AFTER INSERT ON markets_ledgerclaim
    FOR EACH ROW EXECUTE FUNCTION markets_ledger_refuse_double();
"""
FREE = """
DROP TRIGGER ledger_refuse_double ON markets_ledgerclaim;
DROP FUNCTION markets_ledger_refuse_double;
"""


def guard(_apps, schema_editor):
    """Nobody is paid twice for the same band, whatever statement says so, and what was paid stays written."""
    schema_editor.execute(
        f"CREATE FUNCTION markets_ledger_turn() RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT {TURN}::bigint'",
        params=None,
    )
    schema_editor.execute(GUARD, params=None)
    role = schema_editor.quote_name(settings.DATABASE_APP_ROLE)
    for table in TABLES:
        schema_editor.execute(f"REVOKE UPDATE, DELETE ON {table} FROM {role}")
        schema_editor.execute(
            f"CREATE TRIGGER ledger_refuse_change BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION markets_ledger_refuse_change()",
            params=None,
        )
    for function in ("refuse_change", "refuse_double"):
        schema_editor.execute(f"REVOKE ALL ON FUNCTION markets_ledger_{function} FROM PUBLIC")


def unguard(_apps, schema_editor):
    role = schema_editor.quote_name(settings.DATABASE_APP_ROLE)
    for table in TABLES:
        schema_editor.execute(f"DROP TRIGGER ledger_refuse_change ON {table}", params=None)
        schema_editor.execute(f"GRANT UPDATE, DELETE ON {table} TO {role}")
    schema_editor.execute(FREE, params=None)
    schema_editor.execute("DROP FUNCTION markets_ledger_turn; DROP FUNCTION markets_ledger_refuse_change", params=None)


class Migration(migrations.Migration):
    dependencies = [("markets", "0009_ledger")]
    operations = [migrations.RunPython(guard, unguard)]
