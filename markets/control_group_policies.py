"""Who reads control groups: the DSRSP they are of and the platform; who buys the product sees no single EVSE."""

from aggregator.row_security import OWN, PLATFORM, policies_of

TABLES = ("markets_controlgroup", "markets_controlgroupmember")
BUYER = "product_id IN (SELECT markets_bought_products())"  # the function is nomination_policies.py's
POLICIES = policies_of(
    {
        "markets_controlgroup": {"owner": OWN, "buyer": BUYER, "platform": PLATFORM},
        "markets_controlgroupmember": {"owner": OWN, "platform": PLATFORM},
    }
)
