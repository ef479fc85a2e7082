"""Who reads settled days: like meter readings, the DSRSP that had the EVSE, and nobody else."""

from aggregator.row_security import OWN, policies_of

POLICIES = policies_of({"markets_settledday": {"owner": OWN}})
