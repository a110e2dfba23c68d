"""The address of the client, also behind trusted proxies."""

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address

import structlog
from litestar.types import HTTPScope

from taskcore.domain.origins import Origin, address

log = structlog.get_logger("taskapi")

_MOST_HOPS = 16  # from the right
# `192.0.2.1:1234` and `[2001:db8::1]:1234`, as some proxies write it.
_WITH_PORT = re.compile(r"\[([^\]]*)\](?::[0-9]+)?|([0-9.]+):[0-9]+")


class Proxies:
    """Believes the forwarding headers of trusted proxies only.

    Each proxy appends the address of its peer to X-Forwarded-For. From the right, the first address
    that is not a trusted proxy is the client; the client may have invented all to its left.
    """

    def __init__(self, trusted: Sequence[IPv4Network | IPv6Network]) -> None:
        self._trusted = tuple(trusted)
        self._warned = False
        # Cached: the same few addresses recur.
        self._trusts = lru_cache(maxsize=4096)(self._is_trusted)
        self.stranger = lru_cache(maxsize=4096)(self._stranger)

    def client(self, peer: str | None, scope: HTTPScope) -> tuple[str | None, bool]:
        """The address of the client, and whether it uses TLS."""
        client = address(peer)
        if not self._trusts(client):
            self._warn_once(client, scope)
            return client, scope["scheme"] == "https"
        for hop in _last(scope, b"x-forwarded-for", _MOST_HOPS):
            previous = address(_without_port(hop))
            if previous is None:  # no trusted proxy writes this, so do not believe the rest either
                break
            client = previous
            if not self._trusts(client):
                break
        return client, _last(scope, b"x-forwarded-proto", 1) == ["https"]

    def _stranger(self, ip: str | None) -> Origin | None:
        """A client's origin, for the limits on it; None for a trusted proxy, which has none."""
        return None if self._trusts(ip) else Origin(ip)

    def _warn_once(self, peer: str | None, scope: HTTPScope) -> None:
        """All clients behind a proxy that is not trusted share one address and its rate limits."""
        if not self._warned and any(name == b"x-forwarded-for" for name, _ in scope["headers"]):
            self._warned = True
            log.warning("proxy.not_trusted", peer=peer, advice="is it yours? then TRUSTED_PROXIES")

    def _is_trusted(self, text: str | None) -> bool:
        return text is not None and any(ip_address(text) in network for network in self._trusted)


def _last(scope: HTTPScope, header: bytes, count: int) -> list[str]:
    """The last comma-separated items of a header, over all its lines, the last one first.

    The others are not looked at: 60 000 commas would take 3 ms.
    """
    lines = [value for name, value in scope["headers"] if name == header]
    if not lines:
        return []
    items = b",".join(lines).rsplit(b",", count)[: -count - 1 : -1]
    return [item.decode("latin-1").strip() for item in items]


def _without_port(hop: str) -> str:
    match = _WITH_PORT.fullmatch(hop)
    return (match[1] or match[2]) if match else hop
