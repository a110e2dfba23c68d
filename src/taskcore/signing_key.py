"""The key of the servers: noted in the audit, and compared with the one at hand.

Servers note the id of the key that they sign access tokens with. So a command knows whether it has
their key: SECRET_KEY may be set for servers alone, such as by a unit of systemd.
"""

from dataclasses import replace

from taskcore.adapters.clock import SystemClock
from taskcore.adapters.jwt import key_id
from taskcore.adapters.keys import Keys
from taskcore.domain.audit import AuditEventName, NewAuditEvent
from taskcore.domain.errors import Misconfigured, NotMigrated
from taskcore.domain.policies import SYSTEM, Actor
from taskcore.ports import Repositories, Store
from taskcore.settings import Settings

ADVICE = (
    "set SECRET_KEY or SECRET_KEY_FILE as the servers have it (deploy/taskcli does so beside the"
    " unit of systemd); a new key is first given to a server"
)


async def servers_keys(settings: Settings, store: Store) -> Keys:
    """The keys at hand, one of which the servers sign with.

    Raises Misconfigured if none does. Only where no server has signed yet, a missing key is made.
    """
    await check_key(settings, store)
    return Keys.of(settings)


async def check_key(settings: Settings, store: Store) -> None:
    """Raises Misconfigured where the servers of the database sign with no key that is at hand."""
    if await is_servers_key(settings, store) is False:
        raise Misconfigured([f"SECRET_KEY: {difference(settings)}", ADVICE])


def difference(settings: Settings) -> str:
    """Says what `is_servers_key` has found where that is False."""
    if Keys.at_hand(settings):
        return "the servers of this database sign with another key"
    absent = f"and here is none, also not in {settings.key_file}"
    return f"the servers of this database sign with a key, {absent}"


async def is_servers_key(settings: Settings, store: Store) -> bool | None:
    """Whether the servers of the database sign with a key that is at hand.

    None if no server has started yet.
    """
    async with store.autocommit() as db:
        noted = await _noted(db)
    keys = Keys.at_hand(settings)
    return None if noted is None else keys is not None and noted in _ids(keys)


async def note_key(settings: Settings, store: Store, by: Actor = SYSTEM) -> None:
    """Let the audit tell that a key signs from now on, unless it is the one that signed before.

    The key of DATA_DIR is made if there is none.
    """
    signs, *_ = _ids(Keys.of(settings))
    async with store.transaction() as tx:
        await tx.users.lock_admins()  # machines that start at once take turns
        before = await _noted(tx) or "none"
        if before != signs:
            event = NewAuditEvent.by(by, AuditEventName.KEY_ROTATED, SystemClock().now())
            await tx.audit.add(replace(event, detail={"key_id": signs, "before": before}))


async def note_key_of_restored(settings: Settings, store: Store, by: Actor) -> bool | None:
    """As `is_servers_key`, of the servers of rows that were restored; their new key is noted.

    Without that, commands with the key of the servers would be refused until a server starts.
    """
    signed = await is_servers_key(settings, store)
    if signed is False:
        await note_key(settings, store, by)
    return signed


async def _noted(db: Repositories) -> str | None:
    """The id of the key that servers sign with; None if none has started yet."""
    try:
        last = await db.audit.page(skip=0, limit=1, event=AuditEventName.KEY_ROTATED)
    except NotMigrated:  # nor has it an audit
        return None
    return str(last.items[0].detail["key_id"]) if last.items else None


def _ids(keys: Keys) -> list[str]:
    return [key_id(key) for key in keys.derived("access token")]
