"""Names and addresses of settings, spelled as those of requests are: else they never match."""

import re
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from urllib.parse import urlsplit

IPNetwork = IPv4Network | IPv6Network

_MAPPED_BITS = 96  # `::ffff:0:0/96` holds the IPv4 addresses
_DEFAULT_PORTS = {"http": 80, "https": 443}
_ORIGIN = re.compile(r"https?://([a-z0-9.\-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_HOST = re.compile(r"[a-z0-9.\-]+|\[[0-9a-f:.]+\]")
# By the URL Standard a host that ends so is an IPv4 address, such as `127.1` or `0x7f000001`.
_NUMERIC = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)\.?")


def network(text: str) -> IPNetwork:
    """The network or address, of IPv4 also where it is written as IPv6. Raises ValueError."""
    found = ip_network(text)
    if isinstance(found, IPv6Network) and found.prefixlen >= _MAPPED_BITS:
        mapped = found.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((int(mapped), found.prefixlen - _MAPPED_BITS))
    return found


def host(text: str) -> str:
    """A host name or an address in a URL, as a browser spells it. Raises ValueError."""
    text = text.lower()
    if not _HOST.fullmatch(text):
        raise ValueError(text)
    if text.startswith("["):
        address = IPv6Address(text[1:-1])
        if (mapped := address.ipv4_mapped) is not None:
            return f"[::ffff:{int(mapped) >> 16:x}:{int(mapped) & 0xFFFF:x}]"
        return f"[{address.compressed}]"
    return str(IPv4Address(text)) if _NUMERIC.fullmatch(text) else text


def origin(text: str) -> str:
    """A web origin as browsers send it: without the default port. Raises ValueError."""
    if not _ORIGIN.fullmatch(text):
        raise ValueError(text)
    url = urlsplit(text)
    if url.port == 0:
        raise ValueError(text)
    named = url.netloc.rpartition(":")[0] if url.port else url.netloc
    port = "" if url.port in {None, _DEFAULT_PORTS[url.scheme]} else f":{url.port}"
    return f"{url.scheme}://{host(named)}{port}"


def listening(text: str) -> tuple[str, int]:
    """The host and the port of `host:port`, an IPv6 address in brackets. Raises ValueError."""
    named, _, port = text.rpartition(":")
    number = int(port) if re.fullmatch(r"[0-9]{1,5}", port) else 0
    if not 0 < number < 65536:  # noqa: PLR2004 - of TCP
        raise ValueError(text)
    return host(named).strip("[]"), number


def in_url(address: str) -> str:
    """An address or a host name as a URL has it: that of IPv6 in brackets."""
    return f"[{address.replace('%', '%25')}]" if ":" in address else address


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
