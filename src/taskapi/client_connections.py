"""The TCP connections of this process: how many one client may hold, how long it may not read."""

import asyncio
import math
import os
import socket
import struct
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import structlog

from taskapi.proxies import Proxies
from taskcore.domain.origins import Origin, address

log = structlog.get_logger("taskapi")

# Half of IN_FLIGHT, so that no client can have all places. A browser opens six.
PER_CLIENT = 128
_PER_SITE = 4 * PER_CLIENT  # of an IPv6 /48, which one subscriber may hold
UNREAD_WITHIN = 10  # seconds that a client may take nothing of a response
_UNSENT_BYTES = 131072  # of a connection, in the kernel; it would take 4 MB by default
_EVERY = 0.2  # seconds; a client opens some two thousand connections meanwhile
_LOGGED_EVERY = 60  # seconds
_FILES = Path("/proc/self/fd") if Path("/proc/self/fd").exists() else Path("/dev/fd")
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: discard what was not sent

# The number of an open file is reused after a close. With its inode it stays unique.
_File = tuple[int, int]


class Connections:
    """Resets the newest connections of a client that holds more than PER_CLIENT.

    Granian has no limit per client: one client could open so many that those of others are not
    accepted. So this class looks at the open files of the process. A client is an IPv4 address or
    an IPv6 /64; trusted proxies are exempt. What is remembered is bounded by the number of open
    files.
    """

    def __init__(self, proxies: Proxies) -> None:
        self._proxies = proxies
        self._ports: set[int] = set()  # on which this process listens
        self._peers: dict[_File, Origin | None] = {}  # oldest first; None for any other file
        self._logged_at = -math.inf

    async def watch(self) -> None:
        """Runs until it is cancelled."""
        while True:
            # Until a listening socket is found, connections have no write deadline.
            await asyncio.sleep(_EVERY if self._ports else _EVERY / 10)
            with suppress(OSError):  # no file may be free to read the list with
                self._look()

    def _look(self) -> None:
        numbers = os.listdir(_FILES)  # noqa: PTH208 - its cost matters
        if self._ports and len(numbers) <= PER_CLIENT:
            return
        if not self._ports:
            self._peers.clear()  # a socket that was seen before the server began to listen on it
        files = {file for number in numbers if (file := _file(int(number)))}
        self._peers = {file: peer for file, peer in self._peers.items() if file in files}
        for file in sorted(files - self._peers.keys()):
            self._peers[file] = self._inspect(file)
        held: Counter[str | None] = Counter()
        for file, peer in self._peers.items():
            if peer is None:
                continue
            held[peer.network] += 1
            held[peer.site] += peer.site is not None
            if held[peer.network] > PER_CLIENT or held[peer.site] > _PER_SITE:
                self._reset(file, peer)

    def _inspect(self, file: _File) -> Origin | None:
        """The client of a client's connection, else None. A listening socket gets its options."""
        with suppress(OSError), _socket(file) as found:
            if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                self._ports.add(found.getsockname()[1])
                _limit_unread(found)
            elif self._is_accepted(found):
                _limit_unread(found)  # it may have come before the listening socket was found
                return self._client(found)
        return None

    def _is_accepted(self, connection: socket.socket) -> bool:
        is_tcp = connection.family in {socket.AF_INET, socket.AF_INET6}
        return is_tcp and connection.getsockname()[1] in self._ports

    def _client(self, connection: socket.socket) -> Origin | None:
        """None for a trusted proxy, and for what is no client's connection."""
        if not self._is_accepted(connection):
            return None
        return self._proxies.stranger(address(connection.getpeername()[0]))

    def _reset(self, file: _File, peer: Origin) -> None:
        with suppress(OSError), _socket(file) as connection:
            if self._client(connection) == peer:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                connection.shutdown(socket.SHUT_RDWR)  # the server sees an end, and closes
                self._log(peer)

    def _log(self, peer: Origin) -> None:
        now = time.monotonic()
        if now - self._logged_at >= _LOGGED_EVERY:
            self._logged_at = now
            advice = "is it your proxy? then TRUSTED_PROXIES"
            log.warning("connections.reset", client=peer.ip, allowed=PER_CLIENT, advice=advice)


def _limit_unread(found: socket.socket) -> None:
    """Limits a connection, or those accepted from now on, where the system has these options."""
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # Linux also counts the time in which the client's window stays shut.
        milliseconds = UNREAD_WITHIN * 1000
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)


def _file(number: int) -> _File | None:
    try:
        return number, os.fstat(number).st_ino
    except OSError:  # closed meanwhile
        return None


def _socket(file: _File) -> socket.socket:
    """A duplicate. Raises OSError if the file is no socket, or is closed.

    The server's threads may close a file at any time, and a new file then gets its number. A
    duplicate stays open, so what is found out about it stays true.
    """
    duplicate = os.dup(file[0])
    try:
        return socket.socket(fileno=duplicate)
    except OSError:
        os.close(duplicate)
        raise
