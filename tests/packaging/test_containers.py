"""The Dockerfile and the compose file, checked without a container engine."""

import json
import re
import sys
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from taskcli.graceful_stop import REQUESTS_FINISH_WITHIN
from taskcore import Settings
from tests.packaging.conftest import ROOT, run
from tests.server.running import Api, free_port

Instruction = tuple[str, str]


@pytest.fixture(scope="module")
def stages() -> list[list[Instruction]]:
    """The instructions of each stage, beginning with FROM; those before the first are left out."""
    text = (ROOT / "Dockerfile").read_text()
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    by_stage: list[list[Instruction]] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            by_stage.append([])
        if by_stage:
            by_stage[-1].append((word, re.sub(r"\s+", " ", rest.strip())))
    return by_stage


@pytest.fixture(scope="module")
def image(stages: list[list[Instruction]]) -> list[Instruction]:
    """The instructions of the last stage, which becomes the image."""
    return stages[-1]


def argument(instructions: list[Instruction], word: str) -> str:
    """What follows the only instruction of that name."""
    (rest,) = (rest for name, rest in instructions if name == word)
    return rest


def test_both_stages_have_the_same_base(stages: list[list[Instruction]]) -> None:
    assert [stage[0][1].partition(" AS ")[0] for stage in stages] == ["${BASE}"] * 2
    base = re.search(r"^ARG BASE=(.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert base
    assert re.fullmatch(r"python:3\.1[1-9]-slim-(bookworm|trixie)", base[1])


def test_dependencies_have_their_own_layer_and_are_checked_by_hash(
    stages: list[list[Instruction]],
) -> None:
    steps = [(word, rest) for word, rest in stages[0] if word in ("COPY", "RUN")]
    assert steps[0] == ("COPY", "requirements.txt requirements-telemetry.txt ./")
    assert "--require-hashes" in steps[1][1]
    # Later steps download nothing, and install nothing as editable.
    installs = [rest for word, rest in steps[2:] if word == "RUN"]
    assert installs
    for rest in installs:
        commands = [c for c in rest.split("&&") if re.search(r"pip .*\b(install|wheel)\b", c)]
        assert commands
        assert all("--no-index" in command for command in commands)
        assert not re.search(r"\s(-e|--editable)\b", rest)


def test_the_image_has_the_program_and_no_build_tools(image: list[Instruction]) -> None:
    copies = [rest for word, rest in image if word == "COPY"]
    assert copies == ["--from=build /app /app"]
    runs = " ".join(rest for word, rest in image if word == "RUN")
    assert not re.search(r"\b(apt|apt-get|pip|gcc|make|curl|wget)\b", runs)


def test_it_runs_as_a_numeric_user_other_than_root(image: list[Instruction]) -> None:
    uid, _, gid = argument(image, "USER").partition(":")
    assert int(uid) > 0
    assert int(gid) > 0
    assert [word for word, _ in image].index("USER") > [w for w, _ in image].index("COPY")


def test_any_user_may_enter_its_working_directory_and_group_0_the_data(
    image: list[Instruction],
) -> None:
    assert argument(image, "WORKDIR") == "/app"  # made by the build, for everyone to read
    runs = " ".join(rest for word, rest in image if word == "RUN")
    assert "install --directory --mode 0770 --owner 10001 --group 0 /data" in runs


def test_it_listens_on_all_addresses_and_receives_signals_directly(
    image: list[Instruction],
) -> None:
    assert "SERVER_HOST=0.0.0.0" in argument(image, "ENV")
    assert json.loads(argument(image, "CMD")) == ["taskcli", "serve"]
    assert "ENTRYPOINT" not in [word for word, _ in image]
    assert argument(image, "EXPOSE") == "8000"


def test_no_secret_is_built_in(image: list[Instruction]) -> None:
    text = " ".join(rest for word, rest in image if word in ("ENV", "ARG", "LABEL"))
    assert not re.search(r"SECRET|PASSWORD|DATABASE_URL", text)


def test_it_is_labelled(image: list[Instruction]) -> None:
    labels = " ".join(rest for word, rest in image if word == "LABEL")
    for name in ("title", "description", "version", "licenses"):
        assert f"org.opencontainers.image.{name}=" in labels


def test_its_health_check_fails_without_a_server(image: list[Instruction], served: Api) -> None:
    command = json.loads(argument(image, "HEALTHCHECK").partition("CMD ")[2])
    assert command[0] == "python"
    for port, healthy in ((served.port, True), (free_port(), False)):
        done = run(sys.executable, *command[1:], SERVER_PORT=str(port))
        assert (done.returncode == 0) is healthy, done.stderr


def test_the_builder_receives_exactly_what_is_copied(
    stages: list[list[Instruction]],
) -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"  # excludes by default what is not listed, such as .env
    sent = {rule[1:] for rule in rules if rule.startswith("!")}
    copied = {
        source.removeprefix("./")
        for word, rest in stages[0]
        if word == "COPY"
        for source in rest.split()[:-1]
    }
    assert copied == sent, "list the copied paths in .dockerignore, each after a `!`"
    assert all((ROOT / name).exists() for name in sent)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


def test_the_api_and_postgresql_are_published_on_the_loopback_address(
    compose: dict[str, Any],
) -> None:
    ports = {name: service.get("ports", []) for name, service in compose["services"].items()}
    api = "${API_ADDRESS:-127.0.0.1}:${API_PORT:-8000}:8000"
    assert ports == {"api": [api], "migrate": [], "db": ["127.0.0.1:5432:5432"]}


def test_every_setting_of_the_readme_is_passed_on(compose: dict[str, Any]) -> None:
    table = (ROOT / "README.md").read_text().partition("| variable | default | |")[2]
    rows = re.findall(r"^\|([^|]+)\|", table.partition("\n\n")[0], re.MULTILINE)
    documented = {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)}
    assert len(documented) > 20
    # The image says where it listens. There is no folder for data: a database of its own has them.
    fixed = {"SERVER_HOST", "SERVER_PORT", "DATA_DIR"}
    # What the settings know and the table does not.
    known = set(Settings.from_env({"DATA_DIR": "/nowhere"}).shown())
    passed = compose["services"]["api"]["environment"]
    assert set(passed) == (documented | known) - fixed, "list it under `api` in docker-compose.yml"
    for name in set(passed) - {"DATABASE_URL", "SECRET_KEY"}:
        assert re.fullmatch(rf"\$\{{{name}:-\d*\}}", passed[name]), name


