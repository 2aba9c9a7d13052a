"""Machines told on standard input → what was there on each, and when, looked at every 5 ms.

Run by its path with the standard library alone, so that no other work delays it. Told, a line each:
{"add": NAME, "pid": PID} · {"tell": true}, which is answered by all that was seen so far. A thing is

    address IP         in the machine's table of addresses
    mount TARGET       in its table of mounts
    program NAME       a live process of this name

A look at a machine reads all three. An interval goes from the look that saw the thing first, from its
beginning, to the one that saw it last, to its end. What comes and goes between two looks is not seen.
Processes keep their names unless they are young: one that takes a name by a late exec is not found.
"""

import collections
import contextlib
import ctypes
import json
import math
import os
import select
import socket
import struct
import sys
import time

PERIOD = 0.005
YOUNG = 2.0
"""Seconds in which a process may still take another name by an exec."""
_GETADDR, _DONE, _NEWADDR = 22, 3, 20
_REQUEST, _DUMP = 1, 0x300
_ADDRESS, _LOCAL = 1, 2
_LIBC = ctypes.CDLL(None, use_errno=True)
_NEWNET, _FIFO = 0x40000000, 1


class Looked:
    """One boot of a machine."""

    def __init__(self, name: str, pid: int) -> None:
        self.name, self.pid = name, pid
        self._alive = os.pidfd_open(pid)
        with open("/proc/self/ns/net", "rb") as own, open(f"/proc/{pid}/ns/net", "rb") as its:
            _enter(its.fileno())
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
            _enter(own.fileno())  # or we would keep it
        self._dump, self._addresses = b"", frozenset()
        self._table, self._mounts = b"", frozenset()
        self._programs = {}  # pid in the machine → (name, until when it may change)
        self._there = {}  # thing → its open interval
        self.intervals = []  # [machine, thing, from, until]

    def look(self) -> bool:
        """False once the machine has ended; a socket of ours would keep its network, and is closed."""
        began = time.monotonic()
        there = frozenset()
        alive = not select.select([self._alive], [], [], 0)[0]
        if alive:
            with contextlib.suppress(OSError):  # it ends right now
                there = self._look_addresses() | self._look_mounts() | self._look_programs(began)
        else:
            self._socket.close()
            os.close(self._alive)
        ended = time.monotonic()
        for thing in self._there.keys() - there:
            del self._there[thing]
        for thing in there:
            if (interval := self._there.get(thing)) is None:
                interval = self._there[thing] = [self.name, thing, began, ended]
                self.intervals.append(interval)
            interval[3] = ended
        return alive

    def _look_addresses(self) -> frozenset:
        self._socket.send(struct.pack("=IHHIIB3x", 20, _GETADDR, _REQUEST | _DUMP, 1, 0, 0))
        parts = []
        while True:
            part = self._socket.recv(65536)
            parts.append(part)
            if struct.unpack_from("=H", part, 4)[0] == _DONE or _ends(part):
                break
        dump = b"".join(parts)
        if dump != self._dump:
            self._dump, self._addresses = dump, frozenset(f"address {ip}" for ip in _addresses(dump))
        return self._addresses

    def _look_mounts(self) -> frozenset:
        with open(f"/proc/{self.pid}/mountinfo", "rb", buffering=0) as file:
            parts = []
            while part := file.read(65536):
                parts.append(part)
        table = b"".join(parts)
        if table != self._table:
            targets = [line.split()[4].decode("unicode_escape") for line in table.splitlines()]
            self._table, self._mounts = table, frozenset(f"mount {target}" for target in targets)
        return self._mounts

    def _look_programs(self, now: float) -> frozenset:
        place = f"/proc/{self.pid}/root/proc"
        pids = {name for name in os.listdir(place) if name.isdigit()}
        for gone in self._programs.keys() - pids:
            del self._programs[gone]
        names = set()
        for pid in pids:
            name, until = self._programs.get(pid, ("", now + YOUNG))
            if now < until or name in _WATCHED:
                with contextlib.suppress(OSError), open(f"{place}/{pid}/stat", "rb", buffering=0) as file:
                    text = file.read(512)
                    _, _, rest = text.partition(b"(")
                    found, _, state = rest.rpartition(b") ")
                    name = found.decode(errors="replace") if state[:1] not in b"ZX" else ""
                    self._programs[pid] = (name, until)
                    if name in _WATCHED:
                        names.add(f"program {name}")
        return frozenset(names)


_WATCHED = set()


def _enter(namespace: int) -> None:
    if _LIBC.setns(namespace, _NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _ends(part: bytes) -> bool:
    """The last message of a dump may come in one piece with others."""
    at, kind = 0, 0
    while at < len(part):
        length, kind = struct.unpack_from("=IH", part, at)
        at += (length + 3) & ~3
    return kind == _DONE


def _addresses(dump: bytes) -> list:
    found, at = [], 0
    while at < len(dump):
        length, kind = struct.unpack_from("=IH", dump, at)
        if kind == _NEWADDR:
            family, place, end = dump[at + 16], at + 24, at + length
            attributes = {}
            while place < end:
                size, number = struct.unpack_from("=HH", dump, place)
                attributes[number] = dump[place + 4 : place + size]
                place += (size + 3) & ~3
            raw = attributes.get(_LOCAL) or attributes[_ADDRESS]
            found.append(socket.inet_ntop(family, raw))
        at += (length + 3) & ~3
    return found


def main(watched: list) -> None:
    _WATCHED.update(watched)
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, _FIFO, os.sched_param(1))
    machines, ended, commands = [], [], b""
    periods, last = collections.Counter(), 0.0  # tenths of a millisecond → how often
    while True:
        began = time.monotonic()
        if last:
            periods[math.ceil((began - last) * 1e4)] += 1
        last = began if machines else 0.0
        for machine in list(machines):
            if not machine.look():
                machines.remove(machine)
                ended.append(machine)
        left = max(0.0, began + PERIOD - time.monotonic())
        if select.select([0], [], [], left)[0]:
            said = os.read(0, 65536)
            if not said:
                return
            *lines, commands = (commands + said).split(b"\n")
            for line in lines:
                told = json.loads(line)
                if "add" in told:
                    machines.append(Looked(told["add"], told["pid"]))
                else:
                    whole = [interval for one in ended + machines for interval in one.intervals]
                    print(json.dumps({"intervals": whole, "periods": sorted(periods.items())}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
