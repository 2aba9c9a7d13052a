"""Links, addresses and routes: one dump each, then kept by the kernel's own events.

The kernel queues an event before it acknowledges the request that caused it. So once our own change is
acknowledged, emptying the event socket brings the table up to date; no dump is needed for that.
"""

import asyncio
import contextlib
import errno
import os
import socket
import struct
from collections.abc import Callable, Collection
from typing import Any

from reconciler.adapters.facts import rtnetlink as nl
from reconciler.adapters.facts.addresstable import AddressTable, key_of
from reconciler.asks import Addresses, AddressHeld, Ask, Link, Links, Route, Routes
from reconciler.errors import MayHeal

_RECEIVE_BUFFER = 8 << 20
_ADD_MEMBERSHIP, _SOL_NETLINK, _SO_RCVBUFFORCE = 1, 270, 33
_AT_ONCE = 100  # datagrams handled before the loop gets its turn
_DUMP_TRIES = 5


class Network:
    """The tables of one network namespace (that of the thread that calls `start`).

    `listen` is called with the asks whose answers an event may have changed, None for all.
    """

    def __init__(self, events: bool) -> None:
        self._events = events
        self._socket: socket.socket | None = None
        self._lock = asyncio.Lock()
        self._valid: set[int] = set()  # GETLINK, GETADDR, GETROUTE: tables that can be trusted
        self._dumping = False
        self._routes_joined = False
        self._listeners: list[Callable[[set[Ask[Any]] | None], None]] = []
        self.links: dict[int, Link] = {}
        self.indexes: dict[str, int] = {}
        self.addresses = AddressTable()
        self.routes: dict[nl.RouteGroup, dict[tuple[str, int], Route]] = {}

    def listen(self, changed: Callable[[set[Ask[Any]] | None], None]) -> None:
        self._listeners.append(changed)

    def start(self) -> None:
        """Open the event socket; without it every look is a dump."""
        if not self._events or self._socket is not None:
            return
        try:
            opened = _open(nl.GROUPS_LINK_ADDRESS)
        except OSError:
            return
        with contextlib.suppress(OSError):
            opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
        self._socket = opened
        asyncio.get_running_loop().add_reader(opened.fileno(), self._heard)

    def close(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None
            self._routes_joined = False
        self._valid.clear()

    def distrust(self, table: int) -> None:
        self._valid.discard(table)

    async def refresh(self, tables: Collection[int]) -> None:
        """Bring these tables (GETLINK, GETADDR, GETROUTE) up to date. Raises MayHeal, OSError."""
        async with self._lock:
            if self._socket is None:
                self._valid.clear()
            if nl.GETROUTE in tables:
                self._join_routes()
            await self._catch_up()
            for table in tables:
                if table not in self._valid:
                    await self._dump(table)

    # --- events ----------------------------------------------------------------------------

    def _heard(self) -> None:
        if not self._dumping:
            self._drain()

    async def _catch_up(self) -> None:
        while True:
            if self._drain():
                return
            await asyncio.sleep(0)

    def _drain(self) -> bool:
        """Apply what the event socket holds; False when there is more than one turn's worth."""
        changed: set[Ask[Any]] = set()
        try:
            for _ in range(_AT_ONCE):
                if self._socket is None:
                    return True
                for message in nl.messages(self._socket.recv(1 << 16)):
                    self._apply(message, changed)
        except BlockingIOError:
            return True
        except OSError as fault:
            self._lost()
            if fault.errno != errno.ENOBUFS:
                self.close()
        except (ValueError, KeyError, struct.error):
            self._lost()
        finally:
            self._tell(changed)
        return False

    def _lost(self) -> None:
        """Events were lost or make no sense: only a dump tells how things are now."""
        self._valid.clear()
        self._tell(None)

    def _tell(self, changed: set[Ask[Any]] | None) -> None:
        if changed is None or changed:
            for listener in self._listeners:
                listener(changed)

    def _apply(self, message: nl.Message, changed: set[Ask[Any]]) -> None:
        match message.kind:
            case nl.NEWLINK | nl.DELLINK if not nl.is_bridge_port_message(message.body):
                self._apply_link(message, changed)
            case nl.NEWADDR | nl.DELADDR:
                self._apply_address(message, changed)
            case nl.NEWROUTE | nl.DELROUTE:
                self._apply_route(message, changed)

    def _apply_link(self, message: nl.Message, changed: set[Ask[Any]]) -> None:
        new = nl.link(message.body)
        old = self.links.get(new.index)
        if message.kind == nl.DELLINK:
            self.links.pop(new.index, None)
            self._forget_name(new)
            for row in list(self.addresses.of_link(new.index).values()):
                self.addresses.remove(row)
                changed.add(AddressHeld(row.ip))
        elif old == new:
            return
        else:
            if old is not None:
                self._forget_name(old)
            self.links[new.index] = new
            self.indexes[new.name] = new.index
        changed.add(Links())
        if old is None or old.name != new.name or message.kind == nl.DELLINK:
            # Asked by name, kept by index: a new or renamed device may have addresses already.
            changed.update(Addresses(name) for name in {new.name, *([old.name] if old else [])})
            changed.update(AddressHeld(row.ip) for row in self.addresses.of_link(new.index).values())
        if old is None or not new.up or message.kind == nl.DELLINK or old.name != new.name:
            self._lose_routes(changed)

    def _apply_address(self, message: nl.Message, changed: set[Ask[Any]]) -> None:
        row = nl.address(message.body)
        if message.kind == nl.DELADDR:
            differs = self.addresses.remove(row)
            self._lose_routes(changed)  # those with it as source go without an event
        else:
            differs = self.addresses.add(row)
        if differs:
            changed.add(AddressHeld(row.ip))
            if row.link in self.links:
                changed.add(Addresses(self.links[row.link].name))

    def _apply_route(self, message: nl.Message, changed: set[Ask[Any]]) -> None:
        decoded = nl.routes(message.body, self._name)
        if decoded is None:
            return
        group, hops = decoded
        changed.add(Routes(group.table))
        if message.flags & nl.FLAG_REPLACE:  # of several that share a group it does not say which
            self._lose_routes(changed)
            return
        now = self.routes.setdefault(group, {})
        if message.kind == nl.DELROUTE:
            for hop in hops:
                now.pop(hop, None)
        else:
            now.update(hops)
        if not now:
            del self.routes[group]

    def _lose_routes(self, changed: set[Ask[Any]]) -> None:
        if nl.GETROUTE in self._valid:
            self._valid.discard(nl.GETROUTE)
            changed.update(Routes(table) for table in {group.table for group in self.routes})

    def _forget_name(self, link: Link) -> None:
        if self.indexes.get(link.name) == link.index:
            del self.indexes[link.name]

    def _name(self, index: int) -> str:
        return self.links[index].name if index in self.links else ""

    # --- dumps -----------------------------------------------------------------------------

    async def _dump(self, table: int) -> None:
        """Replace one table. Events heard meanwhile are applied on top, in order."""
        await self._catch_up()
        self._dumping = True  # events stay in the socket: they must come after what is dumped
        try:
            found = await _dump(table)
            if table == nl.GETLINK:
                rows = [nl.link(message.body) for message in found]
                self.links = {link.index: link for link in rows}
                self.indexes = {link.name: link.index for link in rows}
            elif table == nl.GETADDR:
                await self._replace_addresses(found)
            else:
                await self._replace_routes(found)
            self._valid.add(table)
        finally:
            self._dumping = False
        await self._catch_up()

    async def _replace_addresses(self, found: list[nl.Message]) -> None:
        rows = {}
        for number, message in enumerate(found):
            row = nl.address(message.body)
            rows[key_of(row)] = row
            if number % 500 == 499:
                await asyncio.sleep(0)
        # What we had keeps its place: the kernel's order after many changes is not that of its events.
        kept = [rows.pop(key) for key in self.addresses.rows if key in rows]
        table = AddressTable()
        for number, row in enumerate([*kept, *rows.values()]):
            table.add(row)
            if number % 1000 == 999:
                await asyncio.sleep(0)
        self.addresses = table

    async def _replace_routes(self, found: list[nl.Message]) -> None:
        table: dict[nl.RouteGroup, dict[tuple[str, int], Route]] = {}
        for number, message in enumerate(found):
            decoded = nl.routes(message.body, self._name)
            if decoded is not None:
                table.setdefault(decoded[0], {}).update(decoded[1])
            if number % 500 == 499:
                await asyncio.sleep(0)
        ordered = {group: table.pop(group) for group in self.routes if group in table}
        self.routes = ordered | table

    def _join_routes(self) -> None:
        """Routes may be many: their events are heard from the first ask on."""
        if self._socket is not None and not self._routes_joined:
            for group in (nl.GROUP_ROUTE4, nl.GROUP_ROUTE6):
                self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
            self._routes_joined = True


def _open(groups: int = 0) -> socket.socket:
    opened = socket.socket(
        socket.AF_NETLINK,
        socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC,
        socket.NETLINK_ROUTE,
    )
    try:
        opened.bind((0, groups))
    except OSError:
        opened.close()
        raise
    return opened


async def _dump(table: int) -> list[nl.Message]:
    """The messages of one whole dump. Raises OSError, MayHeal."""
    for _ in range(_DUMP_TRIES):
        found = await _try_dump(table)
        if found is not None:
            return found
    raise MayHeal("the network tables change too fast to be read")


async def _try_dump(table: int) -> list[nl.Message] | None:
    """None when it was interrupted by a change."""
    found: list[nl.Message] = []
    with _open() as asking:
        asking.send(nl.dump(table))
        while True:
            try:
                data = asking.recv(1 << 16)
            except (
                BlockingIOError
            ):  # the kernel makes a dump within our `recv`: nothing now is nothing ever
                raise MayHeal("the kernel broke off a dump") from None
            for message in nl.messages(data):
                if message.kind == nl.ERROR:
                    number = nl.error_number(message.body)
                    raise OSError(number, os.strerror(number))
                if message.flags & nl.FLAG_INTERRUPTED:
                    return None
                if message.kind == nl.DONE:
                    return found
                found.append(message)
            await asyncio.sleep(0)
