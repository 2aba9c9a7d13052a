"""What a case says that people asked, one after the other → what is asked now, and what was refused."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from reconciler.decide import moves, placement
from reconciler.decide.asked import NOBODY, VERBS, Asked, Frozen, Wish, read
from reconciler.decide.candidates import Peer
from reconciler.decide.cases.words import Tree, known, seconds
from reconciler.decide.heard import heard, under_way
from reconciler.decide.moves import MOVES
from reconciler.decide.parts import States, in_the_way
from reconciler.errors import NeedsPerson
from reconciler.model import Service, State

WISH = (
    *("ago", "reason", "for", "rids", "upto", "downto", "force", "local", "at", "to", "phase"),
    *VERBS,
)


def asked(
    service: Service,
    said: Any,
    place: str,
    holders: Sequence[str],
    peers: Mapping[str, Peer] | None,
    states: States,
    frozen: Frozen | None,
    now: float,
) -> tuple[Asked, tuple[str, ...]]:
    """peers: None on a host that is alone. place: where it is asked. A map is what an agent kept."""
    if isinstance(said, Mapping):
        return read(said), ()
    result, refused = NOBODY, list[str]()
    up = frozenset(rid for rid, state in states.items() if state is State.UP)
    for request in said or ():
        wish = _wish(request, place, peers is None, now)
        at = str(request.get("at", place))
        try:
            wish = wish if peers is None else _moved(service, wish, at, holders, peers)
            before = _current(result, wish.at)
            why = placement.refusal(service, wish, before, frozen or before.frozen)
            why = why or (moves.refusal(service, wish, at, holders, peers) if peers is not None else "")
            why = why or under_way(wish, before)
            why = why or in_the_way(service, wish, before, frozen or before.frozen, states)
        except NeedsPerson as fault:
            why = str(fault)
        if why:
            refused.append(f"{wish.who}: {wish.verb}: {why}")
        else:
            held = frozen or before.frozen
            result = heard(wish, result, service.resources, up, held is not None)
            if wish.phase:  # of a restart that has come so far
                result = replace(result, wish=replace(wish, until=wish.at + 300.0))
    return _current(result, now), tuple(refused)


def _current(asked: Asked, now: float) -> Asked:
    """In a case everybody heard of a wish when it was asked."""
    return asked.current(now, now - asked.wish.at if asked.wish else 0.0)


def _wish(request: Tree, place: str, alone: bool, now: float) -> Wish:
    known("asked", request, WISH)
    verb = next((word for word in request if word in VERBS), "")
    if not verb:
        raise ValueError(f"asked: {request} has none of the verbs {', '.join(VERBS)}")
    at = now - seconds(request.get("ago", 10))
    local = bool(request.get("local"))
    return Wish(
        verb=verb,
        who=str(request[verb]),
        at=at,
        id=f"{verb} {at:g}",
        reason=str(request.get("reason", "")),
        until=at + seconds(request["for"]) if "for" in request else 0.0,
        rids=tuple(request.get("rids") or ()),
        upto=str(request.get("upto", "")),
        downto=str(request.get("downto", "")),
        force=bool(request.get("force")),
        local=local,
        node=str(request.get("at", place)) if local and not alone else "",
        to=str(request.get("to", "")),
        phase=str(request.get("phase", "")),
    )


def _moved(
    service: Service, wish: Wish, at: str, holders: Sequence[str], peers: Mapping[str, Peer]
) -> Wish:
    if wish.verb == "restart" and service.topology == "flex" and not wish.node:
        return replace(wish, left=tuple(holders))
    if wish.verb not in MOVES:
        return wish
    away, to = moves.ways(service, wish, at, holders, peers)
    return replace(wish, verb="switch", away=away, to=to)
