"""Options of every command: `--quiet`, `--verbose`, `--json`; completion, and NO_COLOR."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from taskcore import AuditEventName, Core
from tests.cli.conftest import KEY, Taskcli
from tests.cli.programs import Terminal, environment, run


@pytest.mark.usefixtures("core")
@pytest.mark.parametrize("place", [0, 2])
def test_quiet_leaves_out_messages_and_keeps_data_and_errors(taskcli: Taskcli, place: int) -> None:
    def quiet(*words: str) -> tuple[str, str]:
        answer = taskcli(*words[:place], "--quiet", *words[place:])
        return answer.out, answer.err

    assert "2 shown" not in taskcli("users", "list").err
    assert "1 to 1 of 2" in taskcli("users", "list", "--limit", "1").err
    out, err = quiet("users", "list", "--limit", "1")
    assert "bob@example.org" in out
    assert err == ""
    assert quiet("tasks", "list") == ("", "")
    assert "there is no user 99" in quiet("users", "show", "99")[1]
    # Only for that one command.
    assert "1 to 1 of 2" in taskcli("users", "list", "--limit", "1").err


@pytest.mark.usefixtures("core")
def test_json_may_stand_before_the_command_and_behind_it(taskcli: Taskcli) -> None:
    behind = taskcli("users", "list", "--json", "--limit", "1")
    assert json.loads(behind.out)["total"] == 2
    for words in (
        ("--json", "users", "list", "--limit", "1"),
        ("--json", "users", "list", "--limit", "1", "--json"),
        ("--quiet", "--json", "users", "list", "--limit", "1"),
    ):
        assert taskcli(*words).out == behind.out
    refused = taskcli("--json", "serve")
    assert (refused.code, refused.out) == (2, "")
    assert 'there is no option "--json"' in refused.err


def test_behind_two_hyphens_a_word_is_no_option(core: Core, taskcli: Taskcli) -> None:
    _ = core
    assert "--quiet" in taskcli("users", "show", "--", "--quiet").err


def test_verbose_shows_what_libraries_log_and_quiet_does_not_go_with_it(tmp_path: Path) -> None:
    url = "postgresql://ada@/tasks?host=/nonexistent"
    env = environment(DATABASE_URL=url, SECRET_KEY=KEY)
    plain = run("users", "list", env=env, cwd=tmp_path)
    told = run("--verbose", "users", "list", env=env, cwd=tmp_path)
    assert (plain.code, told.code) == (69, 69)
    assert "DEBUG:" not in plain.err
    assert "DEBUG:" in told.err
    both = run("users", "list", "--verbose", "--quiet", env=env, cwd=tmp_path)
    assert both.code == 2
    assert "not both" in both.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_options_and_the_names_of_events(
    taskcli: Taskcli, shell: str
) -> None:
    script = taskcli("completion", shell)
    assert (script.code, script.err) == (0, "")
    words = ("taskcli", "set-role", "password-stdin", "doctor", "help")
    assert all(word in script.out for word in (*words, *AuditEventName))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("audit --event login.", ["login.succeeded", "login.failed"]),
        ("tasks list --status c", ["cancelled", "closed"]),
        ("tasks list --sort d", ["due"]),
    ],
)
def test_bash_completes_a_value(
    taskcli: Taskcli, tmp_path: Path, line: str, words: list[str]
) -> None:
    (tmp_path / "script").write_text(taskcli("completion", "bash").out)
    place = len(line.split())
    line = f"source ./script; COMP_WORDS=(taskcli {line}); COMP_CWORD={place}; _taskcli"
    done = subprocess.run(  # noqa: S603 - our own script
        ["/bin/bash", "-c", f'{line}; echo "${{COMPREPLY[@]}}"'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == words, done.stderr


@pytest.mark.usefixtures("core")
def test_an_event_that_is_misspelled_is_named_with_the_one_that_is_meant(taskcli: Taskcli) -> None:
    refused = taskcli("audit", "--event", "login.fail")
    assert refused.code == 2
    assert "did you mean login.failed?" in refused.err


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_no_color_leaves_colours_out_of_help_and_log(
    tmp_path: Path,
    no_color: str,
    coloured: bool,  # noqa: FBT001
) -> None:
    env = environment(NO_COLOR=no_color, LOG_FORMAT="console", DATA_DIR=str(tmp_path))
    with Terminal("users", "--help", env=env, cwd=tmp_path) as terminal:
        assert terminal.wait() == 0
        assert "\x1b[3" not in terminal.output or coloured
    log = (
        "import sys, structlog; sys.stderr.isatty = lambda: True\n"
        "from taskapi.logs import rendered\n"
        "print(rendered('console')[-1](None, 'info', {'event': 'x', 'level': 'info'}))"
    )
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", log], env=env, capture_output=True, text=True, check=True
    )
    assert ("\x1b[" in done.stdout) is coloured
