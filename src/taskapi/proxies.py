"""The address of the client, also behind trusted proxies."""

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address

import structlog
from litestar.types import HTTPScope

from taskcore.domain.origins import Origin, address

log = structlog.get_logger("taskapi")

_MOST_HOPS = 16  # from the right; to look at each takes time
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
        hops = _values(scope, b"x-forwarded-for")
        if not self._trusts(client):
            self._warn_once(client, hops)
            return client, scope["scheme"] == "https"
        for hop in hops[: -_MOST_HOPS - 1 : -1]:
            previous = address(_without_port(hop))
            if previous is None:  # no trusted proxy writes this, so do not believe the rest either
                break
            client = previous
            if not self._trusts(client):
                break
        return client, _values(scope, b"x-forwarded-proto")[-1:] == ["https"]

    def _stranger(self, ip: str | None) -> Origin | None:
        """A client's origin, for the limits on it; None for a trusted proxy, which has none."""
        return None if self._trusts(ip) else Origin(ip)

    def _warn_once(self, peer: str | None, hops: Sequence[str]) -> None:
        """All clients behind a proxy that is not trusted share one address and its rate limits."""
        if hops and not self._warned:
            self._warned = True
            log.warning("proxy.not_trusted", peer=peer, advice="is it yours? then TRUSTED_PROXIES")

    def _is_trusted(self, text: str | None) -> bool:
        return text is not None and any(ip_address(text) in network for network in self._trusted)


def _values(scope: HTTPScope, header: bytes) -> list[str]:
    """The comma-separated items of a header, over all its lines, in order."""
    lines = [value.decode("latin-1") for name, value in scope["headers"] if name == header]
    return [item.strip() for item in ",".join(lines).split(",")] if lines else []


def _without_port(hop: str) -> str:
    match = _WITH_PORT.fullmatch(hop)
    return (match[1] or match[2]) if match else hop
