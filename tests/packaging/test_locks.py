"""The lock files: hashed, without host names, and consistent with each other."""

import json
import re
import tomllib
from collections.abc import Iterator

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.packaging.conftest import ROOT

LOCKS = sorted(path.name for path in ROOT.glob("requirements*.txt"))


def locked(name: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Each requirement with its name and its allowed hashes."""
    lines = (ROOT / name).read_text().replace("\\\n", " ").splitlines()
    requirements = {}
    for line in lines:
        if not (stripped := line.partition("#")[0].strip()):
            continue
        requirement, *hashes = re.split(r"\s+--hash=", stripped)
        requirements[requirement] = (Requirement(requirement).name, frozenset(hashes))
    return requirements


@pytest.mark.parametrize("name", LOCKS)
def test_every_requirement_is_pinned_and_hashed(name: str) -> None:
    for requirement, (_, hashes) in locked(name).items():
        assert re.fullmatch(r"[a-z0-9.-]+==[^ ;]+( ; .+)?", requirement)
        assert hashes
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", value) for value in hashes)


@pytest.mark.parametrize("name", LOCKS)
def test_no_lock_names_a_host(name: str) -> None:
    assert not re.search(r"://|--(index|find|extra|trusted)", (ROOT / name).read_text())


@pytest.mark.parametrize("folder", ["tests/clients", "benchmarks/fastify"])
def test_a_lock_of_javascript_is_hashed_and_names_no_host(folder: str) -> None:
    text = (ROOT / folder / "package-lock.json").read_text()
    packages = json.loads(text)["packages"]
    named = packages.pop("")
    assert all(re.fullmatch("[0-9.]+", version) for version in named["dependencies"].values())
    assert (
        named["dependencies"]
        == json.loads((ROOT / folder / "package.json").read_text())["dependencies"]
    ), f"lock again: `npm install --package-lock-only` in {folder}"
    for name, package in packages.items():
        assert package["integrity"].startswith("sha512-"), name
        assert "resolved" not in package, name


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-telemetry.txt"])
def test_tests_use_the_versions_of_the_runtime_lock(name: str) -> None:
    runtime, development = locked(name), locked("requirements-dev.txt")
    versions = {text.partition(" ;")[0]: value for text, value in development.items()}
    missing = {
        text for text, value in runtime.items() if versions.get(text.partition(" ;")[0]) != value
    }
    assert not missing, "lock again: `make lock`"


def extras(project: dict[str, dict[str, list[str]]], name: str) -> Iterator[Requirement]:
    """What an extra requires, directly or through the extras that it names."""
    for text in project["optional-dependencies"][name]:
        requirement = Requirement(text)
        if requirement.name == "taskcore":
            for other in requirement.extras:
                yield from extras(project, other)
        else:
            yield requirement


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("requirements.txt", ["all"]),
        ("requirements-telemetry.txt", ["all", "otel", "sentry"]),
    ],
)
def test_the_lock_satisfies_the_requirements_of_the_project(name: str, of: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    versions = {}
    for text, (package, _) in locked(name).items():
        (version,) = Requirement(text).specifier
        versions[canonicalize_name(package)] = version.version
    for required in (required for extra in of for required in extras(project, extra)):
        assert required.specifier.contains(versions[canonicalize_name(required.name)]), str(
            required
        )


def test_what_a_server_runs_with_brings_no_telemetry() -> None:
    names = {name for name, _ in locked("requirements.txt").values()}
    assert not {name for name in names if name.startswith(("opentelemetry", "sentry"))}
