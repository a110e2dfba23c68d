"""The distributions, built once, and the wheel in an environment without the checkout."""

import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.server.running import Api

ROOT = Path(__file__).parents[2]


def run(
    *command: str | Path, cwd: Path | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - ourselves and our tools
        command,
        cwd=cwd,
        env={"PATH": os.environ["PATH"], **env},
        capture_output=True,
        text=True,
        check=False,
    )


@dataclass(frozen=True)
class Distributions:
    wheel: Path
    sdist: Path


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """The wheel is built from the sdist, as `python -m build` does."""
    out = tmp_path_factory.mktemp("dist")
    done = run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return Distributions(wheel, sdist)


@dataclass(frozen=True)
class Installed:
    """A virtual environment with the wheel, which imports its dependencies from ours."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def taskcli(self) -> Path:
        return self.folder / "bin" / "taskcli"

    @property
    def site(self) -> Path:
        (site,) = self.folder.glob("lib/python*/site-packages")
        return site


@pytest.fixture(scope="session")
def installed(distributions: Distributions, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    environment = Installed(tmp_path_factory.mktemp("installed") / "env")
    uv = Path(sys.executable).with_name("uv")
    install = (uv, "pip", "install", "--offline", "--no-deps", "--python", environment.python)
    for done in (
        run(sys.executable, "-m", "venv", "--without-pip", environment.folder),
        run(*install, distributions.wheel),
    ):
        assert done.returncode == 0, done.stderr
    # The dependencies. Python ignores .pth files in a folder that a .pth file names, so the
    # checkout, which is an editable install there, cannot be imported.
    (environment.site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment


@pytest.fixture(scope="session")
def served(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server of the installed wheel, started in an empty folder."""
    folder = tmp_path_factory.mktemp("elsewhere")
    env = {"DATA_DIR": str(folder / "data")}
    done = run(installed.taskcli, "db", "upgrade", cwd=folder, **env)
    assert done.returncode == 0, done.stderr
    with Api(folder, installed.taskcli, **env) as api:
        yield api.ready()
        assert api.stop() == 0
