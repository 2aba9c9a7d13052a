"""An address and a device → is it answered for by somebody else; and word to the neighbours.

Raw frames: ARP for IPv4 (RFC 5227), neighbour discovery for IPv6 (RFC 4861, 4862). The tools that do
this sit out a second each time.
"""

import asyncio
import contextlib
import ctypes
import errno
import fcntl
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from reconciler.adapters import netlink, threads

_ETH_ARP, _ETH_IPV6 = 0x0806, 0x86DD
_BROADCAST = b"\xff" * 6
_ETHERNET = 1
_NOARP, _LOOPBACK = 0x80, 0x8
_SIOCGIFFLAGS, _SIOCGIFHWADDR = 0x8913, 0x8927
_SOLICITATION, _ADVERTISEMENT = 135, 136
_ALL_NODES = IPv6Address("ff02::1")
_ANY = IPv6Address("::")
_ATTACH_FILTER = 26
AGAIN_AFTER = 1.0
"""Seconds until an announcement is repeated: the first may have been lost."""
TOGETHER, AT_ONCE = 0.05, 10
"""Seconds by which one may be early, and how many are told before the loop gets its turn."""

IP = IPv4Address | IPv6Address


class Probed(NamedTuple):
    """`holder`: the hardware address that answered, "" when none did. `note`: why nobody was asked."""

    holder: str = ""
    note: str = ""


async def probe(address: str, dev: str, probes: int, within: float) -> Probed:
    """Ask `probes` times in `within` seconds. Raises OSError (no such device, device down)."""
    ip = ip_address(address.partition("/")[0])
    with _listening(dev, ip) as wire:
        if netlink.is_local(address):
            return Probed(note=f"{ip} is ours already")
        if silent := _why_silent(wire, dev):
            return Probed(note=f"not probed: {silent}")
        mac = wire.getsockname()[4]
        answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        loop = asyncio.get_running_loop()
        loop.add_reader(wire, _hear, wire, ip, answered)
        try:
            for _ in range(max(1, probes)):
                _send(wire, _question(ip, mac))
                await asyncio.wait({answered}, timeout=within / max(1, probes))
                if answered.done():
                    break
        finally:
            loop.remove_reader(wire)
        if not answered.done():
            return Probed()
        return Probed(holder=answered.result().hex(":"))


class _Again(NamedTuple):
    due: float  # loop time
    ip: IP
    dev: str


class Announcer:
    """Tells the neighbours where an address is now, and once more a second later.

    One socket for all: the kernel waits some 10 ms to close one of this kind. It belongs to the network
    namespace of the thread that announces first.
    """

    def __init__(self) -> None:
        self._wire: socket.socket | None = None
        self._again: deque[_Again] = deque()
        self._repeating: asyncio.Task[None] | None = None

    def announce(self, address: str, dev: str) -> None:
        """Tell everybody on the wire, now and later if it is still ours. Raises OSError."""
        ip = ip_address(address.partition("/")[0])
        if self._tell(ip, dev):
            self._again.append(_Again(asyncio.get_running_loop().time() + AGAIN_AFTER, ip, dev))
            if self._repeating is None or self._repeating.done():
                self._repeating = asyncio.create_task(self._repeat())

    def close(self) -> None:
        if self._repeating is not None:
            self._repeating.cancel()
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def _tell(self, ip: IP, dev: str) -> bool:
        if self._wire is None:
            self._wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        if _why_silent(self._wire, dev):
            return False
        _, mac = _hardware(self._wire, dev)
        # Some hosts learn from requests only, some from replies only.
        frames = [_arp(ip, mac, 1), _arp(ip, mac, 2)] if ip.version == 4 else [_advertisement(ip, mac)]
        for frame in frames:
            _send(self._wire, frame, (dev, _protocol(ip)))
        return True

    async def _repeat(self) -> None:
        """Those that are still ours: what was given away must not be called back."""
        loop = asyncio.get_running_loop()
        while self._again:
            await asyncio.sleep(self._again[0].due - loop.time())
            due: list[_Again] = []
            while self._again and len(due) < AT_ONCE and self._again[0].due <= loop.time() + TOGETHER:
                due.append(self._again.popleft())
            try:
                ours = netlink.local_among({str(again.ip) for again in due})
            except OSError:
                continue  # nobody can tell whether they are: then better not
            for again in due:
                if str(again.ip) in ours:
                    with contextlib.suppress(OSError):  # the device is gone or down: nobody to tell
                        self._tell(again.ip, again.dev)


# --- the wire ------------------------------------------------------------------------------


@contextlib.contextmanager
def _listening(dev: str, ip: IP) -> Iterator[socket.socket]:
    """A socket that hears of this device, within the block; it is closed outside the loop."""
    wire = _listen(dev, ip)
    try:
        yield wire
    finally:
        # The kernel waits until nobody can be using it any more: 10 ms and more.
        threads.begin(wire.close)


def _listen(dev: str, ip: IP) -> socket.socket:
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    try:
        if ip.version == 6:
            _only_neighbour_discovery(wire)
        wire.bind((dev, _protocol(ip)))
    except OSError:
        wire.close()
        raise
    return wire


def _protocol(ip: IP) -> int:
    return _ETH_ARP if ip.version == 4 else _ETH_IPV6


def _why_silent(wire: socket.socket, dev: str) -> str:
    """Why there is nobody to talk to on this device, "" when there may be."""
    answer = fcntl.ioctl(wire, _SIOCGIFFLAGS, struct.pack("16sH14x", dev.encode(), 0))
    flags = struct.unpack_from("H", answer, 16)[0]
    if flags & _LOOPBACK:
        return f"{dev} is a loopback device"
    if flags & _NOARP or _hardware(wire, dev)[0] != _ETHERNET:
        return f"{dev} has no ARP"
    return ""


