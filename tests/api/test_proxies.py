"""The client's address and scheme behind trusted proxies."""

from ipaddress import ip_network
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture

from taskapi.proxies import Proxies

OURS = Proxies([ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")])


def request(*headers: tuple[str, str], scheme: str = "http") -> Any:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers]
    return {"headers": raw, "scheme": scheme}


def forwarded(*values: str) -> Any:
    return request(*(("X-Forwarded-For", value) for value in values))


@pytest.mark.parametrize(
    ("peer", "values", "client"),
    [
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", ["6.6.6.6, 192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", ["6.6.6.6", "192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", ["192.0.2.1, 10.0.0.2, 10.0.0.3"], "192.0.2.1"),
        ("10.0.0.1", ["10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["192.0.2.1:80"], "192.0.2.1"),
        ("10.0.0.1", ["[2001:db9::1]:80"], "2001:db9::1"),
        ("10.0.0.1", ["[2001:db9::1]"], "2001:db9::1"),
        ("10.0.0.1", ["2001:db9::1"], "2001:db9::1"),
        ("10.0.0.1", ["::ffff:192.0.2.1"], "192.0.2.1"),
        ("::ffff:10.0.0.1", ["192.0.2.1"], "192.0.2.1"),
        ("2001:db8::5", ["192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", ["192.0.2.1, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.1, unknown, 10.0.0.7"], "10.0.0.7"),
        ("10.0.0.1", ["192.0.2.1,"], "10.0.0.1"),
        ("10.0.0.1", ["\u0661.2.3.4", ""], "10.0.0.1"),
        ("192.0.2.9", ["192.0.2.1"], "192.0.2.9"),
        ("192.0.2.9", ["10.0.0.1"], "192.0.2.9"),
        ("not an address", ["192.0.2.1"], None),
        (None, ["192.0.2.1"], None),
    ],
)
def test_the_last_untrusted_address_before_trusted_proxies_is_the_client(
    peer: str | None, values: list[str], client: str | None
) -> None:
    assert OURS.client(peer, forwarded(*values))[0] == client


@pytest.mark.parametrize(
    ("peer", "proto", "secure"),
    [
        ("10.0.0.1", ["https"], True),
        ("10.0.0.1", ["http"], False),
        ("10.0.0.1", [], False),
        ("10.0.0.1", ["https, http"], False),
        ("10.0.0.1", ["http", "https"], True),
        ("192.0.2.9", ["https"], False),
    ],
)
def test_only_a_trusted_proxy_is_believed_about_tls(
    peer: str,
    proto: list[str],
    secure: bool,  # noqa: FBT001 - a row of a table
) -> None:
    assert OURS.client(peer, request(*(("X-Forwarded-Proto", p) for p in proto)))[1] is secure


def test_tls_that_the_server_itself_terminates_counts() -> None:
    assert OURS.client("192.0.2.9", request(scheme="https"))[1] is True


def test_an_untrusted_proxy_is_logged_once() -> None:
    capture = LogCapture()
    structlog.configure(processors=[capture])
    proxies = Proxies([])
    for _ in range(3):
        proxies.client("10.0.0.1", forwarded())
        proxies.client("10.0.0.1", forwarded("192.0.2.1"))
    assert [entry["event"] for entry in capture.entries] == ["proxy.not_trusted"]


def test_of_a_long_list_of_hops_the_last_are_looked_at() -> None:
    for trusted, client in ((15, "192.0.2.1"), (16, "10.0.0.9"), (1000, "10.0.0.9")):
        hops = ", ".join(["192.0.2.1", *["10.0.0.9"] * trusted])
        assert OURS.client("10.0.0.1", forwarded(hops))[0] == client
