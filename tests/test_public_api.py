"""What `import taskcore` exports, and that it suffices to use every use case."""

import asyncio
import inspect
import pydoc
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict

import pytest

import taskcore
from taskcore.adapters.memory import memory_core
from taskcore.testing import CheapHasher

pytestmark = pytest.mark.anyio


def test_every_public_name_is_there_once() -> None:
    assert len(set(taskcore.__all__)) == len(taskcore.__all__)
    for name in taskcore.__all__:
        assert hasattr(taskcore, name)


def test_every_refusal_of_the_core_is_public() -> None:
    from taskcore.domain import errors  # noqa: PLC0415 - the ring below, looked at for its names

    kinds = {
        name
        for name, found in vars(errors).items()
        if inspect.isclass(found) and issubclass(found, errors.TaskcoreError)
    }
    missing = sorted(kinds - set(taskcore.__all__))
    assert not missing, f"{missing} of taskcore.domain.errors: import it in taskcore/__init__.py"


def nouns(core: taskcore.Core) -> tuple[object, ...]:
    return (core.accounts, core.sessions, core.tasks, core.changes, core.audit, core.housekeeping)


def kinds_in(hint: Any) -> set[type]:
    """The classes of taskcore that a value of this type may hold.

    Not the dictionaries that keywords are: the methods name them in their signatures.
    """
    found = {kind for argument in get_args(hint) for kind in kinds_in(argument)}
    kind = get_origin(hint) or hint
    if inspect.isclass(kind) and kind.__module__.startswith("taskcore"):
        if not is_typeddict(kind):
            found.add(kind)
        for part in get_type_hints(kind).values():
            found |= kinds_in(part)
    return found


def test_what_use_cases_take_and_give_is_public() -> None:
    core = memory_core()
    for noun in nouns(core):
        for name, method in inspect.getmembers(type(noun), inspect.isfunction):
            if name.startswith("_"):
                continue
            for hint in get_type_hints(method).values():
                for kind in kinds_in(hint):
                    assert kind.__name__ in taskcore.__all__, (
                        f"{type(noun).__name__}.{name} uses {kind.__name__}: "
                        "import it in taskcore/__init__.py and add it to __all__"
                    )


def test_what_help_shows_is_documented() -> None:
    """A dataclass without a docstring gets its signature for one, and others that of their base."""
    core = memory_core()
    kinds = [getattr(taskcore, name) for name in taskcore.__all__]
    kinds = [kind for kind in kinds if inspect.isclass(kind)]
    silent = []
    for kind in [*kinds, *map(type, nouns(core))]:
        said = vars(kind).get("__doc__") or ""
        if not said or said.startswith(f"{kind.__name__}("):
            silent.append(kind.__name__)
    assert not silent, f"{silent} need docstrings: what one is"
    shown = pydoc.plain(pydoc.render_doc(taskcore))
    assert {"DESCRIPTION", "VERSION"} <= set(shown.split())
    assert "Another account has this e-mail address" in shown


def test_every_use_case_is_documented_or_speaks_for_itself() -> None:
    core = memory_core()
    silent = {
        f"{type(noun).__name__}.{name}"
        for noun in nouns(core)
        for name, method in inspect.getmembers(type(noun), inspect.isfunction)
        if not name.startswith("_") and not method.__doc__
    }
    undocumented = silent - {"Accounts.me"}
    assert not undocumented, f"{undocumented} need docstrings: what they return and raise"


async def test_the_example_of_the_library_works(capsys: pytest.CaptureFixture[str]) -> None:
    core = memory_core(hasher=CheapHasher())
    await core.accounts.register(email="ada@example.org", password="correct horse")
    grant = await core.sessions.log_in(email="ada@example.org", password="correct horse")
    actor = await core.sessions.authenticate(grant.access_token)
    task = await core.tasks.create(actor, title="Write the letter")
    assert (await core.tasks.page(actor)).items == [task]
    with pytest.raises(taskcore.NotFound):
        await core.tasks.get(actor, taskcore.TaskId(task.id + 1))
    assert capsys.readouterr() == ("", "")


def test_the_examples_of_the_readme_run(monkeypatch: pytest.MonkeyPatch) -> None:
    core = memory_core(hasher=CheapHasher())

    @asynccontextmanager
    async def opened(_: object) -> AsyncIterator[taskcore.Core]:
        yield core

    async def logged_in() -> taskcore.Grant:
        return await core.sessions.log_in(email="bob@example.org", password="correct horse")

    monkeypatch.setattr(taskcore, "open_core", opened)
    names: dict[str, Any] = {}
    text = (Path(__file__).parents[1] / "README.md").read_text()
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, "README.md", "exec"), names)  # noqa: S102 - our own
    assert asyncio.run(logged_in()).access_token
