"""What is told to Prometheus: the names, and what they mean."""

from typing import NamedTuple

PREFIX = "taskcore_"
# Upper bounds in seconds. An ordinary request takes one to ten milliseconds, a login thirty; after
# three seconds a statement is given up.
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
BATCH_BOUNDS = (1, 2, 4, 8, 16, 32)
BATCHES = "batch_requests"


class Series(NamedTuple):
    name: str
    kind: str
    """`counter` and `gauge` are sums over the workers. `latest` is one number that all of them
    know; it is told as the largest, and as a gauge."""
    meaning: str
    label: str = ""


ALL = (
    Series("requests_active", "gauge", "Requests in the server, by what they wait for", "state"),
    Series("requests_at_most", "gauge", "Requests that the server would hold at this moment"),
    Series("refused_total", "counter", "Requests refused because of load (503)", "reason"),
    Series("pool_connections", "gauge", "Connections to the database", "state"),
    Series("pool_waiting", "gauge", "Requests that wait for a connection to the database"),
    Series("pool_refused_total", "counter", "Requests that got no connection in time (503)"),
    Series("pool_away", "latest", "1 if the latest attempt to reach the database failed"),
    Series("hashing", "gauge", "Passwords being hashed, and waiting for it", "state"),
    Series("hashing_refused_total", "counter", "Logins refused: the queue was full (503)"),
    Series("stream_clients", "gauge", "Clients that follow changes"),
    Series("housekeeping_removed_total", "counter", "What housekeeping has removed", "kind"),
    Series("housekeeping_failures_total", "counter", "Sweeps of housekeeping with a failure"),
    Series(
        "housekeeping_last_success_timestamp_seconds",
        "latest",
        "End of the last sweep without failure",
    ),
    Series("rows", "latest", "Rows of a table, as PostgreSQL estimates them", "table"),
    Series("worker_starts_total", "counter", "Workers started, those that replaced others too"),
    Series("cpu_seconds_total", "counter", "CPU time of the workers"),
)
# As the worker names them, which leaves `_total` to the text.
COUNTERS = {each.name.removesuffix("_total") for each in ALL if each.kind == "counter"} | {BATCHES}
