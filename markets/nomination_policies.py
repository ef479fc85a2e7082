"""Who reads what was nominated: the DSRSP it is from, who buys the product, and the platform; never a competitor."""

from aggregator.row_security import OWN, PLATFORM, KeysOf, policies_of

TABLES = ("markets_nomination",)
FUNCTIONS = (
    KeysOf("markets_bought_products", "SELECT id FROM markets_product WHERE buyer_id = headroom_organisation()"),
)
READERS = {
    "owner": OWN,
    "buyer": "product_id IN (SELECT markets_bought_products())",
    "platform": PLATFORM,
}
POLICIES = policies_of(dict.fromkeys(TABLES, READERS))
