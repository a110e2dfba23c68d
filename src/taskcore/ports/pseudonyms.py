"""Names that the audit can store without revealing an e-mail address."""

from typing import Protocol


class Pseudonyms(Protocol):
    def of(self, name: str) -> str:
        """Deterministic. Without the key, a pseudonym cannot be traced or guessed to its name."""
