"""The chain of releases in PostgreSQL: a release cannot be stored but as the next link.

A trigger fills in the link, so that no writer can forget or choose it. It runs as the owner: the end of the chain is
the end of the whole chain, whoever inserts, and a release covers the statements of every DSRSP. One release at a time:
a lock to the end of the transaction. markets/core/release_chain.py says the same in Python.
"""

CHAIN = r"""
CREATE FUNCTION markets_release_content(run_pk bigint, released_at timestamptz) RETURNS text LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = public, pg_temp AS $function$
    SELECT E'headroom-release-content-1\nsettlement ' || run.id || E'\nversion ' || run.version
        || E'\nas_of ' || to_char(run.as_of AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
        || E'\ninput ' || run.input_sha256
        || E'\nreleased_at ' || to_char(released_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || E'\n'
        || coalesce((
            SELECT string_agg('statement ' || digest || E'\n', '' ORDER BY digest COLLATE "C") FROM (
                SELECT encode(sha256(content), 'hex') AS digest FROM markets_statement
                WHERE settlement_run_id = run.id
            ) AS digests
        ), '')
    FROM markets_settlementrun AS run WHERE run.id = run_pk
$function$;

CREATE FUNCTION markets_release_link(sequence bigint, previous text, content text) RETURNS text LANGUAGE sql IMMUTABLE
AS $function$
    SELECT encode(sha256(convert_to(
        E'headroom-release-1\n' || sequence || E'\n' || previous || E'\n' || content || E'\n', 'UTF8')), 'hex')
$function$;

CREATE FUNCTION markets_release_chain() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $function$
DECLARE
    head record;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('markets_release_chain', 0));
    SELECT sequence, sha256 INTO head FROM markets_statementrelease ORDER BY sequence DESC LIMIT 1;
    NEW.sequence := coalesce(head.sequence, 0) + 1;
    NEW.previous_sha256 := coalesce(head.sha256, repeat('0', 64));
    NEW.content_sha256 := encode(sha256(convert_to(
        markets_release_content(NEW.settlement_run_id, NEW.released_at), 'UTF8')), 'hex');
    NEW.sha256 := markets_release_link(NEW.sequence, NEW.previous_sha256, NEW.content_sha256);
    RETURN NEW;
END $function$;
"""
# Releases from before there was a chain, in the order they were made.
FILL = r"""
DO $do$
DECLARE
    release record;
    number bigint := 0;
    previous text := repeat('0', 64);
    digest text;
BEGIN
    FOR release IN SELECT * FROM markets_statementrelease ORDER BY id LOOP
        number := number + 1;
        digest := encode(sha256(convert_to(
            markets_release_content(release.settlement_run_id, release.released_at), 'UTF8')), 'hex');
        UPDATE markets_statementrelease SET sequence = number, previous_sha256 = previous, content_sha256 = digest,
            sha256 = markets_release_link(number, previous, digest) WHERE id = release.id;
        previous := markets_release_link(number, previous, digest);
    END LOOP;
END $do$;
"""
BIND = """
CREATE TRIGGER release_chain BEFORE INSERT ON markets_statementrelease
    FOR EACH ROW EXECUTE FUNCTION markets_release_chain();
REVOKE ALL ON FUNCTION markets_release_content, markets_release_chain FROM PUBLIC;
"""
FREE = """
DROP TRIGGER release_chain ON markets_statementrelease;
DROP FUNCTION markets_release_chain;
DROP FUNCTION markets_release_link;
DROP FUNCTION markets_release_content;
"""