def test_its_settings_are_those_that_the_server_has_without_them(compose: dict[str, Any]) -> None:
    passed = compose["services"]["api"]["environment"]
    names = set(passed) - {"DATABASE_URL", "SECRET_KEY", "WORKERS"}
    empty = {"DATA_DIR": "/nowhere", **dict.fromkeys(names, "")}
    assert Settings.from_env(empty) == Settings.from_env({"DATA_DIR": "/nowhere"})


def test_secrets_have_no_default(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for name, value in service["environment"].items():
            if name == "SECRET_KEYS_OLD":  # none
                continue
            if re.search(r"SECRET|PASSWORD", name):
                assert re.fullmatch(r"\$\{[A-Z_]+:\?[^}]+\}", value), name
            assert not re.search(r"://[^@/:]*:(?!\$\{)[^@/]*@", str(value)), name
    api = compose["services"]["api"]["environment"]
    assert {"DATABASE_URL", "SECRET_KEY"} <= set(api)


def test_the_api_starts_after_the_migration(compose: dict[str, Any]) -> None:
    services = compose["services"]
    healthy = {"condition": "service_healthy"}
    assert services["migrate"]["command"] == ["taskcli", "db", "upgrade"]
    assert services["migrate"]["restart"] == "no"
    assert services["migrate"]["depends_on"] == {"db": healthy}
    assert services["api"]["depends_on"] == {
        "db": healthy,
        "migrate": {"condition": "service_completed_successfully"},
    }
    assert all("healthcheck" in services[name] for name in ("api", "db"))
    # `up --wait` takes `migrate` for a service that has failed, unless another one waits for its
    # success; that one it does wait for, until it is healthy.
    assert services["api"]["depends_on"]["migrate"]["condition"].endswith("successfully")


def test_the_health_check_of_the_api_passes_on_a_server(
    compose: dict[str, Any], served: Api
) -> None:
    kind, program, *arguments = compose["services"]["api"]["healthcheck"]["test"]
    assert (kind, program) == ("CMD", "python")
    local = [word.replace("127.0.0.1:8000", f"127.0.0.1:{served.port}") for word in arguments]
    assert local != arguments
    assert run(sys.executable, *local).returncode == 0


def test_the_data_is_in_a_named_volume(compose: dict[str, Any]) -> None:
    # The image of PostgreSQL 18 keeps its data one folder higher than earlier ones.
    assert compose["services"]["db"]["volumes"] == ["database:/var/lib/postgresql"]
    assert "database" in compose["volumes"]


def test_containers_have_few_rights_and_enough_time_to_stop(
    compose: dict[str, Any],
) -> None:
    for name in ("api", "migrate"):
        service = compose["services"][name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["init"] is True
    grace = int(compose["services"]["api"]["stop_grace_period"].removesuffix("s"))
    assert grace > REQUESTS_FINISH_WITHIN + 8  # DRAIN_SECONDS, as docs/deployment.md proposes
