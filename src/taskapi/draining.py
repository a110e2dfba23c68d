"""Whether this server is about to stop, as all of its processes see it."""

from mmap import PAGESIZE, mmap

_shared = mmap(-1, PAGESIZE)  # the workers are forked, and share it


def begin() -> None:
    """In the main process: from now on responses end their connection and `/readyz` fails.

    New connections are still accepted. Proxies so stop sending requests here, in their own time.
    """
    _shared[0] = 1


def is_draining() -> bool:
    return _shared[0] == 1
