"""A case as plain data → the inputs of each decision in it, for every node and service."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from reconciler.contracts import Driver
from reconciler.decide import claims as c
from reconciler.decide import turn
from reconciler.decide.asked import Asked
from reconciler.decide.candidates import near
from reconciler.decide.cases import wishes
from reconciler.decide.cases.cluster import Cluster, cluster, frozen
from reconciler.decide.cases.looks import counted, look
from reconciler.decide.cases.services import key_of, services, shown, tree_of
from reconciler.decide.cases.words import Tree, at, known, listed, seconds
from reconciler.decide.claims import View
from reconciler.decide.documents import Home
from reconciler.decide.inputs import Inputs
from reconciler.decide.placement import Here
from reconciler.model import Service, State

NOW = 1e9
"""Wall-clock time of a case that does not say any."""
KEYS = (
    *("documents", "services", "deleted", "nodes", "frozen", "claims", "asked", "moved", "seen", "applied"),
    *("memory", "running", "attempt", "waited", "answers", "stays", "what_if", "look", "alone", "now"),
    *("fencing",),
)


@dataclass(frozen=True)
class One:
    """One decision. view: the store, where the claim is asked for by this node; None: it was answered."""

    key: str
    node: str
    given: Inputs
    view: View | None


@dataclass(frozen=True)
class Case:
    """`refused`: what people asked in vain, by service. `services`: as the first node reads them."""

    ones: tuple[One, ...]
    cluster: Cluster
    services: Mapping[str, Service]
    asked: Mapping[str, Asked]
    refused: Mapping[str, tuple[str, ...]]
    what_if: tuple[tuple[str, str], ...]  # node and change
    fencing: tuple[str, ...]  # nodes that can be switched off
    drivers: Mapping[str, Driver]


def case(given: Tree, drivers: Mapping[str, Driver]) -> Case:
    """Raises ValueError for what means nothing, with what was meant."""
    known("the case", given, KEYS)
    names = tuple(given.get("nodes") or {})
    if not names:
        raise ValueError("nodes: a case has at least one node")
    now = float(given.get("now", NOW))
    first = services(given, _home(given, names[0]))
    by_node = {name: services(given, _home(given, name), refuses=True) for name in names}
    made = cluster(given, first, drivers, now)
    alone = bool(given.get("alone", len(names) == 1))
    asked, refused = _asked(given, first, made, alone, now)
    ones = tuple(
        _one(given, by_node[node][key], node, made, asked[key], alone, now)
        for key in first
        for node in _of_interest(given, by_node, key, made)
        if key in by_node[node]
    )
    pairs = tuple((one["node"], one["change"]) for one in listed(given.get("what_if")))
    return Case(ones, made, first, asked, refused, pairs, listed(given.get("fencing")), drivers)


def _home(given: Tree, node: str) -> Home:
    labels = {name: (said or {}).get("labels") or {} for name, said in given["nodes"].items()}
    return Home(node, str((given["nodes"][node] or {}).get("env", "TST")), labels[node], hosts=labels)


def _of_interest(
    given: Tree, by_node: Mapping[str, Mapping[str, Service]], key: str, made: Cluster
) -> tuple[str, ...]:
    """Who lives decides: the nodes of the document, and those that have something of it."""
    if (only := (given.get("look") or {}).get(shown(key))) is not None:
        return listed(only)
    found = []
    for node, said in made.nodes.items():
        dead = said.get("dead") or said.get("silent") or said.get("alive") is False
        there = f"{shown(key)}@{node}" in (given.get("seen") or {}) or node in made.holders(key)
        mine = by_node[node].get(key)
        if mine and not dead and (node in mine.nodes or there):
            found.append(node)
    return tuple(found)


def _asked(
    given: Tree, first: Mapping[str, Service], made: Cluster, alone: bool, now: float
) -> tuple[dict[str, Asked], dict[str, tuple[str, ...]]]:
    asked, refused = dict[str, Asked](), dict[str, tuple[str, ...]]()
    for key, service in first.items():
        place = made.place(key, service)
        held = _frozen(given, made, place, now)
        words = at(given.get("seen"), shown(key), place, place)
        states = {r.rid: State(_said(words, r.rid)) for r in service.resources}
        peers = None if alone else made.peers
        said = (given.get("asked") or {}).get(shown(key))
        holders = made.holders(key)
        asked[key], no = wishes.asked(service, said, place, holders, peers, states, held, now)
        moved = tuple(now - seconds(ago) for ago in (given.get("moved") or {}).get(shown(key), ()))
        asked[key] = replace(asked[key], moves=moved) if moved else asked[key]
        refused |= {key: no} if no else {}
    return asked, refused


def _said(words: Any, rid: str) -> str:
    one = words if isinstance(words, str) else (words or {}).get(rid, (words or {}).get("all", "down"))
    return str(one if isinstance(one, str) else one.get("state", "down"))


def _frozen(given: Tree, made: Cluster, node: str, now: float) -> Any:
    whole = frozen(given.get("frozen"), now, "cluster")
    return whole or frozen(made.nodes[node].get("frozen"), now, "node")


def _one(
    given: Tree, service: Service, node: str, made: Cluster, asked: Asked, alone: bool, now: float
) -> One:
    key, said = service.key, made.nodes[node]
    place = made.place(key, service)

    def mine(word: str) -> Any:
        return at(given.get(word), shown(key), node, place)

    failed, lost = (_of(said.get(word), key) for word in ("failed", "gives_away"))
    leaving = str(said.get("leaving") or "")
    here = Here(node, now, _frozen(given, made, node, now), failed or lost, bool(lost), leaving)
    deleted = shown(key) in listed(given.get("deleted"))
    attempt = mine("attempt") or {}
    more = {"memory": mine("memory"), "running": mine("running"), "attempt": attempt}
    seen = look(service, deleted, mine("seen"), mine("applied"), more)
    alive = any(
        one.observed.state in (State.UP, State.WARN) and not one.resource.common.standby
        for one in seen.seen.values()
    )
    documents = {key_of(name): one for name, one in (given.get("documents") or {}).items()}
    tree = tree_of(key, documents[key], _home(given, node)) if key in documents else {}
    return One(
        key,
        node,
        Inputs(
            service,
            here,
            seen,
            tree,
            deleted,
            asked,
            None if alone else _near(given, service, node, made),
            counted(attempt, coming_up=not alive),
        ),
        None if alone or mine("answers") is not None else made.view,
    )


def _of(said: Tree | None, key: str) -> str:
    return str((said or {}).get(shown(key), ""))


def _near(given: Tree, service: Service, node: str, made: Cluster) -> turn.Situation:
    key, me = service.key, made.me(node)
    slots, place = made.claims.get(key, {}), made.place(key, service)
    mine = c.mine(key, me.session, made.view) if me else None
    waited = at(given.get("waited"), shown(key), node, node) or {}
    no_session = str(made.nodes[node].get("no_session") or "")
    return turn.Situation(
        node,
        no_session or ("" if me else "this node has no session: its time is over"),
        slots,
        c.slots(service),
        {one.node: made.sessions.get(one.node) for one in slots.values() if one},
        near(service, made.peers),
        mine,
        mine is not None and (key, node) not in made.unsure,
        {word: seconds(span) for word, span in waited.items()},
        str(made.nodes[node].get("drained_here") or made.peers[node].drained),
        str(at(given.get("stays"), shown(key), node, place) or ""),
        str(at(given.get("answers"), shown(key), node, place) or ""),
    )
