"""What a process finds among its open files. `tests/server` has the rest, with real clients."""

import socket

from taskapi.client_connections import UNREAD_WITHIN, Connections
from taskapi.proxies import Proxies


def _limit(found: socket.socket) -> int:
    return found.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)


def test_a_socket_that_listens_later_is_found() -> None:
    """Else a worker that looks early would limit nothing, for as long as it lives."""
    connections = Connections(Proxies(()))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        connections._look()
        listening.listen()
        connections._look()
        assert _limit(listening) == UNREAD_WITHIN * 1000


def test_a_connection_that_came_before_the_first_look_has_a_write_deadline() -> None:
    with socket.socket() as listening, socket.socket() as client:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        client.connect(listening.getsockname())
        accepted, _ = listening.accept()
        with accepted:
            Connections(Proxies(()))._look()
            assert [_limit(each) for each in (accepted, client)] == [UNREAD_WITHIN * 1000, 0]
