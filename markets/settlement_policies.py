"""Who reads why a settlement differs and what it rests on: as ``markets/policies.py`` says of settlements."""

from aggregator.row_security import PLATFORM, policies_of

READ_BY = {
    # digests of everybody's rows: for those who read every statement of the settlement
    "markets_settlementseal": {
        "buyer": "settlement_run_id IN (SELECT markets_bought_settlements())",
        "platform": PLATFORM,
    },
    "markets_statementreason": {
        "owner": "statement_id IN (SELECT markets_own_statements())",
        "buyer": "statement_id IN (SELECT markets_bought_statements())",
        "platform": PLATFORM,
    },
}
POLICIES = policies_of(READ_BY)
