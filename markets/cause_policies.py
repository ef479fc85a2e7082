"""Who reads why a statement fell short and what came back: whoever reads the statement."""

from aggregator.row_security import PLATFORM, policies_of

TABLES = ("markets_shortfallcause", "markets_reboundperiod")
READERS = {
    "owner": "statement_id IN (SELECT markets_own_statements())",
    "buyer": "statement_id IN (SELECT markets_bought_statements())",
    "platform": PLATFORM,
}
POLICIES = policies_of(dict.fromkeys(TABLES, READERS))
