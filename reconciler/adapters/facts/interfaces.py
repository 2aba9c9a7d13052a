"""The network tables → answers to Links, Addresses, AddressHeld and Routes."""

import asyncio
from collections.abc import Sequence
from typing import Any

from reconciler.adapters.facts import rtnetlink as nl
from reconciler.adapters.facts.network import Network
from reconciler.adapters.facts.source import Base, Desk, Subject
from reconciler.asks import Address, Addresses, AddressHeld, Ask, Links, Routes

_PORTION = 500


class NetworkSource(Base):
    """One of links, addresses, routes over the tables that all three share."""

    def __init__(self, name: str, network: Network, every: float) -> None:
        super().__init__(every)
        self._name, self._network = name, network
        self._tables = {
            "links": (nl.GETLINK,),
            "addresses": (nl.GETLINK, nl.GETADDR),
            "routes": (nl.GETLINK, nl.GETROUTE),
        }[name]

    async def start(self, desk: Desk) -> None:
        await super().start(desk)
        self._network.listen(self._heard)
        self._network.start()

    async def look(self, subjects: Sequence[Subject]) -> None:
        await self._network.refresh(self._tables)
        for at in range(0, len(subjects), _PORTION):
            self.desk.report({s: self._answer(s.ask) for s in subjects[at : at + _PORTION]})
            await asyncio.sleep(0)

    def distrust(self) -> None:
        self._network.distrust(self._tables[-1])

    async def close(self) -> None:
        self._network.close()

    def _heard(self, asks: set[Ask[Any]] | None) -> None:
        if asks is None:
            self.desk.changed()
        elif mine := [Subject(ask) for ask in asks if ask.source == self._name]:
            self.desk.changed(mine)

    def _answer(self, ask: Ask[Any]) -> Any:
        network = self._network
        match ask:
            case Links():
                return {link.name: link for link in network.links.values()}
            case Addresses(dev=dev):
                rows = network.addresses.of_link(network.indexes.get(dev, 0))
            case AddressHeld(ip=ip):
                rows = network.addresses.of_ip(ip)
            case Routes(table=table):
                groups = [(group, hops) for group, hops in network.routes.items() if group.table == table]
                groups.sort(key=lambda item: item[0].family)
                return tuple(route for _, hops in groups for route in hops.values())
            case _:
                raise TypeError(f"{self._name} cannot answer {ask}")
        # A device's own addresses before those added to the same network, as the kernel lists them.
        ordered = sorted(rows.values(), key=lambda row: (":" in row.ip, row.secondary))
        return tuple(
            _address(row, network.links[row.link].name) for row in ordered if row.link in network.links
        )


def _address(row: nl.AddressRow, dev: str) -> Address:
    """A label that is only the device's name is what the kernel gives to all: none."""
    label = "" if row.label == dev else row.label
    return Address(row.ip, row.prefix, dev, row.tentative, row.duplicate, label)
