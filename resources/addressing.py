"""Addresses and netmasks as people write them → canonical text, prefix lengths, networks.

The same few texts are read again in every pass: what was made of them is kept.
"""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

from reconciler.asks import Address


@lru_cache(maxsize=65536)
def canonical(text: str) -> str:
    """An address literal in the kernel's spelling; "" when it is none."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""


@lru_cache(maxsize=65536)
def network(text: str) -> str:
    """A network or host in the kernel's spelling, "default" for all; "" when it is none."""
    if text == "default":
        return text
    try:
        found = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return ""
    return "default" if found.prefixlen == 0 else str(found)


def is_v6(text: str) -> bool:
    return ":" in text


@lru_cache(maxsize=65536)
def prefix_length(netmask: str | int, ip: str) -> int | None:
    """A prefix (24, "24", "/24") or dotted mask as a prefix; None when it does not fit the address."""
    text = str(netmask).strip().removeprefix("/")
    if "." in text and not is_v6(ip):
        try:
            made = ipaddress.ip_network(f"0.0.0.0/{text}")
        except ValueError:
            return None
        return made.prefixlen if str(made.netmask) == text else None
    if not text.isdecimal() or int(text) > (128 if is_v6(ip) else 32):
        return None
    return int(text)


def prefix_beside(ip: str, held: Iterable[Address]) -> int | None:
    """The prefix of an address already there whose network holds this one."""
    wanted = ipaddress.ip_address(ip)
    for address in held:
        if is_v6(address.ip) == is_v6(ip) and wanted in ipaddress.ip_network(
            f"{address.ip}/{address.prefix}", strict=False
        ):
            return address.prefix
    return None


def lowest(ips: Iterable[str]) -> str:
    """The same one of several on every host, IPv4 first, whatever order a resolver gave; "" of none."""
    found = [ipaddress.ip_address(ip) for ip in ips]
    return str(min(found, key=lambda ip: (ip.version, int(ip)))) if found else ""
