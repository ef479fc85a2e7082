from importlib import import_module

from django.db import migrations

# What 0010_ledger_guard refuses row by row, a statement at a time: a claim of a large portfolio holds tens of thousands
# of bands, and those of one half-hour are added together. Bands are compared only where an EVSE comes twice: in what is
# added, or in that and a claim that stands. INTERSECT finds the latter, since a join of two unnested arrays is planned
# for ten rows and may become a nested loop over all.
GUARD = """
CREATE OR REPLACE FUNCTION markets_ledger_refuse_double() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp SET plan_cache_mode = force_generic_plan AS $function$
DECLARE
    odd record;
    pair record;
    clash record;
    comes_twice boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(markets_ledger_turn());
    SELECT id INTO odd FROM added
    WHERE cardinality(evses) <> cardinality(band_from) OR cardinality(evses) <> cardinality(band_to)
       OR cardinality(unmet_evses) <> cardinality(unmet_quanta) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'claim % has columns of different lengths', odd.id USING ERRCODE = 'check_violation';
    END IF;
    SELECT id, payable_kwh, is_odd INTO odd FROM added CROSS JOIN LATERAL (
        SELECT coalesce(bool_or(evse IS NULL OR low IS NULL OR high IS NULL OR low < 0 OR high <= low), false) AS is_odd,
            coalesce(sum(high - low), 0) AS quanta
        FROM (SELECT unnest(evses) AS evse, unnest(band_from) AS low, unnest(band_to) AS high) AS band
    ) AS seen WHERE is_odd OR payable_kwh * 10000 <> quanta LIMIT 1;
    IF FOUND AND odd.is_odd THEN
        RAISE EXCEPTION 'claim % has a band that is not 0 <= from < to', odd.id USING ERRCODE = 'check_violation';
    ELSIF FOUND THEN
        RAISE EXCEPTION 'claim % is to be paid % kWh and its bands hold another amount', odd.id, odd.payable_kwh
            USING ERRCODE = 'check_violation';
    END IF;
    SELECT id, settlement_id INTO odd FROM added WHERE EXISTS (
        SELECT FROM markets_settlementrun AS later WHERE later.supersedes_id = added.settlement_id
    ) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'settlement % of claim % is superseded', odd.settlement_id, odd.id
            USING ERRCODE = 'check_violation';
    END IF;
    SELECT coalesce(bool_or(is_twice), false) INTO comes_twice
    FROM (SELECT DISTINCT starts_at, direction FROM added) AS half_hour CROSS JOIN LATERAL (
        SELECT count(*) > count(DISTINCT evse) AS is_twice FROM (
            SELECT unnest(evses) AS evse FROM added
            WHERE added.starts_at = half_hour.starts_at AND added.direction = half_hour.direction
        ) AS band
    ) AS seen;
    IF comes_twice THEN
        SELECT id, evse, low INTO clash FROM (
            SELECT added.id, evse, low, max(high) OVER (
                PARTITION BY added.id, evse ORDER BY low, high ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ) AS taken_to
            FROM added CROSS JOIN LATERAL unnest(evses, band_from, band_to) AS band(evse, low, high)
        ) AS own WHERE taken_to > low LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'claim % holds energy of EVSE % from % twice', clash.id, clash.evse, clash.low
                USING ERRCODE = 'exclusion_violation';
        END IF;
    END IF;
    FOR pair IN
        SELECT own.id, own.evses, own.band_from, own.band_to, claim.id AS other_id, claim.evses AS other_evses,
            claim.band_from AS other_from, claim.band_to AS other_to
        FROM added AS own
        JOIN markets_settlementrun AS own_run ON own_run.id = own.settlement_id
        JOIN markets_flexevent AS own_event ON own_event.id = own_run.event_id
        JOIN markets_product AS own_product ON own_product.id = own_event.product_id
        JOIN markets_ledgerclaim AS claim
            ON claim.starts_at = own.starts_at AND claim.direction = own.direction AND claim.id <> own.id
        JOIN markets_settlementrun AS run ON run.id = claim.settlement_id
        JOIN markets_flexevent AS event ON event.id = run.event_id
        JOIN markets_product AS product ON product.id = event.product_id
        WHERE (comes_twice OR NOT EXISTS (SELECT FROM added AS beside WHERE beside.id = claim.id))
          AND NOT EXISTS (SELECT FROM markets_settlementrun AS later WHERE later.supersedes_id = claim.settlement_id)
          AND NOT EXISTS (
            SELECT FROM markets_stackingrule AS rule
            WHERE rule.id = ANY (own.stacking_rules) AND rule.kind = 'co-delivery' AND rule.is_allowed
              AND own_product.code <> product.code AND rule.valid_from <= own.starts_at
              AND NOT EXISTS (
                SELECT FROM markets_stackingrule AS newer
                WHERE newer.code = rule.code AND newer.version > rule.version AND newer.valid_from <= own.starts_at
              )
              AND (
                rule.service_a IN (own_product.code, own_product.family, 'any')
                AND rule.service_b IN (product.code, product.family, 'any')
                OR rule.service_a IN (product.code, product.family, 'any')
                AND rule.service_b IN (own_product.code, own_product.family, 'any')
              )
          )
    LOOP
        CONTINUE WHEN NOT EXISTS (SELECT unnest(pair.evses) INTERSECT SELECT unnest(pair.other_evses));
        SELECT evse, low INTO clash FROM (
            SELECT evse, low, is_own, max(high) FILTER (WHERE is_own) OVER earlier AS own_to,
                max(high) FILTER (WHERE NOT is_own) OVER earlier AS other_to
            FROM (
                SELECT evse, low, high, true AS is_own
                FROM unnest(pair.evses, pair.band_from, pair.band_to) AS asked(evse, low, high)
                UNION ALL
                SELECT evse, low, high, false
                FROM unnest(pair.other_evses, pair.other_from, pair.other_to) AS held(evse, low, high)
            ) AS band
            WINDOW earlier AS (
                PARTITION BY evse ORDER BY low, high ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            )
        ) AS of_both WHERE CASE WHEN is_own THEN other_to ELSE own_to END > low LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION
                'claim % holds energy of EVSE % from % that claim % is paid for, and no rule named says co-delivery',
                pair.id, clash.evse, clash.low, pair.other_id USING ERRCODE = 'exclusion_violation';
        END IF;
    END LOOP;
    RETURN NULL;
END $function$;

DROP TRIGGER ledger_refuse_double ON markets_ledgerclaim;
CREATE TRIGGER ledger_refuse_double AFTER INSERT ON markets_ledgerclaim REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION markets_ledger_refuse_double();
"""


def guard(_apps, schema_editor):
    """Refuse what was refused, with less work for many bands."""
    schema_editor.execute(GUARD, params=None)


def guard_each_row(_apps, schema_editor):
    """Put the guard of 0010 up again."""
    before = import_module("markets.migrations.0010_ledger_guard").GUARD
    start = "CREATE FUNCTION markets_ledger_refuse_double"
    schema_editor.execute("DROP TRIGGER ledger_refuse_double ON markets_ledgerclaim", params=None)
    schema_editor.execute(start.replace("CREATE", "CREATE OR REPLACE") + before.split(start)[1], params=None)


class Migration(migrations.Migration):
    dependencies = [("markets", "0028_control_group_walls")]
    operations = [migrations.RunPython(guard, guard_each_row)]
