"""The clock."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """The current time as an aware datetime in UTC."""

    async def wait_until(self, moment: datetime) -> None:
        """Returns at once for a moment in the past."""
