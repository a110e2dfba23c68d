"""A clock that tests move."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

START = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


@dataclass
class ManualClock:
    """A clock that stands still until a test moves it; a wait moves it to the moment."""

    moment: datetime = START

    def now(self) -> datetime:
        return self.moment

    def advance(self, **delta: float) -> None:
        """Move on, by the arguments of a `timedelta`: `clock.advance(days=8)`."""
        self.moment += timedelta(**delta)

    async def wait_until(self, moment: datetime) -> None:
        self.moment = max(self.moment, moment)
