"""What the API asks of the agent behind it, and who asks."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol, runtime_checkable

Object = dict[str, Any]
"""JSON-able; its shape is a schema in `schemas/api/`."""


class Role(IntEnum):
    """Each may all that those before it may."""

    NONE = 0
    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True)
class Principal:
    """Who asks: the kernel vouches for `uid`, an authority for who has none (below 0).

    name      for people, also beside what was asked.
    certified what its certificate calls it, "" where it has no name, or no certificate.
    """

    uid: int
    name: str
    role: Role
    certified: str = ""

    @property
    def by_certificate(self) -> bool:
        return self.uid < 0

    def way(self, needed: Role) -> str:
        """How to come to that role."""
        if not self.by_certificate:
            return "use sudo"
        if not self.certified:
            return "use a certificate that has a common name, or a URI or DNS name"
        name = self.certified.replace("\\", "\\\\").replace('"', '\\"')
        return f'add {{"{name}": {needed}}} to spec.api.roles in node.yaml of this host'


class Agent(Protocol):
    """Everything the API needs. Keys are `namespace/name`.

    Methods that are not async answer from memory and at once. Any may raise MayHeal (503). An
    object that is handed out is not changed afterwards: it is written to slow clients later.
    """

    def services(self) -> Sequence[Object]:
        """All, as service.json, by key."""
        ...

    def service(self, key: str) -> Object | None: ...

    async def plan(self, key: str) -> Object:
        """plan.json, from fresh facts."""
        ...

    async def why(self, key: str) -> Object:
        """why.json."""
        ...

    def documents(self) -> Sequence[Object]:
        """All files in the watched directory, as document.json."""
        ...

    def node(self) -> Object:
        """node.json."""
        ...

    def what_if(self, node: str, change: str) -> Object:
        """what_if.json; raises NeedsPerson for a node nobody knows, or on a host that is alone."""
        ...

    async def decisions(self, service: str) -> Sequence[Object]:
        """Items of decisions.json, oldest first; of one service, or of all ("")."""
        ...

    async def ask(self, key: str, wish: Object, principal: Principal) -> Object:
        """Keep a wish (wish.json, complete); returns its `id`. Raises NeedsPerson (409).

        NeedsPerson(what, todo) or NeedsPerson(what). When it returns, `service(key)` shows the wish.
        """
        ...

    async def ask_node(self, wish: Object, principal: Principal) -> Object: ...

    async def prune(self, principal: Principal) -> Object:
        """Remove what was held back; returns {"pruned": [key…]}."""
        ...

    async def events(self, seconds: float, service: str, limit: int, after: int) -> Sequence[Object]:
        """event.json, oldest first: the newest `limit` with a number above `after`."""
        ...

    def subscribe(self) -> AsyncIterator[tuple[str, Object]]:
        """("service" | "deleted" | "event" | "node", object) from this call on, not from its first use.

        "deleted" carries {"metadata": {"namespace", "name"}}. A slow reader may miss all but the
        latest state of an object. See `reconciler.api.fanout`.
        """
        ...


@runtime_checkable
class Previews(Protocol):
    """An agent that can say what a document would do before it is put in place."""

    async def preview(self, path: str, content: str) -> Object:
        """plan.json for a file of this name (below the watched directory) with this content."""
        ...