def _hardware(wire: socket.socket, dev: str) -> tuple[int, bytes]:
    """Kind of link and hardware address of a device."""
    answer = fcntl.ioctl(wire, _SIOCGIFHWADDR, struct.pack("16s24x", dev.encode()))
    return struct.unpack_from("H", answer, 16)[0], answer[18:24]


def _send(wire: socket.socket, frame: bytes, to: tuple[str, int] | None = None) -> None:
    """To where the socket is bound, unless `to` names device and protocol."""
    try:
        if to is None:
            wire.send(frame)
        else:
            wire.sendto(frame, to)
    except OSError as error:
        if error.errno not in (errno.ENOBUFS, errno.EAGAIN):  # full for the moment: like a lost frame
            raise


def _hear(wire: socket.socket, ip: IP, answered: asyncio.Future[bytes]) -> None:
    claims: Callable[[bytes, IP], bytes | None] = _arp_claim if ip.version == 4 else _nd_claim
    while not answered.done():
        try:
            mac = claims(wire.recv(2048), ip)
        except BlockingIOError:
            return
        except OSError as error:  # the device went away or down
            answered.set_exception(error)
            return
        if mac and mac not in _our_macs(wire):
            answered.set_result(mac)


def _our_macs(wire: socket.socket) -> set[bytes]:
    found = set()
    for _, name in socket.if_nameindex():
        try:
            found.add(_hardware(wire, name)[1])
        except OSError:
            continue  # it went away meanwhile
    return found


# --- IPv4 ----------------------------------------------------------------------------------


def _question(ip: IP, mac: bytes) -> bytes:
    return _arp(ip, mac, 1, sender=b"\0" * 4) if ip.version == 4 else _solicitation(ip, mac)


def _arp(ip: IP, mac: bytes, kind: int, sender: bytes = b"") -> bytes:
    """kind 1: request, 2: reply. Without a sender it announces: sender and target are the address."""
    target = mac if kind == 2 else b"\0" * 6
    head = _BROADCAST + mac + struct.pack("!HHHBBH", _ETH_ARP, 1, 0x0800, 6, 4, kind)
    return head + mac + (sender or ip.packed) + target + ip.packed


def _arp_claim(frame: bytes, ip: IP) -> bytes | None:
    """Who uses the address, or is just about to (a probe like ours), by this frame."""
    if len(frame) < 42 or frame[12:14] != struct.pack("!H", _ETH_ARP):
        return None
    kind, mac = struct.unpack_from("!H", frame, 20)[0], frame[22:28]
    sender, target = frame[28:32], frame[38:42]
    probes_too = kind == 1 and sender == b"\0" * 4 and target == ip.packed
    return mac if sender == ip.packed or probes_too else None


# --- IPv6 ----------------------------------------------------------------------------------


def _solicitation(ip: IP, mac: bytes) -> bytes:
    """As in duplicate detection: from nobody, so it is answered to all."""
    group = IPv6Address(b"\xff\x02" + b"\0" * 9 + b"\x01\xff" + ip.packed[-3:])
    return _icmp(mac, _ANY, group, struct.pack("!BBHI", _SOLICITATION, 0, 0, 0) + ip.packed)


def _advertisement(ip: IP, mac: bytes) -> bytes:
    override = 0x20000000
    body = struct.pack("!BBHI", _ADVERTISEMENT, 0, 0, override) + ip.packed
    return _icmp(mac, IPv6Address(ip.packed), _ALL_NODES, body + b"\x02\x01" + mac)


def _icmp(mac: bytes, source: IPv6Address, to: IPv6Address, body: bytes) -> bytes:
    pseudo = source.packed + to.packed + struct.pack("!II", len(body), socket.IPPROTO_ICMPV6)
    total = sum(struct.unpack(f"!{len(pseudo + body) // 2}H", pseudo + body))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    body = body[:2] + struct.pack("!H", ~total & 0xFFFF) + body[4:]
    head = struct.pack("!IHBB", 0x60000000, len(body), socket.IPPROTO_ICMPV6, 255)
    ethernet = b"\x33\x33" + to.packed[-4:] + mac + struct.pack("!H", _ETH_IPV6)
    return ethernet + head + source.packed + to.packed + body


def _nd_claim(frame: bytes, ip: IP) -> bytes | None:
    """Who uses the address (an advertisement), or is just about to (a solicitation from nobody)."""
    if len(frame) < 78 or frame[20] != socket.IPPROTO_ICMPV6 or frame[62:78] != ip.packed:
        return None
    if frame[54] == _ADVERTISEMENT:
        has_option = len(frame) >= 86 and frame[78:80] == b"\x02\x01"
        return frame[80:86] if has_option else frame[6:12]
    if frame[54] == _SOLICITATION and frame[22:38] == _ANY.packed:
        return frame[6:12]
    return None


def _only_neighbour_discovery(wire: socket.socket) -> None:
    """All other IPv6 frames of a busy link stay in the kernel."""
    program = [
        (0x30, 0, 0, 20),  # load the next header
        (0x15, 0, 4, socket.IPPROTO_ICMPV6),
        (0x30, 0, 0, 54),  # load the ICMP type
        (0x15, 1, 0, _SOLICITATION),
        (0x15, 0, 1, _ADVERTISEMENT),
        (0x06, 0, 0, 0xFFFF),  # accept
        (0x06, 0, 0, 0),  # drop
    ]
    code = b"".join(struct.pack("HBBI", *step) for step in program)
    buffer = ctypes.create_string_buffer(code)
    pointer = struct.pack("HL", len(program), ctypes.addressof(buffer))
    wire.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, pointer)
