"""The store in PostgreSQL: SQLAlchemy Core builds the statements, psycopg runs them."""

from taskcore.adapters.postgres.connections import Connections
from taskcore.adapters.postgres.migrate import (
    Upgrade,
    current_revision,
    is_vacuumed,
    reach,
    upgrade,
)
from taskcore.adapters.postgres.rate_limits import PostgresLimiter
from taskcore.adapters.postgres.store import PostgresStore
from taskcore.adapters.postgres.tracing import TracedConnections

__all__ = [
    "Connections",
    "PostgresLimiter",
    "PostgresStore",
    "TracedConnections",
    "Upgrade",
    "current_revision",
    "is_vacuumed",
    "reach",
    "upgrade",
]
