"""The sheets that workers count on: exact over all of them, and over those that were killed."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable

from taskapi.metrics.exposition import exposition
from taskapi.metrics.recorder import Recorder
from taskapi.metrics.sheets import FRESH, OTHERS, ROWS, Sheets
from tests.metrics.told import told

TASKS = ("GET", "/api/v1/tasks", 200)
REQUESTS = 'taskcore_requests_total{method="GET",route="/api/v1/tasks",status="200"}'
SERVED = 'taskcore_requests_active{state="served"}'


def in_worker(work: Callable[[], None]) -> None:
    """Run it in a process that is forked, and then killed."""

    def end() -> None:
        work()
        os.kill(os.getpid(), signal.SIGKILL)

    process = multiprocessing.get_context("fork").Process(target=end)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def test_a_worker_that_replaces_a_killed_one_counts_on() -> None:
    sheets = Sheets(1)

    def work() -> None:
        recorder = Recorder(sheets.claim())
        for _ in range(3):
            recorder.request(*TASKS, seconds=0.002)
        recorder.publish({"refused:storm": 5, "requests_active:served": 7})

    for _ in range(4):
        in_worker(work)
    recorder = Recorder(sheets.claim())
    found = told(exposition(sheets))
    assert found[REQUESTS] == 12
    assert found['taskcore_refused_total{reason="storm"}'] == 20
    assert found["taskcore_worker_starts_total"] == 5
    assert found[SERVED] == 0
    recorder.publish({"requests_active:served": 2})
    assert told(exposition(sheets))[SERVED] == 2
    assert sum(1 for sheet in sheets if list(sheet.rows())) == 1


def test_workers_at_the_same_time_have_sheets_of_their_own() -> None:
    sheets = Sheets(1)
    first = Recorder(sheets.claim())
    first.request(*TASKS, seconds=0.2)
    first.publish({"requests_active:served": 1, "pool_away": 1, "rows:tasks": 7})

    def work() -> None:
        second = Recorder(sheets.claim())
        second.request(*TASKS, seconds=0.1)
        second.publish({"requests_active:served": 2, "pool_away": 0, "rows:tasks": 8})

    in_worker(work)
    found = told(exposition(sheets))
    assert found[REQUESTS] == 2
    assert found["taskcore_workers"] == 2
    assert found[SERVED] == 3
    assert found["taskcore_pool_away"] == 1
    assert found['taskcore_rows{table="tasks"}'] == 8


def test_what_a_worker_held_is_forgotten_when_it_stops_or_is_silent() -> None:
    sheets = Sheets(1)
    sheet = sheets.claim()
    recorder = Recorder(sheet)
    recorder.request(*TASKS, seconds=0.2)
    recorder.publish({"requests_active:served": 1})
    sheet.cells[sheet._published] = time.monotonic() - FRESH - 1
    found = told(exposition(sheets))
    assert found["taskcore_workers"] == 0
    assert SERVED not in found
    assert found[REQUESTS] == 1
    recorder.publish({})
    assert told(exposition(sheets))[SERVED] == 1
    sheet.retire()
    assert SERVED not in told(exposition(sheets))


def test_a_full_sheet_counts_the_rest_in_one_row() -> None:
    sheets = Sheets(1)
    recorder = Recorder(sheets.claim())
    for number in range(ROWS + 50):
        recorder.request("GET", f"/{number}", 200, 0.2)
    found = told(exposition(sheets))
    requests = {name: n for name, n in found.items() if name.startswith("taskcore_requests_total")}
    assert sum(requests.values()) == ROWS + 50
    other = 'taskcore_requests_total{method="other",route="other",status="other"}'
    assert 50 < requests[other] < 60
    assert any(name == OTHERS for name, _ in sheets.claim().rows())


def test_methods_that_no_route_has_are_one() -> None:
    sheets = Sheets(1)
    recorder = Recorder(sheets.claim())
    for method in ("BREW", "PROPFIND", "X" * 300):
        recorder.request(method, "unmatched", 405, 0.2)
    found = told(exposition(sheets))
    assert found['taskcore_requests_total{method="other",route="unmatched",status="405"}'] == 3
