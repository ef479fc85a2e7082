"""Who reads registrations and filed volumes: the firm whose assets they are, and the platform."""

from aggregator.row_security import OWN, PLATFORM, policies_of

TABLES = (
    "markets_secondaryunit",
    "markets_assetregistration",
    "markets_deliveredvolumefile",
    "markets_deviationvolume",
    "markets_boundaryvolume",
)
FILED = TABLES[2:]
POLICIES = policies_of({table: {"owner": OWN, "platform": PLATFORM} for table in TABLES})
