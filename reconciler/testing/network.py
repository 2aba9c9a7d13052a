"""Changes of addresses, links and routes → one made-up host's network; a wire on which others answer."""

import errno
import os
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_interface, ip_network

from reconciler.asks import Address, Link, Route
from reconciler.operations import AddAddress, AddRoute, DeleteAddress


class Wire:
    """Hosts that see each other. `strangers`: others on it, by address: who answers."""

    def __init__(self) -> None:
        self.hosts: list[SimNetwork] = []
        self.strangers: dict[str, str] = {}

    def answers(self, ip: str, asker: "SimNetwork") -> str:
        """The MAC that answers for the address, "" when nobody does."""
        if ip in self.strangers:
            return self.strangers[ip]
        for host in self.hosts:
            if host is not asker and host.on and (dev := host.device_of(ip)):
                return host.links[dev].mac
        return ""


@dataclass
class SimNetwork:
    """Of one host: `lo` and one device on the wire. Raises OSError as the kernel does.

    heard  addresses that were announced, in order
    """

    wire: Wire
    dev: str = "br0"
    number: int = 1
    on: bool = True
    links: dict[str, Link] = field(default_factory=dict)
    addresses: list[Address] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.wire.hosts.append(self)
        self.begin()

    def begin(self) -> None:
        """As after a boot."""
        self.links = {"lo": Link("lo", 1, up=True, carrier=True, loopback=True)}
        self.link(self.dev, f"02:00:00:00:00:{self.number:02x}")
        self.addresses = [Address("127.0.0.1", 8, "lo"), Address("::1", 128, "lo")]
        self.routes = []

    def link(self, dev: str, mac: str = "", up: bool = True) -> None:
        """Another device."""
        self.links[dev] = Link(dev, len(self.links) + 1, up, up, mac, "bridge")

    def device_of(self, ip: str) -> str:
        """Where it is held and answers: on a link that is up."""
        found = (a.dev for a in self.addresses if a.ip == ip)
        return next((dev for dev in found if self.links[dev].up), "")

    # --- operations ------------------------------------------------------------------------

    def add(self, operation: AddAddress) -> None:
        wanted, dev = ip_interface(operation.address), operation.dev
        self._must_be(dev)
        ip, prefix = str(wanted.ip), wanted.network.prefixlen
        held = {a.prefix for a in self.addresses if a.ip == ip and a.dev == dev}
        if prefix in held:
            return
        if held and wanted.version == 6:
            text = f"it is there with prefix /{min(held)}: delete that first"
            raise OSError(errno.EEXIST, text)
        label = operation.label or (dev if wanted.version == 4 else "")
        self.addresses.append(Address(ip, prefix, dev, label=label))

    def delete(self, operation: DeleteAddress) -> None:
        wanted = ip_interface(operation.address)
        gone = (str(wanted.ip), wanted.network.prefixlen, operation.dev)
        self.addresses = [a for a in self.addresses if (a.ip, a.prefix, a.dev) != gone]

    def drop(self, ip: str, dev: str) -> None:
        """With whatever prefix."""
        self.addresses = [a for a in self.addresses if (a.ip, a.dev) != (ip, dev)]

    def set_up(self, dev: str) -> None:
        self._must_be(dev)
        self.links[dev] = replace(self.links[dev], up=True, carrier=True)

    def put_route(self, operation: AddRoute) -> None:
        if operation.dev:
            self._must_be(operation.dev)
        dev = operation.dev or self._towards(operation.via)
        self.delete_route(operation)
        self.routes.append(replace(self._route(operation), dev=dev))

    def delete_route(self, operation: AddRoute) -> None:
        wanted = self._route(operation)
        same = ("to", "table", "metric")
        self.routes = [
            r for r in self.routes if any(getattr(r, name) != getattr(wanted, name) for name in same)
        ]

    def _route(self, operation: AddRoute) -> Route:
        to = operation.to if operation.to == "default" else str(ip_network(operation.to, strict=False))
        return Route(to, operation.via, operation.dev, operation.table, operation.metric, operation.src)

    def _towards(self, via: str) -> str:
        for a in self.addresses:
            net = ip_network(f"{a.ip}/{a.prefix}", strict=False)
            if via and net.version == ip_address(via).version and ip_address(via) in net:
                return a.dev
        raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))

    # --- the wire --------------------------------------------------------------------------

    def asks(self, address: str, dev: str) -> tuple[str, str]:
        """Who answers for it, and why nobody need be asked."""
        ip = address.partition("/")[0]
        self._must_be(dev)
        if not self.links[dev].up:
            raise OSError(errno.ENETDOWN, os.strerror(errno.ENETDOWN), dev)
        if self.links[dev].loopback:
            return "", f"{dev} is a loopback device"
        if any(a.ip == ip for a in self.addresses):
            return "", f"{ip} is ours already"
        return self.wire.answers(ip, self) if dev == self.dev else "", ""

    def announce(self, address: str, dev: str) -> None:
        self._must_be(dev)
        self.heard.append(address.partition("/")[0])

    def _must_be(self, dev: str) -> None:
        if dev not in self.links:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), dev)
