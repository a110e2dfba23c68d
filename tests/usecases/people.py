"""Users, their tokens and the actors of their requests."""

from dataclasses import dataclass

from taskcore import SYSTEM, Actor, Core, Grant, Role, User, UserId
from taskcore.ports import Store
from tests.factories import PASSWORD


@dataclass(frozen=True)
class Person:
    user: User
    grant: Grant
    actor: Actor


def address(name: str) -> str:
    return f"{name}@example.org"


async def join(core: Core, name: str, role: Role = Role.USER) -> Person:
    user = await core.accounts.create(SYSTEM, email=address(name), password=PASSWORD, role=role)
    return await log_in(core, user)


async def log_in(core: Core, user: User) -> Person:
    grant = await core.sessions.log_in(email=user.email, password=PASSWORD)
    return Person(user, grant, await core.sessions.authenticate(grant.access_token))


async def hash_of(store: Store, user_id: UserId) -> str:
    """The stored hash of the user's password, which no use case returns."""
    async with store.autocommit() as db:
        return (await db.users.get_credentials(user_id)).password_hash


async def put_hash(store: Store, user_id: UserId, password_hash: str) -> None:
    old = await hash_of(store, user_id)
    async with store.autocommit() as db:
        assert await db.users.replace_password_hash(user_id, old, password_hash)


async def living_in(core: Core, time_zone: str, person: Person) -> Person:
    """The same person, who has moved there."""
    await core.accounts.change_profile(person.actor, time_zone=time_zone)
    return await log_in(core, person.user)
