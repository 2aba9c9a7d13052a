"""What is asked about links, addresses, routes and names → the values that answer."""

from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.asks.ask import Ask


@dataclass(frozen=True, slots=True)
class Link:
    name: str
    index: int
    up: bool  # administratively
    carrier: bool  # operational: a cable, or a bridge with a live port
    mac: str = ""
    kind: str = ""  # bridge, veth, …; "" for hardware
    loopback: bool = False


@dataclass(frozen=True, slots=True)
class Links(Ask[Mapping[str, Link]]):
    """All network devices by name."""

    source = "links"


@dataclass(frozen=True, slots=True)
class Address:
    ip: str  # canonical text, no prefix
    prefix: int
    dev: str
    tentative: bool = False  # IPv6 duplicate detection still runs
    duplicate: bool = False  # and failed
    label: str = ""


@dataclass(frozen=True, slots=True)
class Addresses(Ask[tuple[Address, ...]]):
    """Addresses of one device, in the kernel's order; () when the device does not exist."""

    dev: str
    source = "addresses"


@dataclass(frozen=True, slots=True)
class AddressHeld(Ask[tuple[Address, ...]]):
    """Where this host holds one address, on any device."""

    ip: str
    source = "addresses"


@dataclass(frozen=True, slots=True)
class Route:
    to: str  # "default" or network/prefix
    via: str = ""
    dev: str = ""
    table: int = 254
    metric: int = 0
    src: str = ""


@dataclass(frozen=True, slots=True)
class Routes(Ask[tuple[Route, ...]]):
    """Unicast routes of one table, v4 and v6."""

    table: int = 254
    source = "routes"


@dataclass(frozen=True, slots=True)
class Name(Ask[tuple[str, ...]]):
    """Addresses of a host name, in the resolver's order; an address answers itself."""

    name: str
    source = "names"
