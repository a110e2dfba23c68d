"""Who asks, where proxies stand between."""

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address

import structlog
from litestar.types import HTTPScope

from taskcore.domain.origins import address

log = structlog.get_logger("taskapi")

# `192.0.2.1:1234` and `[2001:db8::1]:1234`, as some proxies write it.
_WITH_PORT = re.compile(r"\[([^\]]*)\](?::[0-9]+)?|([0-9.]+):[0-9]+")


class Proxies:
    """What the trusted ones say is believed, and nothing else.

    Each proxy adds whom it was asked by at the right end of X-Forwarded-For. Everything to the left
    of the first address that is none of ours is the client's own invention.
    """

    def __init__(self, trusted: Sequence[IPv4Network | IPv6Network]) -> None:
        self._trusted = tuple(trusted)
        self._mentioned = False
        # The same few come over and over.
        self._trusts = lru_cache(maxsize=4096)(self._is_ours)

    def client(self, peer: str | None, scope: HTTPScope) -> tuple[str | None, bool]:
        """The address of whoever asks, and whether they came over TLS."""
        found = address(peer)
        hops = _values(scope, b"x-forwarded-for")
        if not self._trusts(found):
            self._mention(found, hops)
            return found, scope["scheme"] == "https"
        for hop in reversed(hops):
            named = address(_without_port(hop))
            if named is None:  # not from a proxy of ours, so nothing before it is either
                break
            found = named
            if not self._trusts(named):
                break
        return found, _values(scope, b"x-forwarded-proto")[-1:] == ["https"]

    def _mention(self, peer: str | None, hops: Sequence[str]) -> None:
        """Once: a proxy that is not named here makes all its clients one, who share its limits."""
        if hops and not self._mentioned:
            self._mentioned = True
            log.warning("proxy.not_trusted", peer=peer, advice="is it yours? then TRUSTED_PROXIES")

    def _is_ours(self, text: str | None) -> bool:
        return text is not None and any(ip_address(text) in network for network in self._trusted)


def _values(scope: HTTPScope, wanted: bytes) -> list[str]:
    """The items of a header that may come several times, in order."""
    lines = [value.decode("latin-1") for name, value in scope["headers"] if name == wanted]
    return [item.strip() for item in ",".join(lines).split(",")] if lines else []


def _without_port(hop: str) -> str:
    match = _WITH_PORT.fullmatch(hop)
    return (match[1] or match[2]) if match else hop
