"""What all contract suites share: how their tests are run."""

import pytest
from hypothesis import HealthCheck, settings

SHARED = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)
"""For examples that share the fixtures of their test, in suites that several classes inherit."""


class Contract:
    """Tests that a subclass runs on what its fixtures make. They run on asyncio, by anyio's plugin.

    Examples of hypothesis share the fixtures of their test; each has an account of its own.
    """

    pytestmark = pytest.mark.anyio

    @pytest.fixture(scope="session")
    @staticmethod
    def anyio_backend() -> str:
        return "asyncio"
