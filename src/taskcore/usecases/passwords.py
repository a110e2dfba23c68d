"""Verifying a password."""

from taskcore.domain.errors import Invalid
from taskcore.domain.passwords import normalized_password
from taskcore.ports import PasswordHasher


async def verified(hasher: PasswordHasher, password: str, password_hash: str | None) -> bool:
    """Runs exactly one verification, so that timing reveals nothing. Raises Unavailable."""
    try:
        normal = normalized_password(password)
    except Invalid:  # no account can have this password
        return await hasher.verify("", None)
    return await hasher.verify(normal, password_hash, as_typed=password)
