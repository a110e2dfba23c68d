"""Where requests come from, as far as whoever passes them on knows."""

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Self

# What a user agent may say of itself. Longer ones are cut, not refused: it is only noted down.
_MAX_USER_AGENT = 255
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# A subscriber of IPv6 has at least so many bits to choose addresses from (RFC 6177).
_SUBSCRIBER_BITS = 64
_SITE_BITS = 48


@dataclass(frozen=True, slots=True)
class Origin:
    """Nothing is decided by it but how often somebody may try; it is noted in the audit."""

    ip: str | None = None
    user_agent: str | None = None
    request_id: str | None = None

    @classmethod
    def new(
        cls, *, ip: str | None = None, user_agent: str | None = None, request_id: str | None = None
    ) -> Self:
        """What is no address counts as unknown; a user agent is cut and cleaned."""
        agent = _UNPRINTABLE.sub(" ", user_agent or "")[:_MAX_USER_AGENT].strip()
        return cls(address(ip), agent or None, request_id)

    @property
    def network(self) -> str | None:
        """What counts as one place: an address, and with IPv6 the /64 that it lies in."""
        return _network(self.ip, _SUBSCRIBER_BITS) or self.ip

    @property
    def site(self) -> str | None:
        """The /48 that one customer of IPv6 may have, with 65 536 places in it. IPv4 has none."""
        return _network(self.ip, _SITE_BITS)


NOWHERE = Origin()


def _network(ip: str | None, bits: int) -> str | None:
    return str(ip_network((ip, bits), strict=False)) if ip and ":" in ip else None


@lru_cache(maxsize=4096)
def address(text: str | None) -> str | None:
    """An IP address as it is written here, `::ffff:192.0.2.1` as IPv4; None for anything else."""
    try:
        found = ip_address(text or "")
    except ValueError:
        return None
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped:
            return str(found.ipv4_mapped)
        return str(IPv6Address(int(found)))  # without the name of an interface
    return str(found)
