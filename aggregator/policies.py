"""Which rows of the ground floor an audience may read; ``aggregator/row_security.py`` says how to read this page.

Not protected, each for its reason:

- organisations, memberships, API clients, users, sessions, tokens, second factors, log-in attempts: read to learn who
  asks, before anybody is somebody;
- CSMSs, tariffs, prices, carbon intensity and Django's own tables: published, or nobody's.
"""

from aggregator.row_security import DSRSP, ORGANISATION, OWN, PLATFORM, KeysOf, policies_of

# Every sort of person of the platform is `platform`; only its processes are `work`.
SESSION = """
CREATE FUNCTION headroom_kind() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
    AS $function$ SELECT current_setting('headroom.kind', true) $function$;
CREATE FUNCTION headroom_organisation() RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE
    AS $function$ SELECT nullif(current_setting('headroom.organisation', true), '')::bigint $function$;
"""

FUNCTIONS = (
    KeysOf(
        "aggregator_own_nodes", "SELECT id FROM aggregator_networknode WHERE organisation_id = headroom_organisation()"
    ),
    KeysOf("aggregator_own_evses", "SELECT evse_id FROM aggregator_enrolment WHERE dsrsp_id = headroom_organisation()"),
    KeysOf(
        "aggregator_evses_in_force",
        """
        SELECT evse_id FROM aggregator_enrolment
        WHERE dsrsp_id = headroom_organisation() AND starts_at <= statement_timestamp()
            AND (ends_at IS NULL OR ends_at > statement_timestamp())
        """,
    ),
    # A look into an index for every forecast: there are few of them, and many rows in each.
    KeysOf(
        "aggregator_own_forecasts",
        """
        SELECT forecast.id FROM aggregator_availabilityforecast AS forecast, LATERAL (
            SELECT FROM aggregator_evseforecast AS own
            WHERE own.forecast_id = forecast.id AND own.organisation_id = headroom_organisation() LIMIT 1
        ) AS own
        """,
    ),
)

OF_OWN_NODE = "node_id IN (SELECT aggregator_own_nodes())"
OWNER_WRITES = ("aggregator_idempotentrequest", "aggregator_fleetupload")
READ_BY = {
    # a DSRSP needs codes and names, to register EVSEs at
    "aggregator_networknode": {"owner": OWN, "dsrsp": DSRSP, "platform": PLATFORM},
    "aggregator_noderating": {"dno": OF_OWN_NODE, "platform": PLATFORM},
    "aggregator_meter": {"owner": OWN},
    "aggregator_meterday": {"owner": OWN},
    # a DSRSP keeps an EVSE it once had, for its setpoints and sessions then; who it is, only as long as it has it
    "aggregator_evse": {
        "dsrsp": "id IN (SELECT aggregator_own_evses())",
        "dno": OF_OWN_NODE,
        "platform": PLATFORM,
    },
    "aggregator_evseidentity": {"dsrsp": "evse_id IN (SELECT aggregator_evses_in_force())"},
    "aggregator_enrolment": {"dsrsp": f"dsrsp_id = {ORGANISATION}"},
    "aggregator_chargingsession": {"owner": OWN},
    "aggregator_availabilityforecast": {
        "dsrsp": "id IN (SELECT aggregator_own_forecasts())",
        "dno": "area_id IN (SELECT aggregator_own_nodes())",
        "platform": PLATFORM,
    },
    # when people are at home: told to nobody else
    "aggregator_evseforecast": {"owner": OWN},
    "aggregator_groupforecast": {"owner": OWN},
    "aggregator_batch": {"owner": OWN, "platform": PLATFORM},
    "aggregator_finding": {"owner": OWN, "platform": PLATFORM},
    "aggregator_event": {"owner": OWN, "platform": PLATFORM},
    "aggregator_controlact": {"owner": OWN, "platform": PLATFORM},
    "aggregator_idempotentrequest": {"owner": OWN},
    "aggregator_fleetupload": {"owner": OWN},
    "aggregator_job": {"platform": PLATFORM},
}
POLICIES = policies_of(READ_BY, owner_writes=OWNER_WRITES)
