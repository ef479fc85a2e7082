"""Who reads invoices: the DSRSP that is paid, the buyer who pays, market operators and the platform."""

from aggregator.row_security import KIND, ORGANISATION, OWN, PLATFORM, KeysOf, policies_of

FUNCTIONS = (
    KeysOf(
        "markets_own_invoices",
        """
        SELECT id FROM markets_invoice
        WHERE headroom_organisation() IN (organisation_id, buyer_id) OR headroom_kind() = 'market_operator'
        """,
    ),
)
BUYER = f"buyer_id = {ORGANISATION} OR {KIND} = 'market_operator'"
READ_BY = {
    "markets_invoice": {"owner": OWN, "buyer": BUYER, "platform": PLATFORM},
    "markets_invoiceline": {"involved": "invoice_id IN (SELECT markets_own_invoices())", "platform": PLATFORM},
}
POLICIES = policies_of(READ_BY)
