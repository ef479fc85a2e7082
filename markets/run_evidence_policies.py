"""Who reads the links of the chain of runs, and the seals of invoices: as of the runs and invoices themselves."""

from aggregator.row_security import PLATFORM, policies_of

READ_BY = {
    "markets_settlementlink": {
        "dsrsp": "settlement_run_id IN (SELECT markets_own_settlements())",
        "buyer": "settlement_run_id IN (SELECT markets_bought_settlements())",
        "platform": PLATFORM,
    },
    "markets_invoiceseal": {"involved": "invoice_id IN (SELECT markets_own_invoices())", "platform": PLATFORM},
}
POLICIES = policies_of(READ_BY)
