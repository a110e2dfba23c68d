"""How long the trash keeps tasks. `Task.trashed` and `Task.restored` put a task in and out."""

from datetime import timedelta

TRASH_LIFETIME = timedelta(days=30)
"""After that housekeeping removes a task for good; the setting TRASH_DAYS may change it."""
