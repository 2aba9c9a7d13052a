"""A service and the nodes of the cluster → who may run it, in which order, and why the others may not.

Every node computes the same order from the same snapshot; only the store's compare-and-set makes it
true. An order is a preference, never a right.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from typing import TypeVar

from reconciler.model import Service, nothing

V = TypeVar("V")

UNORDERED = "is as good as any other: placement: none gives no order, a person chooses (`switch --to`)"

THAWS = "`standfast thaw --node` there ends it"
BY_LOAD = ("load avg", "score")
"""Orders that the service itself changes by running: they rank while nobody holds it, and move nothing."""
LEAST_MEMORY, LEAST_SWAP = 2.0, 10.0
"""Percent that must be available; below it a node takes on nothing new."""


@dataclass(frozen=True)
class Peer:
    """One node as the snapshot shows it.

    load  15-minute average. memory, swap  percent available; swap None: it has none.
    cannot  why it may not run a service, as it says itself, by key.
    failed  why a start of a service failed there a short while ago, by key.
    holds  keys of services whose claim it holds. loose  of those up there without one. up  of those
           that are up there, as it says itself.
    started  wall-clock time of its last start, by key. drained  why it gives all away: "drained by …".
    """

    name: str
    alive: bool = True
    maintenance: bool = False
    frozen: str = ""
    env: str = "TST"
    load: float = 0.0
    score: float = 0.0
    memory: float = 100.0
    swap: float | None = None
    cannot: Mapping[str, str] = field(default_factory=nothing)
    failed: Mapping[str, str] = field(default_factory=nothing)
    drained: str = ""
    holds: Set[str] = frozenset()
    loose: Set[str] = frozenset()
    started: Mapping[str, float] = field(default_factory=nothing)
    up: Set[str] = frozenset()


@dataclass(frozen=True)
class Candidates:
    """`ranked`: best first. `excluded`: node → why, in words; in the document's order."""

    ranked: tuple[str, ...]
    excluded: Mapping[str, str]


def candidates(service: Service, peers: Mapping[str, Peer]) -> Candidates:
    """Who may take the service when nobody holds it. Equal arguments, equal answer, on every node."""
    excluded: dict[str, str] = {}
    able: list[str] = []
    for name in service.nodes:
        if why := _obstacle(service, peers.get(name), peers):
            excluded[name] = why
        else:
            able.append(name)
    ranked = _by_policy(service, able, peers)
    if service.placement == "none" and len(ranked) > 1:
        return Candidates((), {**excluded, **dict.fromkeys(ranked, UNORDERED)})
    return Candidates(tuple(_softly(service, ranked, peers)), excluded)


def left_first(service: Service, ranked: Iterable[str], left: Collection[str]) -> tuple[str, ...]:
    """Who stopped it when its session ended, is back, and was not succeeded, goes on with it."""
    if service.failback == "auto":
        return tuple(ranked)
    return tuple(sorted(ranked, key=lambda name: name not in left))


def order(service: Service, peers: Mapping[str, Peer], holders: Set[str]) -> tuple[str, ...]:
    """Who runs it best, best first: of who holds it nothing is asked that is asked of who takes it."""
    as_held = {name: _able(peer) if name in holders else peer for name, peer in peers.items()}
    return candidates(service, as_held).ranked


def _able(peer: Peer) -> Peer:
    none = nothing()
    return replace(
        peer, maintenance=False, frozen="", drained="", memory=100.0, swap=None, cannot=none, failed=none
    )


def near(service: Service, peers: Mapping[str, Peer]) -> dict[str, Peer]:
    """Of all nodes what matters for this service, as values that do not change any more.

    Its own nodes, and those that hold what it is bound to by a relation.
    """
    key, bound = service.key, {service.key}
    for relation in service.relations:
        bound.update(name.partition("@")[0] for name in _keys(service, relation))
    return {
        name: _narrowed(peer, key, bound)
        for name, peer in peers.items()
        if name in service.nodes or not (bound.isdisjoint(peer.holds) and bound.isdisjoint(peer.loose))
    }


class Near(Mapping[str, Peer]):
    """`near`, made at the first look: what was not looked at was not decided on, and costs nothing."""

    __slots__ = ("_live", "_seen", "_service")

    def __init__(self, service: Service, live: Mapping[str, Peer]) -> None:
        self._service, self._live = service, live
        self._seen: dict[str, Peer] | None = None

    def seen(self) -> dict[str, Peer]:
        """As they were at the first look, which may be this one."""
        if self._seen is None:
            self._seen = near(self._service, self._live)
        return self._seen

    def __getitem__(self, name: str) -> Peer:
        return self.seen()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.seen())

    def __len__(self) -> int:
        return len(self.seen())


def _narrowed(peer: Peer, key: str, bound: set[str]) -> Peer:
    """All fields in their order: `replace` takes twice the time."""
    return Peer(
        peer.name,
        peer.alive,
        peer.maintenance,
        peer.frozen,
        peer.env,
        peer.load,
        peer.score,
        peer.memory,
        peer.swap,
        _of(key, peer.cannot),
        _of(key, peer.failed),
        peer.drained,
        frozenset(bound.intersection(peer.holds)),
        frozenset(bound.intersection(peer.loose)),
        _of(key, peer.started),
        frozenset(bound.intersection(peer.up)),
    )


