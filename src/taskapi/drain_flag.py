"""Whether this server is about to stop, as all of its processes see it.

With DRAIN_SECONDS (a setting: `settings.py`), `GracefulStop` in `taskcli/graceful_stop.py` calls
`begin` at the first SIGTERM, and stops the server so many seconds later. Meanwhile `/readyz`
answers 503 (`health.py`), and each response ends its connection (`exchange.py`).
"""

from mmap import PAGESIZE, mmap

_shared = mmap(-1, PAGESIZE)  # the workers are forked, and share it


def begin() -> None:
    """Runs in the main process, once.

    New connections are still accepted, until proxies have seen `/readyz` fail and send their
    requests elsewhere.
    """
    _shared[0] = 1


def is_draining() -> bool:
    return _shared[0] == 1
