"""Password hashes that cost nothing, for tests."""

from dataclasses import dataclass

from taskcore.adapters.scrypt import ScryptHasher


@dataclass(frozen=True, slots=True)
class CheapHasher(ScryptHasher):
    """Takes some hundred microseconds, also to guess the password of a stolen hash."""

    n: int = 2
    r: int = 1
    p: int = 1