def _of(key: str, kept: Mapping[str, V]) -> Mapping[str, V]:
    return {key: kept[key]} if key in kept else nothing()


def score(load: float, memory: float, swap: float | None) -> float:
    """One figure for how much room a node has, more is better: 0 to about 100."""
    idle = 100.0 / max(load, 1.0)
    return (idle + 100.0 + memory + 2.0 * (100.0 + (100.0 if swap is None else swap))) / 7.0


def _obstacle(service: Service, peer: Peer | None, peers: Mapping[str, Peer]) -> str:
    """Why this node may not; the first reason that holds."""
    key = service.key
    if peer is None:
        return "has never been seen: no agent of that name has joined"
    if not peer.alive:
        return "has no open session: its agent does not run, or does not reach the store"
    if peer.maintenance:
        return "is in maintenance: `standfast node maintenance --off` there ends it"
    if peer.frozen:
        return f"is frozen: {peer.frozen}; {THAWS}"
    if peer.drained:
        return f"is {peer.drained}; {THAWS}"
    if service.env == "PRD" and peer.env != "PRD":
        return f"is a {peer.env} node, the service is PRD"
    if key in peer.cannot:
        return peer.cannot[key]
    if key in peer.failed:
        return f"a start failed there: {peer.failed[key]}"
    if peer.memory < LEAST_MEMORY:
        return f"has only {peer.memory:.0f} % of its memory available"
    if peer.swap is not None and peer.swap < LEAST_SWAP:
        return f"has only {peer.swap:.0f} % of its swap available"
    return _relation(service, peer, peers)


def _relation(service: Service, peer: Peer, peers: Mapping[str, Peer]) -> str:
    """Hard affinities and parents that are not met here."""
    for other in _keys(service, "hard_affinity"):
        if other not in peer.holds:
            return f"must run where {other} runs"
    for other in _keys(service, "hard_anti_affinity"):
        if other in peer.holds:
            return f"must not run where {other} runs"
    for parent in _keys(service, "parents"):
        where = parent.partition("@")[2]
        key = parent.partition("@")[0]
        up = [p.name for p in peers.values() if key in p.holds and key in p.up]
        if where and where not in up:
            return f"waits for its parent {key} on {where}"
        if not up:
            return f"waits for its parent {key}"
    return ""


def _by_policy(service: Service, able: Iterable[str], peers: Mapping[str, Peer]) -> list[str]:
    key, listed = service.key, list(able)
    match service.placement:
        case "load avg":
            return sorted(listed, key=lambda n: (peers[n].load, service.nodes.index(n)))
        case "score":
            return sorted(listed, key=lambda n: (-peers[n].score, service.nodes.index(n)))
        case "spread":
            return sorted(listed, key=lambda n: hashlib.sha256(f"{key} {n}".encode()).digest())
        case "shift":
            return _shifted(service, listed)
        case "last start":
            return sorted(listed, key=lambda n: (-peers[n].started.get(key, 0.0), service.nodes.index(n)))
        case _:
            return listed


def _shifted(service: Service, able: list[str]) -> list[str]:
    """The document's order, begun at the number its name ends with: web1, web2 … begin elsewhere."""
    found = re.search(r"\d+$", service.name)
    begin = int(found[0]) % len(service.nodes) if found else 0
    order = (*service.nodes[begin:], *service.nodes[:begin])
    return [name for name in order if name in able]


def _softly(service: Service, ranked: list[str], peers: Mapping[str, Peer]) -> list[str]:
    """Soft affinities come before the policy, and give way when nobody meets them."""

    def away(name: str) -> int:
        wished = sum(other not in peers[name].holds for other in _keys(service, "soft_affinity"))
        return wished + sum(other in peers[name].holds for other in _keys(service, "soft_anti_affinity"))

    return sorted(ranked, key=away)


def bound_to(key: str, services: Iterable[Service]) -> list[str]:
    """Keys of those that name this one in a relation: what becomes of it decides about them."""
    return [
        service.key
        for service in services
        if service.relations
        and any(
            name.partition("@")[0] == key
            for relation in service.relations
            for name in _keys(service, relation)
        )
    ]


def child_up(service: Service, peers: Mapping[str, Peer]) -> str:
    """One of its children that is not down yet, and where, "" for none."""
    if not (children := _keys(service, "children")):
        return ""
    found = [
        f"{key} on {peer.name}"
        for key in children
        for peer in peers.values()
        if key in peer.holds or key in peer.loose
    ]
    return found[0] if found else ""


def _keys(service: Service, relation: str) -> tuple[str, ...]:
    """Other services as keys: `db` is in the namespace of who names it."""
    named = service.relations.get(relation, ())
    return tuple(name if "/" in name else f"{service.namespace}/{name}" for name in named)
