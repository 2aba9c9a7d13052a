"""Changes of addresses, links and routes → rtnetlink requests, each acknowledged by the kernel.

Written out with `struct`, as the events are read: a general library takes forty times as long for one.
Every function blocks for as long as others hold the kernel's own lock: call them outside the loop.
Each has a connection of its own, in the network namespace of the thread it runs in.
"""

import errno
import os
import socket
import struct
from ipaddress import ip_address, ip_interface, ip_network

from reconciler.adapters.facts import rtnetlink as nl

_REQUEST, _ACK, _REPLACE, _EXCLUSIVE, _CREATE = 0x1, 0x4, 0x100, 0x200, 0x400
_IFA_ADDRESS, _IFA_LOCAL, _IFA_LABEL = 1, 2, 3
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_PREFSRC, _RTA_TABLE, _RTA_VIA = 1, 4, 5, 6, 7, 15, 18
_NODAD, _UP = 0x02, 0x1
_SCOPE_UNIVERSE, _SCOPE_LINK, _SCOPE_HOST, _SCOPE_NOWHERE = 0, 253, 254, 255
_BY_HAND = 3  # the protocol of routes that no routing daemon made
_UNICAST, _LOCAL = 1, 2  # types of route; the second is delivered on this host
_GONE = (errno.ESRCH, errno.ENODEV, errno.ENXIO, errno.EADDRNOTAVAIL)
_UNREACHABLE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL)


def add_address(address: str, dev: str, label: str = "") -> None:
    """Usable at once. One that is there already is fine. `address` with prefix. Raises OSError."""
    wanted = ip_interface(address)
    flags = _NODAD if wanted.version == 6 else 0
    scope = _SCOPE_HOST if wanted.version == 4 and wanted.is_loopback else _SCOPE_UNIVERSE
    body = _address(address, dev, flags, scope) + (_text(_IFA_LABEL, label) if label else b"")
    try:
        _request(nl.NEWADDR, _ACK | _CREATE | _EXCLUSIVE, body)
    except OSError as error:
        if error.errno == errno.EACCES and wanted.version == 6:
            raise OSError(errno.EACCES, f"IPv6 is disabled on {dev}") from None
        if error.errno != errno.EEXIST:
            raise
        # For IPv4 the kernel means this very prefix, for IPv6 any.
        if wanted.version == 6 and wanted.network.prefixlen not in (held := _prefixes(str(wanted.ip), dev)):
            text = f"it is there with prefix /{min(held, default=0)}: delete that first"
            raise OSError(errno.EEXIST, text) from None


def delete_address(address: str, dev: str) -> None:
    """One that is not there, or on a device that is not there, is fine. Raises OSError."""
    try:
        body = _address(address, dev)
        if ip_interface(address).version == 4:
            _keep_secondaries(dev)
        _request(nl.DELADDR, _ACK, body)
    except OSError as error:
        if error.errno not in _GONE:
            raise


def set_link_up(dev: str) -> None:
    """Raises OSError."""
    _request(nl.NEWLINK, _ACK, struct.pack("=BxHiII", socket.AF_UNSPEC, 0, _index(dev), _UP, _UP))


def replace_route(to: str, via: str, dev: str, table: int, metric: int, src: str) -> None:
    """Raises OSError."""
    # As ip(8) does it: what needs no gateway is on the link itself.
    scope = _SCOPE_UNIVERSE if via or ":" in to else _SCOPE_LINK
    body = _route(to, via, dev, table, metric, src, _BY_HAND, scope)
    _request(nl.NEWROUTE, _ACK | _CREATE | _REPLACE, body)


def delete_route(to: str, via: str, dev: str, table: int, metric: int, src: str) -> None:
    """One that is not there, or through a device that is not there, is fine. Raises OSError."""
    try:
        body = _route(to, via, dev, table, metric, src, 0, _SCOPE_NOWHERE)  # of whatever scope it is
        _request(nl.DELROUTE, _ACK, body)
    except OSError as error:
        if error.errno not in _GONE:
            raise


def is_local(address: str) -> bool:
    """Whether this host holds it, on whatever device: the kernel would deliver it here."""
    ip = ip_address(address.partition("/")[0])
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    head = struct.pack("=BBBBBBBBI", family, ip.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
    try:
        answers = _request(nl.GETROUTE, 0, head + _attribute(_RTA_DST, ip.packed))
    except OSError as error:
        if error.errno in _UNREACHABLE:
            return False
        raise
    return any(answer.kind == nl.NEWROUTE and answer.body[7] == _LOCAL for answer in answers)


def _request(kind: int, flags: int, body: bytes) -> list[nl.Message]:
    """One request, and what the kernel answers: it does so within `send`. Its refusal is an OSError."""
    with socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
    ) as kernel:
        kernel.send(struct.pack("=IHHII", 16 + len(body), kind, _REQUEST | flags, 1, 0) + body)
        answers = list(nl.messages(kernel.recv(1 << 16)))
    for answer in answers:
        if answer.kind == nl.ERROR and (number := nl.error_number(answer.body)):
            raise OSError(number, os.strerror(number))
    return answers


def _prefixes(ip: str, dev: str) -> set[int]:
    """Of an IPv6 address on this device."""
    index = _index(dev)
    found: set[int] = set()
    with socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
    ) as kernel:
        kernel.send(nl.dump(nl.GETADDR, socket.AF_INET6))
        while True:
            for message in nl.messages(kernel.recv(1 << 16)):
                if message.kind != nl.NEWADDR:  # done, or an error
                    return found
                row = nl.address(message.body)
                if (row.link, row.ip) == (index, ip):
                    found.add(row.prefix)


def _address(address: str, dev: str, flags: int = 0, scope: int = 0) -> bytes:
    wanted, index = ip_interface(address), _index(dev)
    family = socket.AF_INET if wanted.version == 4 else socket.AF_INET6
    head = struct.pack("=BBBBI", family, wanted.network.prefixlen, flags, scope, index)
    return head + _attribute(_IFA_LOCAL, wanted.packed) + _attribute(_IFA_ADDRESS, wanted.packed)


def _route(
    to: str, via: str, dev: str, table: int, metric: int, src: str, protocol: int, scope: int
) -> bytes:
    """Raises OSError when its device does not exist."""
    if to == "default":
        to = "::/0" if ":" in via + src else "0.0.0.0/0"
    net = ip_network(to, strict=False)
    family = socket.AF_INET if net.version == 4 else socket.AF_INET6
    head = (family, net.prefixlen, 0, 0, table if table < 256 else 0, protocol, scope, _UNICAST, 0)
    body = struct.pack("=BBBBBBBBI", *head) + _number(_RTA_TABLE, table)
    if net.prefixlen:
        body += _attribute(_RTA_DST, net.network_address.packed)
    if via:
        gateway = ip_address(via)
        if gateway.version == net.version:
            body += _attribute(_RTA_GATEWAY, gateway.packed)
        else:
            its = socket.AF_INET if gateway.version == 4 else socket.AF_INET6
            body += _attribute(_RTA_VIA, struct.pack("=H", its) + gateway.packed)
    if dev:
        body += _number(_RTA_OIF, _index(dev))
    if metric:
        body += _number(_RTA_PRIORITY, metric)
    if src:
        body += _attribute(_RTA_PREFSRC, ip_address(src).packed)
    return body


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("=I", value))


def _text(kind: int, value: str) -> bytes:
    return _attribute(kind, value.encode() + b"\0")


def _index(dev: str) -> int:
    try:
        return socket.if_nametoindex(dev)
    except OSError:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), dev) from None


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
