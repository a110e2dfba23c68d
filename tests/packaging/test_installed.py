"""The installed wheel, without the checkout."""

import sys
from pathlib import Path

import taskcore
from tests.packaging.conftest import ROOT, Installed, run
from tests.server.running import Api

IMPORTS = """
import sys
sys.path.insert(0, sys.argv[1])
before = set(sys.modules)
import taskcore
from taskcore.adapters import memory
imported = {name.partition(".")[0] for name in set(sys.modules) - before}
imported = {name for name in imported if not name.startswith("_sysconfigdata")}  # of zoneinfo
print(taskcore.__file__, *sorted(imported - set(sys.stdlib_module_names) - {"taskcore"}))
"""


def test_the_core_imports_only_the_standard_library(installed: Installed, tmp_path: Path) -> None:
    done = run(installed.python, "-I", "-S", "-c", IMPORTS, installed.site, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(installed.site / "taskcore/__init__.py")]


def test_the_checkout_cannot_be_imported(installed: Installed, tmp_path: Path) -> None:
    code = "import sys, taskcore, taskapi, taskcli; print(*sys.path, taskcore.__file__)"
    done = run(installed.python, "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    paths = [Path(word) for word in done.stdout.split()]
    assert paths[-1].is_relative_to(installed.site)
    assert not [path for path in paths if path.is_relative_to(ROOT / "src")]


def test_the_installed_packages_are_compatible() -> None:
    uv = Path(sys.executable).with_name("uv")
    done = run(uv, "pip", "check", "--offline", "--python", sys.executable)
    assert done.returncode == 0, done.stderr


def test_it_migrates_and_serves(served: Api) -> None:
    token = served.register()
    created = served.call("POST", "/api/v1/tasks", {"title": "from a wheel"}, token=token)
    assert created.status == 201


def test_it_serves_the_documentation_pages(served: Api) -> None:
    for path in ("docs", "redoc", "openapi.json"):
        assert served.call("GET", f"/api/v1/{path}").status == 200


def test_it_prints_its_version(installed: Installed, tmp_path: Path) -> None:
    done = run(installed.taskcli, "--version", cwd=tmp_path)
    assert done.stdout == f"taskcli {taskcore.__version__}\n"
