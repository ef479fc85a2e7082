"""The API of what exists and what was measured."""
