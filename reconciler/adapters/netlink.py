"""Changes of addresses, links and routes → rtnetlink requests, each acknowledged by the kernel.

Every change blocks for as long as others hold the kernel's own lock: call it outside the loop.
Each has a connection of its own, in the network namespace of the thread it runs in.
"""

import contextlib
import errno
import os
import socket
from collections.abc import Iterable, Iterator
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from reconciler.adapters.facts import rtnetlink as nl

_NODAD = 0x02
_SCOPE_UNIVERSE, _SCOPE_LINK, _SCOPE_HOST, _SCOPE_NOWHERE = 0, 253, 254, 255
_BY_HAND = 3  # the protocol of routes that no routing daemon made
_ANSWER = 1 << 16  # bytes
_GONE = (errno.ESRCH, errno.ENODEV, errno.ENXIO, errno.EADDRNOTAVAIL)
_UNREACHABLE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL)


def add_address(address: str, dev: str, label: str = "") -> None:
    """Usable at once. One that is there already is fine. `address` with prefix. Raises OSError."""
    wanted = ip_interface(address)
    index, ip, prefix = _index(dev), str(wanted.ip), wanted.network.prefixlen
    flags = _NODAD if wanted.version == 6 else 0
    scope = _SCOPE_HOST if wanted.version == 4 and wanted.is_loopback else _SCOPE_UNIVERSE
    with _connection() as kernel:
        code = _ask(kernel, nl.address_change(nl.NEWADDR, index, ip, prefix, flags, scope, label))
    if code == errno.EACCES and wanted.version == 6:
        raise OSError(errno.EACCES, f"IPv6 is disabled on {dev}")
    if code == errno.EEXIST and wanted.version == 6:
        _must_have(index, ip, prefix)  # for IPv4 the kernel means this very prefix, for IPv6 any
    elif code not in (0, errno.EEXIST):
        raise OSError(code, os.strerror(code))


def delete_address(address: str, dev: str) -> None:
    """One that is not there, or on a device that is not there, is fine. Raises OSError."""
    wanted = ip_interface(address)
    try:
        index = _index(dev)
    except OSError:
        return
    if wanted.version == 4:
        _keep_secondaries(dev)
    with _connection() as kernel:
        code = _ask(kernel, nl.address_change(nl.DELADDR, index, str(wanted.ip), wanted.network.prefixlen))
    if code and code not in _GONE:
        raise OSError(code, os.strerror(code))


def _must_have(index: int, ip: str, prefix: int) -> None:
    with _kernel() as kernel:
        held = {message["prefixlen"] for message in kernel.get_addr(index=index, address=ip)}
    if prefix not in held:
        text = f"it is there with prefix /{min(held, default=0)}: delete that first"
        raise OSError(errno.EEXIST, text)


def set_link_up(dev: str) -> None:
    """Raises OSError."""
    index = _index(dev)
    with _kernel() as kernel:
        kernel.link("set", index=index, state="up")


def replace_route(to: str, via: str, dev: str, table: int, metric: int, src: str) -> None:
    """Raises OSError."""
    words = _route(to, via, dev, table, metric, src)
    # As ip(8) does it: what needs no gateway is on the link itself.
    scope = _SCOPE_UNIVERSE if via or ":" in to else _SCOPE_LINK
    with _kernel() as kernel:
        kernel.route("replace", proto=_BY_HAND, scope=scope, **words)


def delete_route(to: str, via: str, dev: str, table: int, metric: int, src: str) -> None:
    """One that is not there, or through a device that is not there, is fine. Raises OSError."""
    try:
        words = _route(to, via, dev, table, metric, src)
    except OSError:
        return
    with _kernel(fine=_GONE) as kernel:
        kernel.route("del", scope=_SCOPE_NOWHERE, **words)  # of whatever scope it is


def is_local(address: str) -> bool:
    """Whether this host holds it, on whatever device: the kernel would deliver it here. Raises OSError.

    It answers from memory and waits for no lock: this may be asked in the loop.
    """
    ip = str(ip_address(address.partition("/")[0]))
    return ip in local_among((ip,))


def local_among(ips: Iterable[str]) -> set[str]:
    """Those that this host holds; like `is_local`. Raises OSError."""
    with _connection() as kernel:
        return {ip for ip in ips if _delivered_here(kernel, ip)}


def _delivered_here(kernel: socket.socket, ip: str) -> bool:
    kernel.send(nl.route_to(ip))
    for message in nl.messages(kernel.recv(_ANSWER)):
        if message.kind == nl.NEWROUTE:
            return nl.delivers_here(message.body)
        if message.kind == nl.ERROR and (code := nl.error_number(message.body)) not in _UNREACHABLE:
            raise OSError(code, os.strerror(code))
    return False


def _ask(kernel: socket.socket, request: bytes) -> int:
    """The errno of the kernel's answer, 0 when it has done it."""
    kernel.send(request)
    return next(nl.error_number(m.body) for m in nl.messages(kernel.recv(_ANSWER)) if m.kind == nl.ERROR)


@contextlib.contextmanager
def _connection() -> Iterator[socket.socket]:
    """For one request after another, each answered by one datagram: a general client takes 1 ms of CPU."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        yield kernel


@contextlib.contextmanager
def _kernel(fine: tuple[int, ...] = ()) -> Iterator[IPRoute]:
    """A connection; the kernel's refusals become OSError, but for those that are fine."""
    try:
        with IPRoute() as connection:
            yield connection
    except NetlinkError as error:
        if error.code not in fine:
            raise OSError(error.code, os.strerror(error.code)) from None


def _index(dev: str) -> int:
    try:
        return socket.if_nametoindex(dev)
    except OSError:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), dev) from None


def _route(to: str, via: str, dev: str, table: int, metric: int, src: str) -> dict[str, Any]:
    """The words of a route; raises OSError when its device does not exist."""
    if to == "default":
        to = "::/0" if ":" in via + src else "0.0.0.0/0"
    net = ip_network(to, strict=False)
    words: dict[str, Any] = {"dst": str(net), "table": table}
    words["family"] = socket.AF_INET if net.version == 4 else socket.AF_INET6
    if via and ":" in via and net.version == 4:
        words["via"] = {"family": socket.AF_INET6, "addr": via}
    elif via:
        words["gateway"] = via
    if dev:
        words["oif"] = _index(dev)
    if metric:
        words["priority"] = metric
    if src:
        words["prefsrc"] = src
    return words


def _keep_secondaries(dev: str) -> None:
    """Let the kernel keep the other addresses of a subnet when its first one goes.

    Left to its default it deletes them with it, and they belong to other services. Where the switch
    cannot be written they are deleted, seen, and added again.
    """
    switch = "/proc/sys/net/ipv4/conf/{}/promote_secondaries"
    try:
        if all(_read(switch.format(name)) == "0" for name in ("all", dev)):
            with open(switch.format(dev), "w", encoding="ascii") as file:
                file.write("1")
    except OSError:
        return


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read().strip()
