"""The clock of this machine."""

import asyncio
from datetime import UTC, datetime


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    async def wait_until(self, moment: datetime) -> None:
        await asyncio.sleep((moment - self.now()).total_seconds())
