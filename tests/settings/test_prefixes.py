"""Settings in the environment of a host program, which has variables of the same names."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskcli import serve
from taskcore import Misconfigured, Settings

OURS = "kXr7-Jq2vZ_93mWfTnB8yLdHcPaGsEuQ"  # 32 bytes
THEIRS = "django-insecure-0123456789abcdefghijklmnopqrstuv"
URL = "postgresql://me@db.example.org/tasks"
HOST = {"SECRET_KEY": THEIRS, "DATABASE_URL": "mysql://x", "DEBUG": "on", "SERVER_PORT": "x"}


def test_a_host_program_names_its_prefix_and_nothing_else_is_read() -> None:
    env = HOST | {"TASKCORE_SECRET_KEY": OURS, "TASKCORE_DATABASE_URL": URL}
    settings = Settings.from_env(env, prefix="TASKCORE_")
    assert settings == Settings.from_env({"SECRET_KEY": OURS, "DATABASE_URL": URL})
    assert Settings.from_env(HOST, prefix="TASKCORE_") == Settings.from_env({})


def test_any_prefix_may_be_chosen_and_none() -> None:
    env = {"TASKS_SERVER_PORT": "9000", "TASKCORE_SERVER_PORT": "9001", "SERVER_PORT": "9002"}
    for prefix, port in (("TASKS_", 9000), ("TASKCORE_", 9001), ("", 9002), (None, 9001)):
        assert Settings.from_env(env, prefix=prefix).server_port == port


@given(st.sampled_from(["APP_NAME", "DATA_DIR", "TASKCLI_AS"]), st.booleans())
def test_a_prefixed_name_wins_over_the_bare_one(name: str, both: bool) -> None:  # noqa: FBT001
    env = {f"TASKCORE_{name}": "/ours"} | ({name: "/theirs"} if both else {})
    assert Settings.from_env(env) == Settings.from_env({name: "/ours"})
    assert Settings.from_env({name: "/x", f"TASKCORE_{name}": " "}) == Settings.from_env(
        {name: "/x"}
    )


@pytest.mark.parametrize("bare", ["SECRET_KEY", "SECRET_KEY_FILE"])
@pytest.mark.parametrize("prefixed", ["TASKCORE_SECRET_KEY", "TASKCORE_SECRET_KEY_FILE"])
def test_a_prefixed_secret_wins_over_a_bare_file_and_the_other_way_round(
    tmp_path: Path, bare: str, prefixed: str
) -> None:
    file = tmp_path / "key"
    file.write_text(OURS)
    file.chmod(0o600)
    env = {bare: "/nonexistent", prefixed: str(file) if prefixed.endswith("FILE") else OURS}
    key = Settings.from_env(env).secret_key
    assert key
    assert key.reveal() == OURS


def test_the_environment_and_the_env_file_may_have_prefixes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("TASKCORE_APP_NAME=File\nTASKCORE_TRASH_DAYS=7\n")
    monkeypatch.setenv("APP_NAME", "Bare")
    monkeypatch.setenv("TASKCORE_TRASH_DAYS", "8")
    settings = Settings.load(tmp_path)
    assert (settings.app_name, settings.trash_lifetime.days) == ("File", 8)


@pytest.mark.parametrize(
    ("env", "prefix", "named"),
    [
        ({"TASKCORE_SERVER_PORT": "x"}, None, "TASKCORE_SERVER_PORT must be"),
        ({"SERVER_PORT": "x"}, None, "SERVER_PORT must be"),
        ({"T_SERVER_PORT": "x"}, "T_", "T_SERVER_PORT must be"),
        ({"T_DATABASE_URL": URL}, "T_", "T_SECRET_KEY is required"),
        (
            {"TASKCORE_SECRET_KEY": "x", "TASKCORE_SECRET_KEY_FILE": "/x"},
            None,
            "TASKCORE_SECRET_KEY and",
        ),
    ],
)
def test_a_bad_variable_is_named_as_it_is_spelled(
    env: dict[str, str], prefix: str | None, named: str
) -> None:
    with pytest.raises(Misconfigured) as refusal:
        Settings.from_env(env, prefix=prefix)
    assert refusal.value.problems[0].startswith(named)


def test_the_options_of_serve_win_over_a_prefixed_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TASKCORE_SERVER_PORT", "SERVER_PORT", "TASKCORE_WORKERS"):
        monkeypatch.setenv(name, "7")
    served: list[Any] = []
    monkeypatch.setattr(serve, "_serve", served.append)
    serve.serve(port="9000", workers="2")
    assert (served[0].server_port, served[0].workers) == (9000, 2)
