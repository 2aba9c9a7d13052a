"""The nodes and claims of a case → sessions, peers and the store's view, as each node has them.

A node of which nothing is said is alive, has a session with a watchdog, and room for everything.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.contracts import Driver, Entry
from reconciler.decide import claims as c
from reconciler.decide import keys, things
from reconciler.decide.asked import Frozen
from reconciler.decide.candidates import Peer
from reconciler.decide.cases.packing import unplain
from reconciler.decide.cases.services import key_of
from reconciler.decide.cases.words import Tree, known, listed, seconds
from reconciler.decide.claims import Claim, Holder, View
from reconciler.decide.sessions import Level, Session, read
from reconciler.decide.things import Hold
from reconciler.decide.timing import PROFILES
from reconciler.model import Service

EPOCH = 7
NODE = (
    *("dead", "silent", "level", "epoch", "boots", "fencing", "maintenance", "frozen", "drained", "env"),
    *("load", "score", "memory", "swap", "cannot", "failed", "gives_away", "loose", "started", "holds"),
    *("no_session", "leaving", "alive", "labels", "peer", "session", "drained_here", "coming_up"),
)
FROZEN = ("by", "ago", "reason", "for")


@dataclass(frozen=True)
class Cluster:
    """nodes: what is said of each. claims: of each service, by slot."""

    nodes: Mapping[str, Tree]
    sessions: Mapping[str, Session | None]
    peers: Mapping[str, Peer]
    claims: Mapping[str, Mapping[int, Claim | None]]
    unsure: frozenset[tuple[str, str]]  # services and nodes whose claim is not written by this agent
    view: View

    def holders(self, key: str) -> tuple[str, ...]:
        held = self.claims.get(key, {})
        return tuple(one.node for _, one in sorted(held.items()) if one and not c.free(one, self.sessions))

    def alive(self, nodes: Iterable[str]) -> set[str]:
        """Those of them whose session is open, also if nothing is heard of them."""
        return {name for name in nodes if (session := self.sessions.get(name)) and session.open}

    def place(self, key: str, service: Service) -> str:
        """The node that is meant where none is named: who has it, or had it, or is the first."""
        for slot in sorted(self.claims.get(key, {})):
            if claim := self.claims[key][slot]:
                return claim.node
        return next((node for node in service.nodes if node in self.nodes), next(iter(self.nodes)))

    def me(self, node: str) -> Holder | None:
        session = self.sessions.get(node)
        able = session and session.open and not self.nodes[node].get("no_session")
        return Holder(session, 1) if session and able else None


def cluster(
    given: Tree, services: Mapping[str, Service], drivers: Mapping[str, Driver], now: float
) -> Cluster:
    """Raises ValueError for what means nothing."""
    nodes = {name: said or {} for name, said in (given.get("nodes") or {}).items()}
    for name, said in nodes.items():
        known(f"nodes: {name}", said, NODE)
    sessions: dict[str, Session | None] = {name: _session(name, said) for name, said in nodes.items()}
    claims, unsure = dict[str, dict[int, Claim | None]](), set[tuple[str, str]]()
    for name, said in (given.get("claims") or {}).items():
        key = key_of(name)
        claims[key] = _claims(said, sessions, services.get(key), drivers)
        holds = [one for one in (said.values() if isinstance(said, dict) else ()) if isinstance(one, dict)]
        unsure |= {(key, one["node"]) for one in holds if one.get("sure") is False}
    held = {
        name: frozenset(
            key
            for key, slots in claims.items()
            for one in slots.values()
            if one and one.node == name and not c.free(one, sessions)
        )
        for name in nodes
    }
    peers = {name: _peer(name, said, sessions[name], held[name], now) for name, said in nodes.items()}
    return Cluster(
        nodes, sessions, peers, claims, frozenset(unsure), _view(services, drivers, sessions, claims)
    )


def _session(name: str, said: Tree) -> Session | None:
    """Closed where the node is dead: the epoch went on with it."""
    if "session" in said:  # as an agent kept it
        return read(json.dumps(said["session"]))
    if said.get("alive") is False and "level" not in said:
        return None  # it has never opened one
    wait = math.inf if said.get("maintenance") else PROFILES["default"].wait
    level = Level(said.get("level", "lease+watchdog"))
    dead = bool(said.get("dead"))
    epoch = int(said.get("epoch", EPOCH)) + bool(dead)
    boots = str(said.get("boots", "boot"))
    return Session(name, epoch, boots, "secret", wait, level, not dead, str(said.get("fencing", "")))


def _peer(name: str, said: Tree, session: Session | None, held: frozenset[str], now: float) -> Peer:
    if "peer" in said:  # as an agent kept it
        return Peer(name, **unplain(said["peer"]))
    alive = session is not None and session.open
    return Peer(
        name,
        alive,
        alive and bool(said.get("maintenance")),
        _by(said.get("frozen"), "node frozen by "),
        str(said.get("env", "TST")),
        float(said.get("load", 0.0)),
        float(said.get("score", 0.0)),
        float(said.get("memory", 100.0)),
        None if said.get("swap") is None else float(said["swap"]),
        _by_key(said.get("cannot")),
        _by_key(said.get("failed")) | _by_key(said.get("gives_away")),
        _by(said.get("drained"), "drained by "),
        held | {key_of(one) for one in listed(said.get("holds"))},
        frozenset(key_of(one) for one in listed(said.get("loose"))),
        {key_of(one): now - seconds(ago) for one, ago in (said.get("started") or {}).items()},
        held - {key_of(one) for one in listed(said.get("coming_up"))},
    )


def _by_key(said: Tree | None) -> dict[str, str]:
    return {key_of(name): str(why) for name, why in (said or {}).items()}


def _by(who: Any, words: str) -> str:
    """As hosts tell of it: `frozen: bob`, or with a reason."""
    if not who:
        return ""
    if isinstance(who, str):
        return words + who
    return str(frozen(who, 0.0, words.split()[0])) if "frozen" in words else words + str(who["by"])


def frozen(said: Any, now: float, scope: str) -> Frozen | None:
    """`bob`, or `{by: bob, ago: 2h, reason: new disks, for: 3h}`."""
    if not said:
        return None
    if isinstance(said, str):
        said = {"by": said}
    known("frozen", said, FROZEN)
    at = now - seconds(said.get("ago", 60))
    until = at + seconds(said["for"]) if "for" in said else 0.0
    return Frozen(str(said["by"]), at, str(said.get("reason", "")), until, scope)


def _claims(
    said: Any,
    sessions: Mapping[str, Session | None],
    service: Service | None,
    drivers: Mapping[str, Driver],
) -> dict[int, Claim | None]:
    """`demo1`, `[demo1, demo2]` by slot, or `{0: {node: demo1, epoch: 4}, 1: null}`."""
    slots = said if isinstance(said, Mapping) else dict(enumerate(listed(said)))
    made: dict[int, Claim | None] = {}
    for slot, one in slots.items():
        if one is None:
            made[int(slot)] = None
            continue
        one = {"node": one} if isinstance(one, str) else one
        known("claims", one, ("node", "epoch", "things", "sure"))
        session = sessions.get(one["node"])
        # Of a dead node it is the epoch before the one that its close began.
        ends = EPOCH if session is None else session.epoch - (not session.open)
        named = things.literal(service, drivers) if service else ()
        has = tuple(one["things"]) if "things" in one else tuple(thing.name for thing in named)
        made[int(slot)] = Claim(int(slot), one["node"], int(one.get("epoch", ends)), has)
    return made


def _view(
    services: Mapping[str, Service],
    drivers: Mapping[str, Driver],
    sessions: Mapping[str, Session | None],
    claims: Mapping[str, Mapping[int, Claim | None]],
) -> View:
    """The store as it is when the claims say who has which thing."""
    entries = {keys.document(key): Entry("{}", 1) for key in services}
    holds: dict[str, list[Hold]] = {}
    for key, slots in claims.items():
        wide = {thing.name for thing in things.literal(services[key], drivers) if thing.everywhere}
        for slot, claim in slots.items():
            entries[keys.claim(key, slot)] = Entry(c.written(claim) if claim else "?", 1)
            for name in claim.things if claim else ():
                hold = Hold(key, slot, claim.node, claim.epoch, name in wide) if claim else None
                holds.setdefault(name, []).extend([hold] if hold else [])
    entries |= {keys.thing(name): Entry(things.written(held), 1) for name, held in holds.items()}
    return View(entries, sessions, claims)
