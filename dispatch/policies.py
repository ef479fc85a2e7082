"""Which rows of requests, runs and setpoints an audience may read; see ``aggregator/row_security.py``."""

from aggregator.row_security import ORGANISATION, OWN, PLATFORM, KeysOf, policies_of

FUNCTIONS = (
    KeysOf("dispatch_own_signals", "SELECT id FROM dispatch_targetsignal WHERE issued_by_id = headroom_organisation()"),
    KeysOf(
        "dispatch_area_runs",
        """
        SELECT run.id FROM dispatch_dispatchrun AS run JOIN aggregator_networknode AS area ON area.id = run.area_id
        WHERE area.organisation_id = headroom_organisation()
        """,
    ),
    # A look into an index for every run: there are few of them, and many setpoints in each.
    KeysOf(
        "dispatch_planned_runs",
        """
        SELECT run.id FROM dispatch_dispatchrun AS run, LATERAL (
            SELECT FROM dispatch_setpoint AS own
            WHERE own.run_id = run.id AND own.organisation_id = headroom_organisation() LIMIT 1
        ) AS own
        """,
    ),
)

OF_AREA_RUN = "run_id IN (SELECT dispatch_area_runs())"
READ_BY = {
    "dispatch_targetsignal": {"owner": f"issued_by_id = {ORGANISATION}", "platform": PLATFORM},
    # a DSRSP sees that a run planned its EVSEs, and nothing of the network's loading
    "dispatch_dispatchrun": {
        "dsrsp": "id IN (SELECT dispatch_planned_runs())",
        "dno": "area_id IN (SELECT aggregator_own_nodes())",
        "platform": PLATFORM,
    },
    "dispatch_runnode": {"dno": OF_AREA_RUN, "platform": PLATFORM},
    "dispatch_runrequest": {"dno": OF_AREA_RUN, "platform": PLATFORM},
    "dispatch_setpoint": {"owner": OWN, "dno": OF_AREA_RUN, "platform": PLATFORM},
    "dispatch_issuedsetpoint": {"owner": OWN, "dno": OF_AREA_RUN, "platform": PLATFORM},
}
POLICIES = policies_of(READ_BY)
