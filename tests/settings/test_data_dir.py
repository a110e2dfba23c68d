"""Where the data is kept when DATA_DIR does not say it."""

import os
import pwd
from pathlib import Path

import pytest

from taskcore.domain.errors import Misconfigured
from taskcore.settings import UNUSED, Settings

ROOT = Path(__file__).parents[2]
WITH_DATABASE = {
    "DATABASE_URL": "postgresql://me@h/d",
    "SECRET_KEY": "a key of 0123456789 letters, many",
}


@pytest.fixture
def nameless(monkeypatch: pytest.MonkeyPatch) -> None:
    """An account without an entry in /etc/passwd, as a container may have."""

    def missing(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", missing)
    monkeypatch.delenv("HOME", raising=False)


@pytest.mark.usefixtures("nameless")
def test_an_account_without_a_home_is_told_what_to_set() -> None:
    with pytest.raises(Misconfigured, match="DATA_DIR must be set: this account has no home"):
        Settings.from_env({})
    assert Settings.from_env({"DATA_DIR": "/srv/tasks"}).data_dir == Path("/srv/tasks")
    assert Settings.from_env({"XDG_DATA_HOME": "/srv"}).data_dir == Path("/srv/taskcore")


@pytest.mark.usefixtures("nameless")
def test_a_database_of_ones_own_needs_no_folder() -> None:
    found = Settings.from_env(WITH_DATABASE)
    assert found.data_dir == UNUSED
    assert found.shown()["DATA_DIR"] == "(not used)"
    shown = Settings.from_env(WITH_DATABASE | {"DATA_DIR": "/srv/tasks"}).shown()
    assert shown["DATA_DIR"] == "/srv/tasks"


@pytest.mark.parametrize("name", ["XDG_DATA_HOME", "HOME"])
@pytest.mark.parametrize("text", ["rel", "./rel", "", "  "])
def test_a_relative_folder_of_the_environment_is_ignored(name: str, text: str) -> None:
    assert Settings.from_env({name: text}) == Settings.from_env({})


def test_a_working_directory_that_is_gone_prevents_no_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for name in {"DATABASE_URL", "DATA_DIR", "HOME", "TASKCLI_AS"} & set(os.environ):
        monkeypatch.delenv(name)
    monkeypatch.setenv("DATA_DIR", "/srv/tasks")
    assert Settings.load().data_dir == Path("/srv/tasks")
    monkeypatch.setenv("DATA_DIR", "data")
    with pytest.raises(Misconfigured, match="DATA_DIR must be an absolute path"):
        Settings.load()


def test_a_folder_may_have_any_bytes_and_a_text_may_not() -> None:
    assert os.fsencode(Settings.from_env({"DATA_DIR": "/srv/\udcff"}).data_dir) == b"/srv/\xff"
    for name in ("APP_NAME", "SERVER_HOST", "TASKCLI_AS", "CORS_ORIGINS", "LOG_FORMAT"):
        with pytest.raises(Misconfigured, match=f"{name} must be text in UTF-8"):
            Settings.from_env({name: "\udcff"})
