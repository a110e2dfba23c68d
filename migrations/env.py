"""Alembic's entry: runs the revisions on the connection it is given, or on DATABASE_URL's."""

import os

from alembic import context
from sqlalchemy import Connection, create_engine

from taskcore.adapters.postgres.schema import metadata


def run(connection: Connection) -> None:
    context.configure(
        connection=connection, target_metadata=metadata, transaction_per_migration=False
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:  # `alembic revision --autogenerate` and the like, for those who write migrations
    url = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://", 1)
    with create_engine(url).begin() as own:
        run(own)
