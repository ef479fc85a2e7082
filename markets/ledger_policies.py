"""Which rows of the ledger an audience may read; see ``aggregator/row_security.py``. Its rules are published."""

from aggregator.row_security import OWN, PLATFORM, KeysOf, policies_of

FUNCTIONS = (
    KeysOf("markets_own_claims", "SELECT id FROM markets_ledgerclaim WHERE organisation_id = headroom_organisation()"),
    KeysOf(
        "markets_bought_claims",
        "SELECT id FROM markets_ledgerclaim WHERE settlement_id IN (SELECT markets_bought_settlements())",
    ),
)

READ_BY = {
    "markets_ledgerclaim": {
        "owner": OWN,
        "buyer": "settlement_id IN (SELECT markets_bought_settlements())",
        "platform": PLATFORM,
    },
    "markets_ledgerdisplacement": {
        "owner": "claim_id IN (SELECT markets_own_claims())",
        "buyer": "claim_id IN (SELECT markets_bought_claims())",
        "platform": PLATFORM,
    },
}
POLICIES = policies_of(READ_BY)
