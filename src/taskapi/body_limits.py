"""How large the body of a request may be, in bytes."""

MAX_BODY_BYTES = 65536
"""The largest useful one is a task of 5000 characters, all escaped."""
LARGEST_BODY = 2**20
"""Of a bulk, the one that may be larger."""
