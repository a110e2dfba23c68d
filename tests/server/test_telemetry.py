"""Traces and error reports of real servers: sent, bounded, and never in the way."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.api.served import serving
from tests.canaries import leaks
from tests.factories import PASSWORD
from tests.processes import eventually
from tests.server.receivers import Receiver, hanging
from tests.server.running import Api, free_port

TRACE = "0af7651916cd43dd8448eb211c80319c"
HEADERS = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
# What a bug looks like: an error that the core has none for, whose message holds what was typed.
BUG = """
CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN IF NEW.title LIKE 'canary%' THEN RAISE EXCEPTION '%', NEW.title; END IF; RETURN NEW; END $$;
CREATE TRIGGER broken BEFORE INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION broken();
"""


# In place of the packages: as if they were not installed, but for the line.
MISSING = """
import os
os.write(2, f"asked for {__name__}\\n".encode())
raise ModuleNotFoundError("it is not there", name=__name__)
"""


@pytest.fixture
def without_packages(tmp_path: Path) -> str:
    for name in ("opentelemetry", "sentry_sdk"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(MISSING)
    return str(tmp_path)


def test_what_is_off_is_not_imported(folder: Path, without_packages: str) -> None:
    with Api(folder, PYTHONPATH=without_packages, OTEL_SDK_DISABLED="true") as api:
        api.ready().register()
        assert api.stop() == 0
        assert "asked for" not in api.log


def test_what_is_not_installed_stops_the_start(tmp_path: Path, without_packages: str) -> None:
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "PYTHONPATH": without_packages}
    with Api(tmp_path / "server", **env) as api:
        assert api.exit_code() == 78
        said = "opentelemetry is not installed; run `pip install 'taskcore[otel]'`"
        assert f"OTEL_EXPORTER_OTLP_ENDPOINT: {said}" in api.log


def test_each_worker_sends_its_spans_and_the_log_names_their_trace(folder: Path) -> None:
    receiver = Receiver()
    with (
        receiver.listening() as port,
        Api(
            folder,
            WORKERS="2",
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}",
            OTEL_EXPORTER_OTLP_HEADERS="api-key=canary-key",
            OTEL_BSP_SCHEDULE_DELAY="100",
        ) as api,
    ):
        token = api.ready().register()
        both = set(api.workers)

        def all_have_sent() -> bool:
            api.call("GET", "/api/v1/tasks", token=token)  # on a new connection
            return {pid for pid, _ in receiver.spans()} == both

        assert eventually(all_have_sent, within=20)
        # At the end, what waits is sent.
        api.call("POST", "/api/v1/tasks", {"title": "canary"}, token=token, headers=HEADERS)
        assert api.stop() == 0
        spans = [span for _, span in receiver.spans() if span.trace_id.hex() == TRACE]
        names = [span.name for span in sorted(spans, key=lambda span: span.start_time_unix_nano)]
        assert names[:2] == ["POST /api/v1/tasks", "sessions.authenticate"]
        assert "tasks.create" in names
        assert f'"trace_id":"{TRACE}"' in api.log
        headers, _ = receiver.posted[0]
        assert headers["api-key"] == "canary-key"
        assert "canary" not in api.log
        told = b"".join(body for _, body in receiver.posted).decode(errors="replace")
        assert leaks(told) == []
        assert "canary" not in told
        assert "@example.org" not in told


@contextmanager
def broken(database_url: str, folder: Path, **env: str) -> Iterator[Api]:
    """A server, ready, in which a task whose title begins with `canary` is an unexpected error."""
    with serving(folder, database_url, **env) as api:
        with psycopg.connect(api.env["DATABASE_URL"], autocommit=True) as connection:
            connection.execute(BUG)
        yield api


@pytest.mark.parametrize("kind", [pytest.param("gone", marks=pytest.mark.long), "hanging"])
def test_a_receiver_that_is_away_neither_breaks_requests_nor_delays_the_stop(
    database_url: str, tmp_path: Path, kind: str
) -> None:
    with hanging() as hangs:
        place = f"127.0.0.1:{hangs if kind == 'hanging' else free_port()}"
        with broken(
            database_url,
            tmp_path / "server",
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{place}",
            OTEL_EXPORTER_OTLP_TIMEOUT="600",
            OTEL_BSP_MAX_QUEUE_SIZE="50",
            OTEL_BSP_MAX_EXPORT_BATCH_SIZE="50",
            SENTRY_DSN=f"http://key@{place}/1",
        ) as api:
            with api.client(token=api.register()) as client:
                statuses = {client.call("GET", "/api/v1/tasks").status for _ in range(100)}
                assert statuses == {200}
                failed = client.call("POST", "/api/v1/tasks", {"title": "canary"})
                assert failed.status == 500
            if kind == "hanging":  # as many as are sent, and as many as wait; the oldest are lost
                api.wait_for_log("Queue full, dropping Span")
            assert api.stop(within=20) == 0
            assert "killed" not in api.log


def test_an_unexpected_error_is_reported_once_and_tells_nothing_of_people(
    database_url: str, tmp_path: Path
) -> None:
    """LG-8: no request, header, variable or value; refusals are not reported at all."""
    receiver = Receiver()
    (tmp_path / ".env").write_text("SENTRY_ENVIRONMENT=trial")  # which the SDK does not read
    with (
        receiver.listening() as port,
        broken(database_url, tmp_path, SENTRY_DSN=f"http://key@127.0.0.1:{port}/1") as api,
    ):
        token = api.register()
        headers = {"Cookie": "a=canary", "User-Agent": "canary"}
        for path, body, status in [
            ("/api/v1/tasks", {"title": "canary one"}, 500),
            ("/api/v1/tasks", {"title": ""}, 422),
            ("/api/v1/tasks", {"title": 1}, 422),
            ("/api/v1/auth/login", {"email": "canary@example.org", "password": PASSWORD}, 401),
            ("/canary", None, 404),
        ]:
            answer = api.call("POST", path, body, token=token, headers=headers)
            assert answer.status == status
            if status == 500:
                request_id = answer.json["request_id"]
        assert api.stop() == 0  # and what waits is sent
        (event,) = receiver.errors()
        assert event["tags"] == {"request_id": request_id}
        assert event["environment"] == "trial"
        assert event["release"].startswith("taskcore@")
        (error,) = event["exception"]["values"]
        assert error["type"] == "Unexplained"
        assert "SQLSTATE P0001" in error["value"]
        frames = error["stacktrace"]["frames"]
        assert any(frame["module"].startswith("taskcore.") for frame in frames)
        assert not any("vars" in frame for frame in frames)
        assert not set(event) & {"request", "user", "breadcrumbs", "extra", "contexts", "modules"}
        told = b"".join(body for _, body in receiver.posted).decode()
        assert leaks(told) == []
        assert "canary" not in told.replace("canary%", "")
        assert "@example.org" not in told
