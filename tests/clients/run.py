"""Generate clients from our document, compile them as they are, and let each tell its story.

    python -m tests.clients.run FOLDER BIN

FOLDER has in `node_modules` what package-lock.json lists, and BIN what requirements-clients.txt
lists; `make test-clients` installs both. What is generated stays in FOLDER/work, to look at.
The server is one of its own, on a new embedded PostgreSQL, and ends with the run.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.server.running import Api

HERE = Path(__file__).parent
# What is said, and the command. No step mends what another has written.
STEPS = (
    ("spectral", "spectral lint openapi.json --ruleset=spectral.yaml --fail-severity=warn"),
    ("redocly", "redocly lint openapi.json"),
    ("openapi-typescript", "openapi-typescript openapi.json -o openapi.d.ts"),
    ("@hey-api/openapi-ts", "openapi-ts -i openapi.json -o hey -c @hey-api/client-fetch"),
    (
        "openapi-python-client",
        (
            "openapi-python-client generate --path=openapi.json --output-path=taskcore_client"
            " --meta=none --config=python.yaml --fail-on-warning"
        ),
    ),
    ("tsc --strict", "tsc --project ."),
    ("mypy --strict", "mypy --strict taskcore_client python_client.py"),
    ("the story of openapi-fetch", "node build/openapi_fetch.js URL"),
    ("the story of @hey-api/openapi-ts", "node build/hey_api.js URL"),
    ("the story of openapi-python-client", "python python_client.py URL"),
)


def main(arguments: Sequence[str]) -> int:
    tools, python = (Path(each).absolute() for each in arguments)
    work = tools / "work"  # inside, because Node looks for `node_modules` above
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(HERE, work)
    paths = [tools / "node_modules/.bin", python, os.environ["PATH"]]
    environment = {
        "PATH": os.pathsep.join(map(str, paths)),
        "HOME": str(work),  # none of the caller's settings, and no reports to the tools' makers
        "REDOCLY_TELEMETRY": "off",
        "SCARF_ANALYTICS": "false",
    }
    # Not too deep: the path of a socket has a hundred characters at most.
    with tempfile.TemporaryDirectory(prefix="clients-", dir="/tmp") as folder:
        Path(folder).chmod(0o711)  # the database runs under an account of its own
        with Api(Path(folder) / "server") as api:
            api.ready()
            (work / "openapi.json").write_bytes(api.call("GET", "/api/v1/openapi.json").body)
            for what, command in STEPS:
                _say(what)
                words = command.replace("URL", f"http://127.0.0.1:{api.port}").split()
                done = subprocess.run(words, cwd=work, env=environment, check=False)  # noqa: S603
                if done.returncode:
                    _say(f"failed: {what}")
                    return 1
    _say("all clients work")
    return 0


def _say(sentence: str) -> None:
    sys.stderr.write(f"\n=== {sentence}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
