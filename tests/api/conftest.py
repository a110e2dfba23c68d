"""The API over each store, and clients logged in to it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from litestar import Litestar
from structlog.testing import LogCapture

from taskapi.app import create_app
from taskapi.capacity import IN_FLIGHT
from taskapi.edge import Edge
from taskapi.logs import of_request
from taskcore import Core, Role, Settings
from tests.api.doubles import FailingStore, failing_core
from tests.api.people import Person, check_sound, join
from tests.api.served import serving
from tests.canaries import LISTENER
from tests.conftest import ManualClock
from tests.server.running import Api

ORIGIN = "https://app.example.org"
SETTINGS = Settings(
    database_url=None,
    secret_key=None,
    data_dir=Path("/nonexistent"),
    cors_origins=(ORIGIN, "http://localhost:3000"),
)


@asynccontextmanager
async def opened(app: Litestar) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a running application. It checks every response with `check_sound`."""
    # httpx and Litestar spell the types of an ASGI scope differently.
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
    async with (
        app.lifespan(),
        httpx.AsyncClient(
            transport=transport,
            base_url="http://api.test",
            event_hooks={"response": [check_sound]},
        ) as http,
    ):
        yield http


def app_over(core: Core) -> Litestar:
    @asynccontextmanager
    async def opener() -> AsyncIterator[Core]:
        yield core

    return create_app(opener, SETTINGS)


class SharedApp:
    """One application for all tests, because making one takes 0.1 s."""

    def __init__(self) -> None:
        self._core: Core | None = None
        self._app = create_app(self._opener, SETTINGS)
        edge = self._app.asgi_handler
        assert isinstance(edge, Edge)
        self._behind_edge = edge._app

    @asynccontextmanager
    async def _opener(self) -> AsyncIterator[Core]:
        assert self._core
        yield self._core

    def over(self, core: Core) -> Litestar:
        """The application over this core, with a new edge, which counts requests."""
        self._core = core
        self._app.asgi_handler = Edge(self._behind_edge, SETTINGS, in_flight=IN_FLIGHT)
        return self._app


@pytest.fixture(scope="session")
def shared_app() -> SharedApp:
    return SharedApp()


@pytest.fixture
def app(shared_app: SharedApp, core: Core) -> Litestar:
    """An application that is not to get other routes; `app_over` makes an application for that."""
    return shared_app.over(core)


@pytest.fixture
async def http(app: Litestar) -> AsyncIterator[httpx.AsyncClient]:
    async with opened(app) as client:
        yield client


@pytest.fixture
async def anonymous(http: httpx.AsyncClient) -> Person:
    """A client that is not logged in."""
    return Person(http)


@pytest.fixture
async def ada(core: Core, http: httpx.AsyncClient) -> Person:
    return await join(core, http, "ada", full_name="Ada Lovelace")


@pytest.fixture
async def bob(core: Core, http: httpx.AsyncClient) -> Person:
    return await join(core, http, "bob")


@pytest.fixture
async def root(core: Core, http: httpx.AsyncClient) -> Person:
    """The only administrator."""
    return await join(core, http, "root", Role.ADMIN)


@pytest.fixture
async def failing(clock: ManualClock) -> AsyncIterator[tuple[Person, Person, FailingStore]]:
    """An administrator, a user, and the store of their core, which fails when it is told to."""
    core, store = failing_core(clock)
    async with opened(app_over(core)) as http:
        yield (
            await join(core, http, "root", Role.ADMIN),
            await join(core, http, "ada"),
            store,
        )


@pytest.fixture
def events(quiet: None) -> Iterator[list[Any]]:  # noqa: ARG001 - it comes first
    """The log entries of the test, with the fields that every request adds."""
    capture = LogCapture()
    # Changed in place: loggers that exist already keep a reference to this list.
    processors = structlog.get_config()["processors"]
    before = processors.copy()
    processors[:] = [of_request, LISTENER.structured, capture]
    yield capture.entries
    processors[:] = before


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Print no log entries; the fixture `events` collects them."""

    def drop(*_: object) -> Any:
        raise structlog.DropEvent

    structlog.configure(processors=[LISTENER.structured, drop])
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def served(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A real server on its own database, with all log levels."""
    folder = tmp_path_factory.mktemp("served")
    with serving(
        folder,
        database_url,
        LOG_LEVEL="DEBUG",
        CORS_ORIGINS=ORIGIN,
        TRUSTED_PROXIES="127.0.0.1",  # many connections in a moment, each for a test of its own
    ) as api:
        yield api
