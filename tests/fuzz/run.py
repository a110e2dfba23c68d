"""schemathesis against a server of its own: every phase, every check, several seeds.

    python -m tests.fuzz.run [examples per operation]

Runs once per seed with an administrator's token, and once with a user's.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.factories import PASSWORD
from tests.server.running import Api

SEEDS = (1, 2, 3)
EXAMPLES = 50
ALL = "examples,coverage,fuzzing,stateful"
HERE = Path(__file__).parent
# In no example of the document, so that no generated body deletes or locks out this account.
_OWN_PASSWORD = "the password of the one who asks"
_SCHEMATHESIS = [sys.executable, "-m", "schemathesis.cli"]


def main(arguments: Sequence[str]) -> int:
    examples = int(arguments[0]) if arguments else EXAMPLES
    # Not too deep: the path of a socket has a hundred characters at most.
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir="/tmp") as folder:
        Path(folder).chmod(0o711)  # the database runs under an account of its own
        with Api(Path(folder) / "server") as api:
            api.ready()
            codes = [fuzz(api, "user", examples, SEEDS[0])]
            codes += [fuzz(api, "admin", examples, seed) for seed in SEEDS]
            clean = not server_faults(api)
    if not clean:
        _say("the server's log has errors")
    return 0 if clean and not any(codes) else 1


def fuzz(api: Api, role: str, examples: int, seed: int, phases: str = ALL) -> int:
    """The exit code; not 0 either when the account that asked did not survive."""
    email = f"{role}-{seed}@fuzz.example.org"
    own_id = _create(api, email, role)
    # The account that the document's own examples log in to.
    api.call("POST", "/api/v1/auth/register", {"email": "ada@example.org", "password": PASSWORD})
    _create(api, f"short-lived-{role}-{seed}@fuzz.example.org", role)
    token = _log_in(api, email)
    _say(f"as {role}, seed {seed}, {examples} examples")
    code = subprocess.run(  # noqa: S603 - ours
        [
            *_SCHEMATHESIS,
            f"--config-file={HERE / 'schemathesis.toml'}",
            "run",
            f"http://127.0.0.1:{api.port}/api/v1/openapi.json",
            "--checks=all",
            f"--phases={phases}",
            f"--max-examples={examples}",
            f"--seed={seed}",
            "--request-timeout=10",
            "--continue-on-failure",
            "--output-sanitize=true",
        ],
        cwd=api.data_dir.parent,
        env={
            **os.environ,
            "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks",
            "PYTHONPATH": str(HERE.parents[1]),
            "FUZZ_OWN_ID": str(own_id),
            "FUZZ_REGISTER": f"http://127.0.0.1:{api.port}/api/v1/auth/register",
            "FUZZ_TOKEN": token,
            "FUZZ_SHORT_LIVED_TOKEN": _log_in(api, f"short-lived-{email}"),
        },
        check=False,
    ).returncode
    survived = api.call("GET", "/api/v1/auth/me", token=token)
    if survived.status != 200 or survived.json["role"] != role:
        _say("the account that asked did not survive: most answers were 401")
        return 1
    return code


def server_faults(api: Api) -> list[str]:
    return [line for line in api.log.splitlines() if '"level":"error"' in line]


def _create(api: Api, email: str, role: str) -> int:
    """Create it by the operator, as the first administrator is made, beside the running server."""
    made = subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-m", "taskcli", "users", "create", "--json",
         f"--email={email}", f"--role={role}", "--password-stdin"],
        cwd=api.data_dir.parent,
        env=api.env,
        input=f"{_OWN_PASSWORD}\n",
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    user_id: int = json.loads(made.stdout)["id"]
    return user_id


def _log_in(api: Api, email: str) -> str:
    body = {"email": email, "password": _OWN_PASSWORD}
    token: str = api.call("POST", "/api/v1/auth/login", body).json["access_token"]
    return token


def _say(sentence: str) -> None:
    sys.stderr.write(f"\n=== {sentence}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
