"""The HTTP API: a thin adapter that drives the same use cases as the command line."""
