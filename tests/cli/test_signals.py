"""Signals end a command at any point, and handlers raise no exception."""

import signal
import subprocess
import sys

import pytest

from taskcli.graceful_stop import Wakeup
from tests.cli.programs import environment

# Each program sends SIGTERM to itself, or starts a thread that does.
IN_AN_IMPORT = """
import os, signal, sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from taskcli import signals

class Slow(MetaPathFinder, Loader):
    def find_spec(self, name, path, target=None):
        return ModuleSpec(name, self) if name == "slow" else None

    def exec_module(self, module):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            for _ in range(1000): pass
        finally:
            print("unwound inside the import", flush=True)

sys.meta_path.insert(0, Slow())
signals.end_at_once()
import slow
"""
WITH_A_THREAD_THAT_CONTINUES = """
import asyncio, os, signal, threading, time
from taskcli import signals

async def work():
    try:
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
        await asyncio.to_thread(time.sleep, 60)
    finally:
        print("cancelled", flush=True)

signals.end_at_once()
signals.run(work())
"""
TWICE = """
import asyncio, os, signal, threading, time
from taskcli import signals

async def work():
    os.kill(os.getpid(), signal.SIGTERM)
    try:
        await asyncio.sleep(60)
    finally:
        os.kill(os.getpid(), signal.SIGINT)
        print("still running", flush=True)

signals.end_at_once()
signals.run(work())
"""
TOO_LATE = """
import asyncio, os, signal, time
from taskcli import signals

async def work():
    os.kill(os.getpid(), signal.SIGTERM)
    return "the result"

print(signals.run(work()), flush=True)
time.sleep(2)  # longer than a cancelled command may take
"""


@pytest.mark.parametrize(
    ("program", "code", "output"),
    [
        (IN_AN_IMPORT, 143, ""),
        (WITH_A_THREAD_THAT_CONTINUES, 143, "cancelled\n"),
        (TWICE, 130, ""),
        (TOO_LATE, 0, "the result\n"),
    ],
    ids=[
        "no exception is raised within an import",
        "a thread that cannot be cancelled is abandoned",
        "a second signal ends it at once",
        "the result of finished work is printed",
    ],
)
def test_a_signal_ends_the_process(program: str, code: int, output: str) -> None:
    done = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-c", program],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, output, "")


def test_a_handler_may_set_the_wakeup_at_any_moment() -> None:
    # A `threading.Event` fails here: its lock is not reentrant.
    wakeup = Wakeup()
    before = signal.signal(signal.SIGALRM, lambda *_: wakeup.set())
    signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
    try:
        for _ in range(3000):
            wakeup.clear()
            wakeup.wait()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
