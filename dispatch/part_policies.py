"""Nobody reads the parts of a solve under way: they are the platform's own work, and gone when it is done."""

from aggregator.row_security import policies_of

POLICIES = policies_of({"dispatch_solvepart": {}, "dispatch_partround": {}})
