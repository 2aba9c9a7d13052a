"""Addresses of the kernel → by link and by text, changed one at a time."""

from collections.abc import Mapping
from typing import NamedTuple

from reconciler.adapters.facts.rtnetlink import AddressRow


class Key(NamedTuple):
    """What makes two addresses one to the kernel."""

    link: int
    ip: str
    prefix: int


Rows = dict[Key, AddressRow]


class AddressTable:
    """All addresses, in the order in which they came."""

    def __init__(self) -> None:
        self.rows: Rows = {}
        self._by_link: dict[int, Rows] = {}
        self._by_ip: dict[str, Rows] = {}

    def of_link(self, index: int) -> Mapping[Key, AddressRow]:
        return self._by_link.get(index, {})

    def of_ip(self, ip: str) -> Mapping[Key, AddressRow]:
        return self._by_ip.get(ip, {})

    def add(self, row: AddressRow) -> bool:
        """False when it is there already, just so."""
        key = key_of(row)
        if self.rows.get(key) == row:
            return False
        self.rows[key] = row
        self._by_link.setdefault(row.link, {})[key] = row
        self._by_ip.setdefault(row.ip, {})[key] = row
        return True

    def remove(self, row: AddressRow) -> bool:
        """False when it is not there."""
        key = key_of(row)
        if self.rows.pop(key, None) is None:
            return False
        del self._by_link[key.link][key]
        if not self._by_link[key.link]:
            del self._by_link[key.link]
        del self._by_ip[key.ip][key]
        if not self._by_ip[key.ip]:
            del self._by_ip[key.ip]
        return True


def key_of(row: AddressRow) -> Key:
    return Key(row.link, row.ip, row.prefix)
