"""Pages on fleets, control acts and the log."""
