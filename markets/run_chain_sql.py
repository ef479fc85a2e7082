"""The chain of all settlement runs in PostgreSQL, and what a release covers since there is one.

A run is chained when its statements are stored, preliminary or not; a release covers its run's link and its seals. The
triggers run as the owner, as those of ``markets/chain_sql.py`` do, and for the same reasons.
markets/core/release_chain.py says the same in Python.
"""

from markets.chain_sql import CHAIN as _RELEASE_CHAIN

CHAIN = r"""
CREATE FUNCTION markets_run_content(run_pk bigint) RETURNS text LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = public, pg_temp AS $function$
    SELECT E'headroom-run-content-1\nsettlement ' || run.id || E'\nevent ' || run.event_id
        || E'\nversion ' || run.version || E'\ncode ' || run.code
        || E'\nas_of ' || to_char(run.as_of AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
        || E'\nmethod ' || run.method || E'\ninput ' || run.input_sha256
        || E'\nsoftware ' || coalesce(run.software ->> 'markets_core_sha256', 'unknown') || E'\n'
        || coalesce((
            SELECT string_agg('statement ' || digest || E'\n', '' ORDER BY digest COLLATE "C") FROM (
                SELECT encode(sha256(content), 'hex') AS digest FROM markets_statement
                WHERE settlement_run_id = run.id
            ) AS digests
        ), '')
    FROM markets_settlementrun AS run WHERE run.id = run_pk
$function$;

CREATE FUNCTION markets_run_link(sequence bigint, previous text, content text) RETURNS text LANGUAGE sql IMMUTABLE
AS $function$
    SELECT encode(sha256(convert_to(
        E'headroom-run-1\n' || sequence || E'\n' || previous || E'\n' || content || E'\n', 'UTF8')), 'hex')
$function$;

CREATE FUNCTION markets_run_chain() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $function$
DECLARE
    head record;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('markets_run_chain', 0));
    SELECT sequence, sha256 INTO head FROM markets_settlementlink ORDER BY sequence DESC LIMIT 1;
    NEW.sequence := coalesce(head.sequence, 0) + 1;
    NEW.previous_sha256 := coalesce(head.sha256, repeat('0', 64));
    NEW.content_sha256 := encode(sha256(convert_to(markets_run_content(NEW.settlement_run_id), 'UTF8')), 'hex');
    NEW.sha256 := markets_run_link(NEW.sequence, NEW.previous_sha256, NEW.content_sha256);
    RETURN NEW;
END $function$;

CREATE TRIGGER run_chain BEFORE INSERT ON markets_settlementlink
    FOR EACH ROW EXECUTE FUNCTION markets_run_chain();
REVOKE ALL ON FUNCTION markets_run_content, markets_run_chain FROM PUBLIC;
"""
# Runs from before there was a chain, in the order they were made.
FILL = r"""
DO $do$
DECLARE
    run record;
BEGIN
    FOR run IN SELECT id FROM markets_settlementrun ORDER BY id LOOP
        INSERT INTO markets_settlementlink
            (settlement_run_id, sequence, previous_sha256, content_sha256, sha256) VALUES (run.id, 1, '', '', '');
    END LOOP;
END $do$;
"""
UNCHAIN = """
DELETE FROM markets_settlementlink;
DROP TRIGGER run_chain ON markets_settlementlink;
DROP FUNCTION markets_run_chain;
DROP FUNCTION markets_run_link;
DROP FUNCTION markets_run_content;
"""
# A release's content, format 2: as format 1, then its run's link and a digest of its seals.
COVER = r"""
CREATE FUNCTION markets_seals_sha256(run_pk bigint) RETURNS text LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = public, pg_temp AS $function$
    SELECT encode(sha256(convert_to(coalesce(string_agg(
        kind || ' ' || part || ' ' || array_to_string(columns, ',') || ' ' || n_row || ' ' || sha256 || E'\n',
        '' ORDER BY kind COLLATE "C", part COLLATE "C"), ''), 'UTF8')), 'hex')
    FROM markets_settlementseal WHERE settlement_run_id = run_pk
$function$;

CREATE FUNCTION markets_release_content_2(run_pk bigint, released_at timestamptz) RETURNS text LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = public, pg_temp AS $function$
    SELECT replace(markets_release_content(run_pk, released_at), 'release-content-1', 'release-content-2')
        || 'run ' || coalesce((SELECT sha256 FROM markets_settlementlink WHERE settlement_run_id = run_pk), 'unknown')
        || E'\nseals ' || markets_seals_sha256(run_pk) || E'\n'
$function$;

CREATE OR REPLACE FUNCTION markets_release_chain() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $function$
DECLARE
    head record;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('markets_release_chain', 0));
    SELECT sequence, sha256 INTO head FROM markets_statementrelease ORDER BY sequence DESC LIMIT 1;
    NEW.sequence := coalesce(head.sequence, 0) + 1;
    NEW.previous_sha256 := coalesce(head.sha256, repeat('0', 64));
    NEW.content_format := 2;
    NEW.content_sha256 := encode(sha256(convert_to(
        markets_release_content_2(NEW.settlement_run_id, NEW.released_at), 'UTF8')), 'hex');
    NEW.sha256 := markets_release_link(NEW.sequence, NEW.previous_sha256, NEW.content_sha256);
    RETURN NEW;
END $function$;
REVOKE ALL ON FUNCTION markets_seals_sha256, markets_release_content_2 FROM PUBLIC;
"""
UNCOVER = (
    _RELEASE_CHAIN[_RELEASE_CHAIN.index("CREATE FUNCTION markets_release_chain()") :].replace(
        "CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"
    )
    + "DROP FUNCTION markets_release_content_2; DROP FUNCTION markets_seals_sha256;"
)
