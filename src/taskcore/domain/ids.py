"""The bounds of identifiers and versions."""

# The largest int8 of PostgreSQL, which holds them.
MAX_ID = 2**63 - 1
