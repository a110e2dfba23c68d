"""Settings of our sessions in PostgreSQL: time limits of statements, and how they are planned."""

# In seconds. The server's own timeouts leave the connection usable, so they are shorter than the
# deadlines, after which a connection is given up: the server is frozen or unreachable.
STATEMENT_TIMEOUT = 2.0
LOCK_TIMEOUT = 1.0
DEADLINE = 3.0  # for an answer
REPLICA_DEADLINE = 1.0  # the same, of a replica, so that the database itself can be asked in time

SESSION_SETTINGS: dict[str, str | int] = {
    "statement_timeout": int(STATEMENT_TIMEOUT * 1000),
    "lock_timeout": int(LOCK_TIMEOUT * 1000),
    "idle_in_transaction_session_timeout": 5000,
    "timezone": "UTC",
    # A statement is planned once for a connection, and not anew at each execution, which for most
    # takes longer than the execution. What it reads does not depend on its arguments:
    # tests/postgres prove the plans for both.
    "plan_cache_mode": "force_generic_plan",
    # These would pay for few large statements; here there are many small ones.
    "jit": "off",
    "max_parallel_workers_per_gather": 0,
}
OPTIONS = " ".join(f"-c {name}={value}" for name, value in SESSION_SETTINGS.items())
"""The value of `options` in a connection string. Options that follow override these."""

# For an index that is rebuilt: no request waits for it. The server ends the statement when this
# process is gone.
UNHURRIED = (
    "-c statement_timeout=1h -c lock_timeout=0 -c client_connection_check_interval=1s"
    " -c max_parallel_maintenance_workers=0"
)
# For migrations and backups, which take long on large tables. But a lock timeout, because every
# other statement on the table queues behind one that waits for its lock.
UNLIMITED = "-c statement_timeout=0 -c idle_in_transaction_session_timeout=0 -c lock_timeout=10s"
