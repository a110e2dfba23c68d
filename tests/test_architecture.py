"""The rules of the source tree that a test can check."""

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
MIGRATIONS = sorted((ROOT / "migrations").rglob("*.py"))

PROSE = [*SOURCES, *sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"]
# In backticks, or before an @, `nobody` is the name of an account.
VAGUE = re.compile(r"(?<!`)\b(whoever|somebody|nobody|anybody)\b(?![`@])", re.IGNORECASE)

# Names that say nothing about what a module holds.
NO_PLACE = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc", "dto"}

# The life of an account, with the standard library alone.
ALONE = """
import asyncio, sys
import taskcore
from taskcore.adapters.memory import memory_core
from taskcore.adapters.scrypt import ScryptHasher

async def live():
    core = memory_core(hasher=ScryptHasher(n=2, r=1, p=1))  # else seconds
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
outside = {name for name in outside if not name.startswith("_sysconfigdata")}  # of zoneinfo
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


def test_what_runs_without_postgresql_does_not_import_it() -> None:
    """`make test-quick`: it takes a second, in each of its processes."""
    picked = re.search(r"^QUICK := ((?:.*\\\n)*.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert picked
    files = [ROOT / "tests/conftest.py", ROOT / "tests/canaries.py"]
    for each in picked[1].replace("\\", "").split():
        files += sorted((ROOT / each).rglob("*.py")) or [ROOT / each]
    slow = r"(?:from|import) (psycopg|sqlalchemy|taskcore\.adapters\.(?:postgres|embedded))\b"
    found = [
        f"{file.relative_to(ROOT)} imports {name} on its top: do so in the functions that need it"
        for file in files
        for name in re.findall(f"^{slow}", file.read_text(), re.MULTILINE)
    ]
    assert not found, "\n".join(found)


def test_a_file_can_be_read_in_one_sitting() -> None:
    longest = dict.fromkeys(SOURCES, 400) | dict.fromkeys(TESTS, 600)
    lines = {file: len(file.read_text().splitlines()) for file in longest}
    found = [
        f"{file.relative_to(ROOT)} has {lines[file]} lines, at most {most}; split it by noun"
        for file, most in longest.items()
        if lines[file] > most
    ]
    assert not found, "\n".join(found)


def test_a_file_says_what_lives_in_it_and_is_named_for_it() -> None:
    found = []
    for file in SOURCES:
        name = file.relative_to(ROOT)
        if not file.read_text().startswith('"""'):
            found.append(f"{name}:1 needs a docstring: what it is")
        if vague := NO_PLACE & set(name.with_suffix("").parts):
            found.append(f"{name}: {vague} says nothing; name it for what lives in it")
    assert not found, "\n".join(found)


def test_prose_names_the_actor() -> None:
    found = [
        f"{file.relative_to(ROOT)}:{number}: {vague[0]!r} in: {line}"
        for file in PROSE
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if (vague := VAGUE.search(line))
    ]
    advice = "name the actor: the client, another process, the operator"
    assert not found, "\n".join([*found, advice])


def test_the_files_that_contributing_names_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"`([\w/]+\.py)`", text))
    there = [f"/{file.relative_to(ROOT)}" for file in (*SOURCES, *TESTS, *MIGRATIONS)]
    gone = {name for name in named if not any(file.endswith(f"/{name}") for file in there)}
    assert len(named) > 100  # else the form of the tables has changed
    assert not gone, f"CONTRIBUTING.md names {gone}: there are no such files"


def test_only_the_policies_compare_roles() -> None:
    # Elsewhere `Role.ADMIN` is a value to pass on. `users` defines an active administrator.
    # The suites of `testing` state what is stored.
    allowed = {"policies.py", "users.py"}
    for file in SOURCES:
        text = file.read_text()
        if "Role." not in text or file.name in allowed or "testing" in file.parts:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Compare):
                words = ast.unparse(node)
                advice = "ask taskcore.domain.policies instead of comparing roles"
                line = f"{file.relative_to(ROOT)}:{node.lineno}: {words}"
                assert "Role." not in words, f"{line}: {advice}"


def test_only_the_clock_reads_the_system_time() -> None:
    for file in (ROOT / "src" / "taskcore").rglob("*.py"):
        if file.name != "clock.py":
            found = re.findall(r"datetime\.now|utcnow", file.read_text())
            assert not found, f"{file.relative_to(ROOT)} uses {found[0]}: take the time of a Clock"


def test_signal_handlers_are_set_where_none_of_them_raises() -> None:
    """An exception out of a handler may strike inside an import, and leave its lock taken."""
    allowed = {
        *("taskcli/signals.py", "taskcli/serve.py", "taskcli/graceful_stop.py"),
        *("embedded/supervisor.py", "taskapi/app.py"),
    }
    setting = {
        "/".join(file.parts[-2:]) for file in SOURCES if "signal.signal(" in file.read_text()
    }
    assert setting <= allowed, f"{setting - allowed}: use `run` of taskcli/signals.py instead"
