"""Statements and evidence as files: bytes out of values, by libraries that the core does without."""
