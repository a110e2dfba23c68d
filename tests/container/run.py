"""The image of the Dockerfile, built without a registry and run: `make test-container`.

    python -m tests.container.run [--work FOLDER] [--port NUMBER] [--extras otel,sentry]

Needs root and Debian's buildah and debootstrap; podman is used where it can start a container, and
else `buildah run` with chroot isolation, which has no namespaces and no healthcheck of its own. The
base is a Debian of `debootstrap`, from where apt gets its packages, in place of the `python` image;
pip downloads the wheels outside, so that the build asks no network. `--extras` is the argument
EXTRAS: what these need must be in the image, and nothing of the others.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.container.engines import Buildah, Engine, podman
from tests.debian import ROOT, missing, say

IMAGE = "localhost/taskcore:test"
_BASE = "localhost/taskcore-base"
_SUITE = "bookworm"
_PACKAGES = {"/usr/bin/buildah": "buildah", "/usr/sbin/debootstrap": "debootstrap"}
_ARBITRARY = "1234567:0"  # as OpenShift chooses one: no name in /etc/passwd, and group 0
_OWN = "10001:10001"
_READY_WITHIN = 60.0  # seconds
_MODULES = {"otel": "opentelemetry.sdk", "sentry": "sentry_sdk"}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.container.run")
    parser.add_argument("--work", type=Path, help="keep base and wheels here for the next time")
    parser.add_argument("--port", default=18950, type=int)
    parser.add_argument("--extras", default="", help="otel, sentry or otel,sentry")
    given = parser.parse_args()
    if refusal := missing(_PACKAGES):
        say(refusal)
        return 1
    with tempfile.TemporaryDirectory(prefix="taskcore-container-") as folder:
        work = given.work or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        buildah = Buildah(Path(folder))
        started = time.monotonic()
        build(buildah, base(work), wheels(work, given.extras), given.extras)
        say(f"built in {time.monotonic() - started:.0f} s")
        engine: Engine = buildah
        usable, why = podman(buildah)
        if usable is None:
            say(f"podman cannot start a container here ({why}): buildah run takes its place")
        else:
            engine = usable
        with engine.prepared(IMAGE):
            check(engine, Path(folder), given.port)
            check_extras(engine, given.extras.split(","))
    say("all passed")
    return 0


def ran(*command: str | Path) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - tools of Debian


def base(work: Path) -> Path:
    """A Debian with Python, as the `python` image has it."""
    made = work / "base"
    if not made.exists():
        draft = work / "base.new"
        shutil.rmtree(draft, ignore_errors=True)
        packages = "--include=python3,python3-pip,ca-certificates"
        ran("debootstrap", "--variant=minbase", packages, _SUITE, draft, mirror())
        (draft / "usr/bin/python").symlink_to("python3")
        for mark in draft.glob("usr/lib/python3.*/EXTERNALLY-MANAGED"):
            mark.unlink()
        draft.rename(made)
    return made


def mirror() -> str:
    """Where this machine's apt gets its packages."""
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages"],  # noqa: S607
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    (found, *_) = re.findall(rf"^(\S+) {_SUITE}$", listed, re.MULTILINE)
    return str(found)


def wheels(work: Path, extras: str) -> Path:
    folder = work / "wheels"
    lock = "requirements-telemetry.txt" if extras else "requirements.txt"
    pip = (sys.executable, "-m", "pip", "--quiet", "download", "--require-hashes", "--no-deps")
    locked = ("--only-binary=:all:", "--requirement", ROOT / lock)
    ran(*pip, *locked, "--python-version=3.11", "--dest", folder)
    return folder


def build(buildah: Buildah, base: Path, wheels: Path, extras: str) -> None:
    container = buildah.answer("from", "scratch")
    buildah.do("copy", "--quiet", container, str(base), "/")
    buildah.do("copy", "--quiet", container, str(wheels), "/wheelhouse")
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    for variable in ("PIP_NO_INDEX=1", "PIP_FIND_LINKS=/wheelhouse", path):
        buildah.do("config", "--env", variable, container)
    buildah.do("commit", "--quiet", "--rm", container, _BASE)
    how = ("--isolation", "chroot", "--network", "host", "--format", "docker")
    arguments = ("--build-arg", f"BASE={_BASE}", "--build-arg", f"EXTRAS={extras}")
    buildah.do("build", "--quiet", *how, *arguments, "--tag", IMAGE, str(ROOT))


def check(engine: Engine, folder: Path, port: int) -> None:
    expect(engine, ["taskcli", "--version"], 0, r"^taskcli \d")
    expect(engine, ["taskcli", "--version"], 0, r"^taskcli \d", user=_ARBITRARY)
    keep = "touch /data/x && rm /data/x && id -u"
    expect(engine, ["sh", "-c", keep], 0, "^1234567$", user=_ARBITRARY)
    # Without a name it cannot run the embedded PostgreSQL, and the message says so.
    expect(engine, ["taskcli", "db", "upgrade"], 78, "set DATABASE_URL", user=_ARBITRARY)
    roots = folder / "mounted"
    roots.mkdir(mode=0o755)
    mounted = [(roots, "/data")]
    advice = r"chown -hR 10001:10001 /data"
    expect(engine, ["taskcli", "db", "upgrade"], 78, advice, volumes=mounted)
    shutil.chown(roots, 10001, 10001)
    with serving(engine, port, mounted) as url:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:  # noqa: S310 - our own
            assert answer.status == 200
        health = engine.health(IMAGE)
        expect(engine, health, 0, "", env={"SERVER_PORT": str(port)})
        expect(engine, health, 1, "refused", env={"SERVER_PORT": "1"})
    assert (roots / "postgres" / "cluster").exists()
    say("the server stopped, and its data are in the mounted folder")


def check_extras(engine: Engine, extras: Sequence[str]) -> None:
    for extra, module in _MODULES.items():
        code, says = (0, "") if extra in extras else (1, "ModuleNotFoundError")
        expect(engine, ["python", "-c", f"import {module}"], code, says)


def expect(
    engine: Engine,
    command: Sequence[str],
    code: int,
    says: str,
    *,
    user: str = _OWN,
    volumes: Sequence[tuple[Path, str]] = (),
    env: dict[str, str] | None = None,
) -> None:
    line = engine.run(command, user=user, volumes=volumes, env=env or {})
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=120)  # noqa: S603
    said = done.stdout + done.stderr
    assert (done.returncode == 0) is (code == 0), f"{command}: {done.returncode}, {said}"
    assert engine.hides_codes or done.returncode == code, f"{command}: {done.returncode}, {said}"
    assert re.search(says, said, re.MULTILINE), f"{command}: {said}"
    say(f"as {user}: {' '.join(command)[:60]}: {code}, as expected")


@contextmanager
def serving(engine: Engine, port: int, volumes: Sequence[tuple[Path, str]]) -> Iterator[str]:
    url = f"http://127.0.0.1:{port}"
    env = {"SERVER_PORT": str(port), "SERVER_HOST": "127.0.0.1"}
    line = engine.run(["taskcli", "serve"], user=_OWN, volumes=volumes, env=env)
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # noqa: S603
    try:
        deadline = time.monotonic() + _READY_WITHIN
        while True:
            with suppress(OSError), urllib.request.urlopen(f"{url}/livez", timeout=2):  # noqa: S310
                break
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline, "the server is not ready"
            time.sleep(0.2)
        say("as 10001:10001: taskcli serve answers")
        yield url
    finally:
        engine.stop(process)


if __name__ == "__main__":
    sys.exit(main())
