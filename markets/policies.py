"""Which rows of events, settlements and cycles an audience may read; see ``aggregator/row_security.py``.

A statement is read by the DSRSP it is addressed to, by the buyer of the product and by market operators; with it they
read what it stands on: settlement, event, request, and the node the request was made for. Products are published.
"""

from aggregator.row_security import OWN, PLATFORM, KeysOf, further_readers, policies_of

FUNCTIONS = (
    # what a DSRSP was instructed under or settled for
    KeysOf(
        "markets_own_events",
        """
        SELECT event_id FROM markets_instruction WHERE organisation_id = headroom_organisation()
        UNION SELECT run.event_id FROM markets_statement AS statement
            JOIN markets_settlementrun AS run ON run.id = statement.settlement_run_id
            WHERE statement.organisation_id = headroom_organisation()
        """,
    ),
    # what an organisation buys; a market operator reads all
    KeysOf(
        "markets_bought_events",
        """
        SELECT event.id FROM markets_flexevent AS event JOIN markets_product AS product ON product.id = event.product_id
        WHERE product.buyer_id = headroom_organisation() OR headroom_kind() = 'market_operator'
        """,
    ),
    KeysOf(
        "markets_own_settlements",
        "SELECT id FROM markets_settlementrun WHERE event_id IN (SELECT markets_own_events())",
    ),
    KeysOf(
        "markets_bought_settlements",
        "SELECT id FROM markets_settlementrun WHERE event_id IN (SELECT markets_bought_events())",
    ),
    KeysOf(
        "markets_own_statements", "SELECT id FROM markets_statement WHERE organisation_id = headroom_organisation()"
    ),
    KeysOf(
        "markets_bought_statements",
        "SELECT id FROM markets_statement WHERE settlement_run_id IN (SELECT markets_bought_settlements())",
    ),
    KeysOf(
        "markets_own_signals",
        "SELECT signal_id FROM markets_flexevent WHERE id IN (SELECT markets_own_events())",
    ),
    KeysOf(
        "markets_bought_signals",
        "SELECT signal_id FROM markets_flexevent WHERE id IN (SELECT markets_bought_events())",
    ),
    KeysOf(
        "markets_bought_nodes",
        "SELECT node_id FROM dispatch_targetsignal WHERE id IN (SELECT markets_bought_signals())",
    ),
    KeysOf(
        "markets_area_cycles",
        "SELECT id FROM markets_cyclerun WHERE area_id IN (SELECT aggregator_own_nodes())",
    ),
    KeysOf(
        "markets_planned_cycles",
        "SELECT id FROM markets_cyclerun WHERE run_id IN (SELECT dispatch_planned_runs())",
    ),
)

READ_BY = {
    "markets_flexevent": {
        "dsrsp": "id IN (SELECT markets_own_events())",
        "buyer": "id IN (SELECT markets_bought_events())",
        "asker": "signal_id IN (SELECT dispatch_own_signals())",
        "platform": PLATFORM,
    },
    "markets_instruction": {
        "owner": OWN,
        "buyer": "event_id IN (SELECT markets_bought_events())",
        "platform": PLATFORM,
    },
    "markets_settlementrun": {
        "dsrsp": "event_id IN (SELECT markets_own_events())",
        "buyer": "event_id IN (SELECT markets_bought_events())",
        "platform": PLATFORM,
    },
    "markets_statement": {
        "owner": OWN,
        "buyer": "settlement_run_id IN (SELECT markets_bought_settlements())",
        "platform": PLATFORM,
    },
    "markets_statementline": {
        "owner": "statement_id IN (SELECT markets_own_statements())",
        "buyer": "statement_id IN (SELECT markets_bought_statements())",
        "platform": PLATFORM,
    },
    "markets_statementrelease": {
        "dsrsp": "settlement_run_id IN (SELECT markets_own_settlements())",
        "buyer": "settlement_run_id IN (SELECT markets_bought_settlements())",
        "platform": PLATFORM,
    },
    "markets_cyclerun": {
        "dsrsp": "run_id IN (SELECT dispatch_planned_runs())",
        "dno": "area_id IN (SELECT aggregator_own_nodes())",
        "platform": PLATFORM,
    },
    "markets_cyclenode": {"dno": "cycle_id IN (SELECT markets_area_cycles())", "platform": PLATFORM},
    "markets_cyclerun_settlement_runs": {
        "dsrsp": "cyclerun_id IN (SELECT markets_planned_cycles())",
        "dno": "cyclerun_id IN (SELECT markets_area_cycles())",
        "platform": PLATFORM,
    },
}
# What statements stand on below.
READ_BELOW_BY = {
    "dispatch_targetsignal": {
        "dsrsp": "id IN (SELECT markets_own_signals())",
        "buyer": "id IN (SELECT markets_bought_signals())",
    },
    "aggregator_networknode": {"buyer": "id IN (SELECT markets_bought_nodes())"},
}
POLICIES = (*policies_of(READ_BY), *further_readers(READ_BELOW_BY))
