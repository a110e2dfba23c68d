"""What housekeeping counts and removes in memory.

Deleted accounts leave nothing in this store, because an account is removed with all its rows.
`removable` counts what is only too old: trash, events, sessions, keys.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from taskcore.adapters.memory.tables import Access
from taskcore.ports import Batch, Leftovers, TrashPosition
from taskcore.ports.leftovers import COUNTED


@dataclass(slots=True)
class MemoryLeftovers:
    _access: Access

    async def removable(
        self, *, now: datetime, trash: datetime, events: datetime, keys: datetime
    ) -> Mapping[str, int]:
        async with self._access() as tables:
            places = map(TrashPosition.of, tables.trash.values())
            found = {
                "accounts": 0,
                "tasks": 0,
                "trash": sum(place.deleted_at < trash for place in places),
                "events": sum(event.at < events for event in tables.events.values()),
                "sessions": sum(each.expires_at <= now for each in tables.sessions.values()),
                "keys": sum(kept.at < keys for kept in tables.answers.values()),
            }
        return {kind: min(number, COUNTED) for kind, number in found.items()}

    async def count(self) -> Leftovers:
        return Leftovers(0, 0)

    async def remove(self, limit: int, *, after: Batch | None = None) -> Batch:  # noqa: ARG002
        return Batch(0, 0)
