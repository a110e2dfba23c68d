"""The files in the wheel and the sdist, and the metadata of the wheel."""

import re
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import taskcore
from tests.packaging.conftest import ROOT, Distributions

PACKAGES = {"taskcore", "taskapi", "taskcli"}


@pytest.fixture
def names(distributions: Distributions) -> set[str]:
    with zipfile.ZipFile(distributions.wheel) as wheel:
        return set(wheel.namelist())


@pytest.fixture
def metadata(distributions: Distributions) -> Message:
    with zipfile.ZipFile(distributions.wheel) as wheel:
        (path,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(wheel.read(path).decode())


def files(folder: Path, base: Path) -> set[str]:
    return {
        path.relative_to(base).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_has_the_source_files_and_no_others(names: set[str]) -> None:
    modules = {name for name in names if not re.search(r"\.(dist-info|data)/", name)}
    migrations = {f"taskcore/{name}" for name in files(ROOT / "migrations", ROOT)}
    assert modules == files(ROOT / "src", ROOT / "src") | migrations
    assert "taskcore/migrations/env.py" in modules
    assert {f"{package}/py.typed" for package in PACKAGES} <= modules
    assert any(name.startswith("taskapi/docs/assets/swagger-ui-bundle") for name in modules)


def test_the_wheel_has_every_licence(names: set[str]) -> None:
    licences = {name.rpartition("/")[2] for name in names if ".dist-info/licenses/" in name}
    source = ROOT / "src"
    expected = {path.name for kind in ("LICENSE-*", "NOTICE-*") for path in source.rglob(kind)}
    assert licences == {"LICENSE"} | expected


def test_the_sdist_has_what_a_fork_needs_and_no_local_files(distributions: Distributions) -> None:
    with tarfile.open(distributions.sdist) as sdist:
        paths = {name.partition("/")[2] for name in sdist.getnames()}
    needed = {"pyproject.toml", "Makefile", "README.md", "LICENSE", "requirements-dev.txt"}
    assert needed <= paths
    assert files(ROOT / "src", ROOT) | files(ROOT / "migrations", ROOT) <= paths
    assert "tests/conftest.py" in paths
    tops = {name.partition("/")[0] for name in paths}
    assert not tops & {".venv", ".data", ".git", ".env", "dist"}


def test_the_metadata_describe_the_project(metadata: Message) -> None:
    assert metadata["Name"] == "taskcore"
    assert metadata["Version"] == taskcore.__version__
    assert f"\nARG VERSION={taskcore.__version__}\n" in (ROOT / "Dockerfile").read_text()
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])


def test_the_library_requires_nothing_and_its_extras_exist(metadata: Message) -> None:
    requirements = [Requirement(text) for text in metadata.get_all("Requires-Dist", [])]
    assert requirements
    without_extra = [
        r for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})
    ]
    assert without_extra == []
    extras = set(metadata.get_all("Provides-Extra", []))
    named = {extra for r in requirements if r.name == "taskcore" for extra in r.extras}
    assert named <= extras
    assert {"core", "server", "cli", "all"} <= extras


def test_the_command_is_an_entry_point(distributions: Distributions, names: set[str]) -> None:
    (path,) = (name for name in names if name.endswith("/entry_points.txt"))
    with zipfile.ZipFile(distributions.wheel) as wheel:
        assert "taskcli = taskcli.main:main" in wheel.read(path).decode().splitlines()
