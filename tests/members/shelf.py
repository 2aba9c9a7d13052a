"""A shelf that puts nothing in force, for those who try what travels to it."""

import asyncio
from collections.abc import Mapping


class Shelf:
    """`refused`: why, by key."""

    def __init__(self, refused: Mapping[str, str] | None = None) -> None:
        self.refused_here = dict(refused or {})
        self.gone: list[str] = []
        self.hosts: Mapping[str, Mapping[str, str]] = {}
        self.loaded = asyncio.Event()
        self.loaded.set()

    async def know(self, hosts: Mapping[str, Mapping[str, str]]) -> None:
        self.hosts = hosts

    async def take(self, key: str, path: str, flavour: str, content: bytes) -> bool:
        return False

    def let_go(self, key: str, who: str) -> None:
        self.gone.append(key)

    def look_again(self) -> None:
        """There are no files."""
