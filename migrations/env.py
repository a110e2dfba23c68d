"""Alembic's entry: runs the revisions on the caller's connection, or on DATABASE_URL."""

import os

from alembic import context
from sqlalchemy import Connection, create_engine

import taskcore.adapters.postgres.schema  # noqa: F401 - declares the tables in `metadata`
from taskcore.adapters.postgres.columns import metadata


def run(connection: Connection) -> None:
    # A transaction for each, because one that builds an index concurrently is none.
    context.configure(
        connection=connection, target_metadata=metadata, transaction_per_migration=True
    )
    with context.begin_transaction():
        context.run_migrations()


connection = context.config.attributes.get("connection")
if connection is not None:
    run(connection)
else:  # on the command line: `alembic revision --autogenerate` and the like
    url = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://", 1)
    with create_engine(url).connect() as own:
        run(own)
