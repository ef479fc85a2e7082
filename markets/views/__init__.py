"""Pages on the day, requests and statements."""
