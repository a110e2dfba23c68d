"""The client of a request: its address and user agent.

(Origins of CORS: `taskapi/cors.py`.)
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Self

# Longer user agents are cut, not refused: they are only recorded.
_MAX_USER_AGENT = 255
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# RFC 6177: an IPv6 subscriber gets at least a /64 of addresses, and up to a /48.
_SUBSCRIBER_BITS = 64
_SITE_BITS = 48


@dataclass(frozen=True, slots=True)
class Origin:
    """The client of a request, used only for rate limits and the audit log."""

    ip: str | None = None
    user_agent: str | None = None
    request_id: str | None = None

    @classmethod
    def new(
        cls, *, ip: str | None = None, user_agent: str | None = None, request_id: str | None = None
    ) -> Self:
        """An invalid address counts as unknown. The user agent is cut and cleaned."""
        agent = _UNPRINTABLE.sub(" ", user_agent or "")[:_MAX_USER_AGENT].strip()
        return cls(address(ip), agent or None, request_id)

    @property
    def network(self) -> str | None:
        """What rate limits count as one client: an IPv4 address or an IPv6 /64."""
        return _network(self.ip, _SUBSCRIBER_BITS) or self.ip

    @property
    def site(self) -> str | None:
        """The IPv6 /48, which one subscriber may hold, with its 65 536 networks. None for IPv4."""
        return _network(self.ip, _SITE_BITS)

    @property
    def subscriber(self) -> str | None:
        """What one subscriber may hold at most: an IPv4 address or an IPv6 /48."""
        return self.site or self.ip


NOWHERE = Origin()


@lru_cache(maxsize=4096)
def _network(ip: str | None, bits: int) -> str | None:
    return str(ip_network((ip, bits), strict=False)) if ip and ":" in ip else None


def address(text: str | None) -> str | None:
    """The canonical form of an IP address, `::ffff:192.0.2.1` as IPv4; None for anything else."""
    return _address(text) if text and len(text) <= _LONGEST else None


# No longer text is parsed: eight groups, with a `%` and the name of an interface, are shorter.
_LONGEST = 64


@lru_cache(maxsize=4096)
def _address(text: str) -> str | None:
    try:
        parsed = ip_address(text)
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address):
        return str(parsed.ipv4_mapped or IPv6Address(int(parsed)))  # drops the interface's name
    return str(parsed)
