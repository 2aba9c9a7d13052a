"""Addresses → deleted, and seen to be gone, by rtnetlink as the kernel speaks it."""

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterator

from reconciler.guard.lines import Address
from reconciler.guard.programs import until

_NEWADDR, _DELADDR, _GETADDR, _ERROR, _DONE = 20, 21, 22, 2, 3
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_ADDRESS, _LOCAL = 1, 2
_HEADER, _MESSAGE, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=BBBBI"), struct.Struct("=HH")
_FINE = (errno.EADDRNOTAVAIL, errno.ENODEV, errno.ESRCH, errno.ENXIO)
ANSWER = 2.0
"""Seconds that the kernel is given for one answer: others may hold its lock."""


def stop(line: Address, by: float) -> str:
    """ "" when the device holds it no more, whatever its prefix; else why."""
    ip = line.address.partition("/")[0]
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    packed = socket.inet_pton(family, ip)
    why = ""

    def gone() -> bool:
        nonlocal why
        try:
            index = socket.if_nametoindex(line.dev)
        except OSError:
            return True
        try:
            if family == socket.AF_INET:
                _keep_secondaries(line.dev)
            for prefix in _held(family, packed, index):
                _delete(family, packed, index, prefix)
            return not list(_held(family, packed, index))
        except OSError as error:
            why = error.strerror or str(error)
            return False

    return "" if until(gone, by) else why or f"{line.dev} still holds it"


def _delete(family: int, packed: bytes, index: int, prefix: int) -> None:
    body = _MESSAGE.pack(family, prefix, 0, 0, index)
    body += _attribute(_LOCAL, packed) + _attribute(_ADDRESS, packed)
    for kind, data in _asked(_DELADDR, _REQUEST | _ACK, body):
        if kind == _ERROR and (number := -struct.unpack_from("=i", data)[0]) and number not in _FINE:
            raise OSError(number, os.strerror(number))


def _held(family: int, packed: bytes, index: int) -> Iterator[int]:
    """The prefixes with which the device holds the address."""
    for kind, data in _asked(_GETADDR, _REQUEST | _DUMP, _MESSAGE.pack(family, 0, 0, 0, index)):
        if kind == _ERROR:
            number = -struct.unpack_from("=i", data)[0]
            raise OSError(number, os.strerror(number))
        if kind == _NEWADDR:
            its_family, prefix, _, _, its_index = _MESSAGE.unpack_from(data)
            found = dict(_attributes(data[_MESSAGE.size :]))
            local = found.get(_LOCAL, found.get(_ADDRESS))
            if (its_family, its_index, local) == (family, index, packed):
                yield prefix


def _asked(kind: int, flags: int, body: bytes) -> list[tuple[int, bytes]]:
    """The kernel's answer to one request, to its end. Raises OSError."""
    answers: list[tuple[int, bytes]] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0) as link:
        link.settimeout(ANSWER)
        link.bind((0, 0))
        link.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body)
        while True:
            data = link.recv(1 << 17)
            at = 0
            while at + _HEADER.size <= len(data):
                length, answer, *_ = _HEADER.unpack_from(data, at)
                if answer == _DONE:
                    return answers
                answers.append((answer, data[at + _HEADER.size : at + length]))
                if answer == _ERROR:
                    return answers
                at += (length + 3) & ~3


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            return
        yield kind, data[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3


def _keep_secondaries(dev: str) -> None:
    """Else the kernel deletes the other addresses of a subnet with its first one: the host's own, say."""
    with (
        contextlib.suppress(OSError),
        open(f"/proc/sys/net/ipv4/conf/{dev}/promote_secondaries", "w", encoding="ascii") as file,
    ):
        file.write("1")
