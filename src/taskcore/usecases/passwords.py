"""Proving that somebody knows a password."""

from taskcore.domain.errors import Invalid
from taskcore.domain.passwords import normalized_password
from taskcore.ports import PasswordHasher


async def verified(hasher: PasswordHasher, password: str, password_hash: str | None) -> bool:
    """Exactly one verification, whatever is wrong. Raises Unavailable.

    A password that no account can have costs the same as any other wrong one.
    """
    try:
        normal = normalized_password(password)
    except Invalid:
        return await hasher.verify("", None)
    return await hasher.verify(normal, password_hash, as_typed=password)
