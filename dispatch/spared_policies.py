"""Who reads which EVSEs a request spares: the DSRSP they are enrolled with, and the platform; no network operator."""

from aggregator.row_security import OWN, PLATFORM, policies_of

TABLES = ("dispatch_sparedevse",)
POLICIES = policies_of({table: {"owner": OWN, "platform": PLATFORM} for table in TABLES})
