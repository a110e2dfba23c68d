"""The shape of the house, as far as a machine can see it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

# Names under which everything ends up that has no place.
NO_PLACE = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc", "dto"}

# A life with an account, on nothing but Python itself.
ALONE = """
import asyncio, sys
import taskcore
from taskcore.adapters.memory import memory_core

async def live():
    core = memory_core()
    await core.accounts.register(email="ada@example.org", password="correct horse")
    grant = await core.sessions.log_in(email="ada@example.org", password="correct horse")
    grant = await core.sessions.refresh(refresh_token=grant.refresh_token)
    actor = await core.sessions.authenticate(grant.access_token)
    task = await core.tasks.create(actor, title="Write the letter")
    assert (await core.tasks.page(actor)).items == [task]
    try:
        await core.tasks.create(actor, title="")
    except taskcore.Invalid as refusal:
        assert refusal.code == "invalid"

sys.path.insert(0, sys.argv[1])
asyncio.run(live())
outside = {name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names)
print(*sorted(outside - {"__main__", "__mp_main__"}))
"""


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-I", "-S", "-W", "error", "-c", program, *arguments],
        cwd="/",
        env={},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_contracts_of_the_import_linter_are_kept() -> None:
    lint = "from importlinter.cli import lint_imports_command as command; command()"
    done = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-c", lint, "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_the_core_runs_on_nothing_but_python() -> None:
    path = "import sys; sys.path.insert(0, sys.argv[1])\n"
    done = run(path + ALONE, str(ROOT / "src"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["taskcore"]


def test_an_import_of_the_core_brings_no_adapter_along() -> None:
    program = "import sys; sys.path.insert(0, sys.argv[1]); import taskcore; print(*sys.modules)"
    done = run(program, str(ROOT / "src"))
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert "taskcore.core" in loaded
    assert not {name for name in loaded if name.startswith(("taskcore.adapters", "asyncio"))}
    assert "taskcore.wiring" not in loaded


@pytest.mark.parametrize("file", SOURCES + TESTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_file_can_be_read_in_one_sitting(file: Path) -> None:
    longest = 400 if file in SOURCES else 600
    assert len(file.read_text().splitlines()) <= longest


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_file_says_what_lives_in_it_and_is_named_for_it(file: Path) -> None:
    assert ast.get_docstring(ast.parse(file.read_text())), "no docstring"
    assert not NO_PLACE & set(file.relative_to(ROOT).with_suffix("").parts)


def test_only_the_policies_compare_roles() -> None:
    # `Role.ADMIN` may be named as a value; whether somebody is one, `policies` says, and `users`
    # what counts as the last of them.
    allowed = {"policies.py", "users.py"}
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Compare) and file.name not in allowed:
                words = ast.unparse(node)
                assert "Role." not in words, f"{file.name}:{node.lineno}: {words}"


def test_nobody_asks_the_system_for_the_time_but_the_clock() -> None:
    for file in (ROOT / "src" / "taskcore").rglob("*.py"):
        if file.name != "system.py":
            text = file.read_text()
            assert "datetime.now" not in text, file
            assert "utcnow" not in text, file
