"""Which rows of trading an audience may read; see ``aggregator/row_security.py``.

Markets are published. A buyer reads what it asks and what it is offered; a DSRSP the requests in its zones, and of
offers, orders and contracts its own: never a competitor's.
"""

from aggregator.row_security import ORGANISATION, OWN, PLATFORM, KeysOf, policies_of

BUYER = f"buyer_id = {ORGANISATION}"
FUNCTIONS = (
    # the nodes at and above a DSRSP's EVSEs, enrolled now or from a later day
    KeysOf(
        "markets_zone_nodes",
        """
        WITH RECURSIVE above (id) AS (
            SELECT evse.node_id FROM aggregator_evse AS evse
                JOIN aggregator_enrolment AS enrolment ON enrolment.evse_id = evse.id
                WHERE enrolment.dsrsp_id = headroom_organisation()
                    AND (enrolment.ends_at IS NULL OR enrolment.ends_at > statement_timestamp())
            UNION SELECT node.parent_id FROM aggregator_networknode AS node JOIN above ON node.id = above.id
                WHERE node.parent_id IS NOT NULL
        )
        SELECT id FROM above
        """,
    ),
    KeysOf(
        "markets_answered_requests",
        "SELECT request_id FROM markets_flexoffer WHERE organisation_id = headroom_organisation()",
    ),
    KeysOf("markets_own_offers", "SELECT id FROM markets_flexoffer WHERE organisation_id = headroom_organisation()"),
    KeysOf("markets_offers_received", "SELECT id FROM markets_flexoffer WHERE buyer_id = headroom_organisation()"),
    KeysOf(
        "markets_bought_instructions",
        "SELECT id FROM markets_instruction WHERE event_id IN (SELECT markets_bought_events())",
    ),
)
READ_BY = {
    "markets_flexrequest": {
        "buyer": BUYER,
        "zone": "node_id IN (SELECT markets_zone_nodes())",
        "answered": "id IN (SELECT markets_answered_requests())",
        "platform": PLATFORM,
    },
    "markets_flexoffer": {"owner": OWN, "buyer": BUYER, "platform": PLATFORM},
    "markets_offeroption": {
        "owner": "offer_id IN (SELECT markets_own_offers())",
        "buyer": "offer_id IN (SELECT markets_offers_received())",
        "platform": PLATFORM,
    },
    "markets_contract": {"owner": OWN, "buyer": BUYER, "platform": PLATFORM},
    "markets_flexorder": {"owner": OWN, "buyer": BUYER, "platform": PLATFORM},
    "markets_instructionstop": {
        "owner": OWN,
        "buyer": "instruction_id IN (SELECT markets_bought_instructions())",
        "platform": PLATFORM,
    },
}
POLICIES = policies_of(READ_BY)
