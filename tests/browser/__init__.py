"""A package, so that its fixtures end with it: Playwright's event loop must not meet another test's queries."""
