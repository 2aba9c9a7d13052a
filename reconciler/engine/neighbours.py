"""What this node knows of the others → parts of the API's objects; and what it tells them of itself."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from reconciler.decide import claims, hosts, sessions
from reconciler.decide.among import among
from reconciler.decide.asked import Asked
from reconciler.decide.candidates import Peer, order
from reconciler.decide.hosts import Host
from reconciler.decide.standing import Standing
from reconciler.decide.what_if import Held, what_if
from reconciler.engine.record import Record
from reconciler.engine.statuses import Statuses
from reconciler.engine.together import Together
from reconciler.errors import NeedsPerson
from reconciler.model import Service

NOBODY = Host()
UP = ("up", "warn")


class Neighbours:
    """`still`: seconds since each node's beat moved. `fenced`: nodes that this one can switch off."""

    def __init__(
        self,
        node: str,
        together: Together,
        statuses: Statuses,
        standing: Callable[[], Standing],
        still: Callable[[], Mapping[str, float]],
        failover: float,
        level: str,
        fenced: Collection[str] = (),
    ) -> None:
        self._node, self._together, self._cluster = node, together, together.cluster
        self._statuses, self._standing, self._still = statuses, standing, still
        self._failover, self._level, self._fenced = failover, level, fenced

    def others(self, key: str) -> Mapping[str, Mapping[str, Any]]:
        """The service's instances on other nodes that are alive, as they tell of them.

        Who gave its claim back has seen everything down, though its last word may be older than that.
        """
        peers = self._cluster.peers
        found: dict[str, Mapping[str, Any]] = {}
        for name, told in peers.told.items():
            if key not in told or name == self._node or not peers.all[name].alive:
                continue
            instance, peer = told[key].instance, peers.all[name]
            if instance and key not in peer.holds and key not in peer.loose and instance["avail"] in UP:
                instance = {**instance, "avail": "down", "overall": "down"}
            if instance:
                found[name] = instance
        return found

    def ranked(self, service: Service) -> Sequence[str]:
        """The nodes that may run it, best first."""
        peers = self._cluster.peers.all
        return order(service, peers, {name for name, peer in peers.items() if service.key in peer.holds})

    def claims(self, key: str) -> list[dict[str, Any]]:
        view = self._cluster.view
        return [
            {"slot": slot, "node": c.node, "epoch": c.epoch, "free": claims.free(c, view.sessions)}
            for slot, c in sorted(view.claims.get(key, {}).items())
            if c is not None
        ]

    def tell(self, record: Record, made: Mapping[str, Any]) -> None:
        """To the others: what was just built of a service."""
        here = made["status"]["instances"][self._node]
        self._statuses.put(record.key, hosts.written(self._together.told(record, here)))

    def forget(self, key: str) -> None:
        self._statuses.put(key, "")

    def what_if(
        self, node: str, change: str, services: Iterable[Service], asked: Callable[[str], Asked]
    ) -> dict[str, Any]:
        """what_if.json. Raises NeedsPerson for a node nobody has heard of."""
        view, peers = self._cluster.view, self._cluster.peers.all
        if node not in peers:
            known = ", ".join(sorted(peers)) or "none"
            raise NeedsPerson(f"there is no node {node!r}; known are: {known}")
        drivers = self._together.drivers
        held = [
            Held(s, view.claims.get(s.key, {}), claims.needed(s, drivers), asked(s.key)) for s in services
        ]
        moves = what_if(node, change, held, view.sessions, peers)
        return {"node": node, "change": change, "items": [asdict(move) for move in moves]}

    def why(self, service: Service, asked: Asked) -> list[tuple[int, str]]:
        """Who holds it, and of every other node whether it could; lines as `decide.explain` makes them."""
        view = self._cluster.view
        held = view.claims.get(service.key, {})
        needed = claims.needed(service, self._together.drivers)
        told = self._still(), self.others(service.key)
        return list(among(service, held, view.sessions, self._cluster.peers.all, asked, needed, *told))

    def seen(self) -> dict[str, Any]:
        """`cluster` of node.json."""
        standing, peers, still = self._standing(), self._cluster.peers, self._still()
        session = standing.session
        levels = {name: one.level for name, one in self._cluster.view.sessions.items() if one and one.open}
        return {
            "session": {
                "open": session is not None,
                "epoch": session.epoch if session else 0,
                "level": str(session.level) if session else self._level,
                "why": standing.why,
                "duplicate": standing.duplicate,
            },
            "failover": self._failover,
            "trouble": self._cluster.trouble,
            "outside": sessions.outside(levels, self._fenced),
            "nodes": {
                name: self._node_seen(name, peer, still.get(name))
                for name, peer in sorted(peers.all.items())
            },
        }

    def _node_seen(self, name: str, peer: Peer, age: float | None) -> dict[str, Any]:
        host, session = self._cluster.peers.hosts.get(name, NOBODY), self._cluster.view.sessions.get(name)
        return {
            "alive": peer.alive,
            "maintenance": peer.maintenance,
            "age": None if age is None else round(age, 1),
            "env": host.env,
            "version": host.version,
            "load": host.load,
            "score": host.score,
            "memory": host.memory,
            "swap": host.swap,
            "frozen": host.frozen,
            "drained": host.drained,
            "level": str(session.level) if session else "none",
            "epoch": session.epoch if session else 0,
        }
