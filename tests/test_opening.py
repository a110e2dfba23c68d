"""Opening a core: with adapters of the caller's, and without the packages that ours need."""

import inspect
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

from taskcore import SYSTEM, Adapters, Core, Settings, TooMany, open_core
from taskcore.adapters.keys import HmacPseudonyms
from taskcore.adapters.memory import MemoryStore
from taskcore.adapters.memory.rate_limits import Unlimited
from taskcore.adapters.otel import OpenTelemetryTracer
from taskcore.adapters.tokens import OpaqueRefreshTokens, SignedAccessTokens
from taskcore.testing import START, CheapHasher, ManualClock
from tests.api.served import as_url
from tests.conftest import emptied
from tests.factories import PASSWORD
from tests.test_architecture import ROOT, run
from tests.usecases.people import address

pytestmark = pytest.mark.anyio

KEY = "0123456789abcdef" * 4
BARE = Settings.from_env({"SECRET_KEY": KEY, "DATA_DIR": "/nonexistent"})


class Counted:
    """Counts the calls of an adapter's methods."""

    def __init__(self, adapter: object) -> None:
        self._adapter, self.calls = adapter, 0

    def __getattr__(self, name: str) -> Any:
        self.calls += 1
        return getattr(self._adapter, name)


async def lived(core: Core) -> None:
    await core.accounts.register(email=address("ada"), password=PASSWORD)
    grant = await core.sessions.log_in(email=address("ada"), password=PASSWORD)
    actor = await core.sessions.authenticate(grant.access_token)
    await core.sessions.refresh(refresh_token=grant.refresh_token)
    await core.tasks.create(actor, title="Write the letter")


def test_every_port_of_a_core_can_be_given() -> None:
    bound = set(inspect.signature(Core.bind).parameters) - {"terms"}
    assert set(Adapters.__annotations__) == bound


@pytest.mark.parametrize("name", Adapters.__annotations__)
async def test_what_is_given_is_used(name: str) -> None:
    key = bytes(64)
    adapters: dict[str, Counted] = {
        "store": Counted(MemoryStore()),
        "limiter": Counted(Unlimited()),
        "hasher": Counted(CheapHasher()),
        "access_tokens": Counted(SignedAccessTokens(key)),
        "refresh_tokens": Counted(OpaqueRefreshTokens((key,))),
        "pseudonyms": Counted(HmacPseudonyms(key)),
        "clock": Counted(ManualClock()),
        "tracer": Counted(OpenTelemetryTracer(TracerProvider())),
    }
    given: Any = {"store": MemoryStore(), "hasher": CheapHasher(), name: adapters[name]}
    async with open_core(BARE, **given) as core:
        await lived(core)
    assert adapters[name].calls


async def test_one_adapter_is_given_and_postgresql_has_the_rest(database_url: str) -> None:
    emptied(database_url)
    settings = Settings.from_env({"DATABASE_URL": as_url(database_url), "SECRET_KEY": KEY})
    async with open_core(settings, clock=ManualClock(), hasher=CheapHasher()) as core:
        user = await core.accounts.register(email=address("ada"), password=PASSWORD)
        assert user.created_at == START
    async with open_core(settings, hasher=CheapHasher()) as core:
        found = await core.accounts.page(SYSTEM)
    assert list(found.items) == [user]


@pytest.mark.parametrize("limits", ["on", "off"])
async def test_limits_beside_a_store_of_the_callers_are_counted_in_the_process(limits: str) -> None:
    settings = Settings.from_env({"SECRET_KEY": KEY, "RATE_LIMITS": limits})
    refused = 0
    async with open_core(settings, store=MemoryStore(), hasher=CheapHasher()) as core:
        for _ in range(30):
            try:
                await core.sessions.log_in(email=address("ada"), password="wrong horse")
            except TooMany:
                refused += 1
            except Exception:  # noqa: BLE001, S110 - it is no user
                pass
    assert (refused > 0) is (limits == "on")


WITHOUT_PACKAGES = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
import taskcore
from taskcore.adapters.memory import MemoryStore
from taskcore.adapters.scrypt import ScryptHasher
from taskcore.adapters.tokens import SignedAccessTokens

settings = taskcore.Settings.from_env({"DATA_DIR": sys.argv[2], **eval(sys.argv[3])})

async def live():
    async with taskcore.open_core(settings, **eval(sys.argv[4])) as core:
        await core.accounts.register(email="ada@example.org", password="correct horse")

try:
    asyncio.run(live())
except ModuleNotFoundError as error:
    print(error)
"""
OURS = "'store': MemoryStore(), 'hasher': ScryptHasher(n=2)"
TOKENS = "'access_tokens': SignedAccessTokens(bytes(32))"
DATABASE = {"DATABASE_URL": "postgresql://x", "SECRET_KEY": KEY}


@pytest.mark.parametrize(
    ("settings", "given", "said"),
    [
        (DATABASE, "{}", "taskcore[core]"),
        ({}, "{}", "taskcore[core]"),
        ({}, "{'store': MemoryStore()}", "taskcore[auth]"),
        ({}, f"{{{OURS}}}", "taskcore[auth]"),
        ({}, f"{{{OURS}, {TOKENS}}}", ""),
    ],
)
def test_a_package_that_is_missing_is_told_with_the_extra_that_brings_it(
    tmp_path: Path, settings: dict[str, str], given: str, said: str
) -> None:
    done = run(WITHOUT_PACKAGES, str(ROOT / "src"), str(tmp_path), repr(settings), given)
    assert done.returncode == 0, done.stderr
    if said:
        assert f" is not installed; run `pip install '{said}'`" in done.stdout
    else:
        assert not done.stdout


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("import taskcore.testing", ""),
        ("import taskcore.testing.contracts", "taskcore[testing]"),
        ("import taskcore.blocking", ""),
    ],
)
def test_a_module_says_what_it_needs(line: str, said: str) -> None:
    program = f"import sys; sys.path.insert(0, sys.argv[1])\n{line}"
    done = run(program, str(ROOT / "src"))
    if said:
        assert f" is not installed; run `pip install '{said}'`" in done.stderr
    else:
        assert (done.returncode, done.stderr) == (0, "")
