"""A core belongs to one event loop: calls from another are refused at once, and none hangs."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from taskcore import SYSTEM, Actor, Core, Create
from taskcore.adapters.memory import memory_core
from taskcore.domain.rate_limits import LOGIN
from taskcore.ports import Claim
from taskcore.testing import CheapHasher
from tests.factories import PASSWORD
from tests.usecases.people import address, join

pytestmark = pytest.mark.anyio

Call = Callable[[Core, Actor], Awaitable[object]]


async def register(core: Core, _: Actor) -> object:
    return await core.accounts.register(email=address("bob"), password=PASSWORD)


async def first_change(core: Core, actor: Actor) -> object:
    return await anext(core.changes.follow(actor))


async def do_once(core: Core, actor: Actor) -> object:
    async def work(inside: Core) -> bytes:
        await inside.tasks.create(actor, title="x")
        return b""

    return await core.once(actor, "key", b"request", work)


CALLS: dict[str, Call] = {
    "a statement that is shared": lambda core, actor: core.tasks.page(actor),
    "a write": lambda core, actor: core.tasks.create(actor, title="x"),
    "a bulk": lambda core, actor: core.tasks.bulk(actor, [Create({"title": "x"})]),
    "once": do_once,
    "changes": first_change,
    "all accounts": lambda core, _: core.accounts.page(SYSTEM),
    "a registration": register,
}


async def refusal(call: Awaitable[object]) -> BaseException | None:
    """What the call raises in another loop, in a thread of its own."""

    async def there() -> BaseException | None:
        try:
            await asyncio.wait_for(call, 5)
        except Exception as error:  # noqa: BLE001 - it is looked at
            return error
        return None

    return await asyncio.to_thread(lambda: asyncio.run(there()))


@pytest.mark.parametrize("name", CALLS)
async def test_a_call_from_another_loop_is_refused(core: Core, name: str) -> None:
    ada = await join(core, "ada")
    error = await refusal(CALLS[name](core, ada.actor))
    assert isinstance(error, RuntimeError)
    assert "belongs to another event loop" in str(error)
    await core.tasks.create(ada.actor, title="still works")
    assert (await core.tasks.page(ada.actor)).total == 1


async def test_the_limits_in_postgresql_belong_to_one_loop_too(database_url: str) -> None:
    from taskcore.adapters.postgres import Connections, PostgresLimiter  # noqa: PLC0415 - --quick needs none

    async with Connections(database_url) as connections:
        limiter = PostgresLimiter(connections, b"k" * 32)
        assert await limiter.acquire(Claim(LOGIN, "x")) is None
        assert isinstance(await refusal(limiter.acquire(Claim(LOGIN, "x"))), RuntimeError)


def test_a_core_in_memory_goes_on_in_the_next_loop_when_the_first_is_closed() -> None:
    core = memory_core(hasher=CheapHasher())

    async def use() -> int | None:
        page = await core.accounts.page(SYSTEM)
        # At the same time, so that some of them wait for the others.
        await asyncio.gather(*(join(core, f"{page.total}{number}") for number in range(3)))
        return page.total

    assert [asyncio.run(use()) for _ in range(3)] == [0, 3, 6]
