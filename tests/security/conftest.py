"""One site for all tests of a process; each test brings its own accounts and addresses."""

from collections.abc import Iterator

import pytest

from tests.security.site import Account, Site, site


@pytest.fixture(scope="session", name="site")
def two_processes(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("site"), database_url) as found:
        yield found


@pytest.fixture
def ada(site: Site) -> Account:
    return site.join()


@pytest.fixture
def bob(site: Site) -> Account:
    return site.join()


@pytest.fixture
def root(site: Site) -> Account:
    return site.join(role="admin")
