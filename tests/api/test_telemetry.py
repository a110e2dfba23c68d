"""What is asked for is checked before a server starts."""

import os
import sys

import pytest

from taskapi import telemetry
from taskapi.telemetry.errors import ErrorReports
from taskcore import Misconfigured, Settings
from taskcore.settings import Secret

ENDPOINT, DSN = "OTEL_EXPORTER_OTLP_ENDPOINT", "SENTRY_DSN"
SOUND = {ENDPOINT: "http://127.0.0.1:4318", DSN: "https://key@sentry.example.org/1"}


def problems(monkeypatch: pytest.MonkeyPatch, **env: str) -> list[str]:
    for name in [name for name in os.environ if name.startswith(("OTEL_", "SENTRY_"))]:
        monkeypatch.delenv(name)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    try:
        telemetry.check(Settings.from_env({"DATA_DIR": "/nowhere", **env}))
    except Misconfigured as refusal:
        return list(refusal.problems)
    return []


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({ENDPOINT: "collector:4318"}, f"{ENDPOINT} must begin with http:// or https://"),
        ({ENDPOINT: "http://a:hunter2@b"}, f"{ENDPOINT} must begin"),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf",
        ),
        (
            {ENDPOINT: "http://a", "OTEL_TRACES_EXPORTER": "zipkin"},
            "OTEL_TRACES_EXPORTER must be otlp or none",
        ),
        (
            {ENDPOINT: "http://a", "OTEL_EXPORTER_OTLP_HEADERS": "a=b,Authorization: hunter2"},
            "OTEL_EXPORTER_OTLP_HEADERS must list name=value",
        ),
        (
            {ENDPOINT: "http://a", "OTEL_BSP_MAX_QUEUE_SIZE": "100"},
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE (512) must be from 1 to OTEL_BSP_MAX_QUEUE_SIZE",
        ),
        (
            {ENDPOINT: "http://a", "OTEL_BSP_SCHEDULE_DELAY": "0"},
            "OTEL_BSP_SCHEDULE_DELAY must be positive",
        ),
        ({DSN: "hunter2"}, f"{DSN} must be the DSN of a project"),
    ],
)
def test_a_value_that_does_not_fit_is_named_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], said: str
) -> None:
    (problem,) = problems(monkeypatch, **env)
    assert problem.startswith(said)
    assert "hunter2" not in problem


def test_sound_values_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    headers = "Authorization=Basic QQ==, x-key=a%20b,"
    assert problems(monkeypatch, **SOUND, OTEL_EXPORTER_OTLP_HEADERS=headers) == []
    # Where nothing is traced, other variables are for other programs.
    assert problems(monkeypatch, OTEL_EXPORTER_OTLP_PROTOCOL="grpc") == []


def test_only_a_few_errors_of_a_second_are_reported() -> None:
    now = 0.0
    reports = ErrorReports(Secret(""), clock=lambda: now)
    assert [reports._admits() for _ in range(7)] == [True] * 5 + [False] * 2
    now = 1.0
    assert reports._admits()


@pytest.mark.parametrize(
    ("variable", "package", "module", "extra"),
    [
        (ENDPOINT, "opentelemetry", "taskapi.telemetry.traces", "otel"),
        (DSN, "sentry_sdk", "taskapi.telemetry.errors", "sentry"),
    ],
)
def test_a_package_that_is_missing_is_told_with_the_extra_that_brings_it(
    monkeypatch: pytest.MonkeyPatch, variable: str, package: str, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # as if it were missing
    monkeypatch.delitem(sys.modules, module, raising=False)
    advice = f"{package} is not installed; run `pip install 'taskcore[{extra}]'`"
    assert problems(monkeypatch, **{variable: SOUND[variable]}) == [f"{variable}: {advice}"]
