"""Backups: every row of our tables at one moment, into a file and back.

The schema is not in it: the migrations make it, at the revision of the backup. So a backup does
not depend on the version of PostgreSQL, and is migrated like a database of that revision.
"""

from taskcore.adapters.postgres.backups.dump import dump
from taskcore.adapters.postgres.backups.restore import restore

__all__ = ["dump", "restore"]
