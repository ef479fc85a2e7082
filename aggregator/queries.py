"""Read-only querysets for pages and the API."""
