"""A move that a person asks for, the holders and the nodes → where it leads, or why it cannot be now."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from reconciler.decide.asked import Asked, Wish
from reconciler.decide.candidates import UNORDERED, Peer, candidates
from reconciler.errors import NeedsPerson
from reconciler.model import Service

MOVES = ("switch", "takeover", "giveback")
"""All of them are a switch, with another way to say where."""

Peers = Mapping[str, Peer]


def ways(service: Service, wish: Wish, node: str, holders: Sequence[str], peers: Peers) -> tuple[str, str]:
    """From where and to where a move leads: one of the two. `node`: where it is asked.

    Raises NeedsPerson when it leads nowhere.
    """
    if wish.verb == "takeover":
        return "", node
    if wish.verb == "giveback":
        best = candidates(service, peers).ranked
        if not best:
            raise NeedsPerson(f"{service.key}: no node may run it: `standfast why {service.key}`")
        return "", best[0]
    if wish.to:
        return "", wish.to
    if not holders:
        raise NeedsPerson(f"{service.key}: no node holds it; say where to: --to NODE, or `start`")
    return holders[0], ""


def refusal(service: Service, wish: Wish, node: str, holders: Sequence[str], peers: Peers) -> str:
    """Why the cluster as it is now cannot do what is asked, "" when it can."""
    once = wish.verb == "start" and wish.node and service.topology == "failover"
    if once and holders and node not in holders:
        where = f"standfast switch {service.key} --to {node}"
        return f"{holders[0]} holds it: `{where}` moves it here"
    if wish.verb != "switch":
        return ""
    if service.topology != "failover":
        return f"it is {service.topology}: its instances are not moved; drain a node, or change its target"
    if wish.to in holders:
        return f"{wish.to} holds it already"
    if service.state == "stopped":
        return f"git says stopped ({service.source}:{service.line})"
    return _no_way(service, wish, peers)


def _no_way(service: Service, wish: Wish, peers: Peers) -> str:
    """Why the node that is named may not take it, or why no other may."""
    found = candidates(service, peers)
    if wish.to and wish.to not in service.nodes:
        return f"{wish.to} is not among its nodes ({service.nodes_shown})"
    if wish.to and wish.to not in found.ranked:
        why = found.excluded[wish.to]
        return "" if why == UNORDERED else f"{wish.to} {why}"  # there a person chooses
    if wish.away and not set(found.ranked) - {wish.away}:
        reasons = "; ".join(f"{name} {why}" for name, why in found.excluded.items() if name != wish.away)
        return f"no other node may take it: {reasons or 'it has no other'}"
    return ""


def still_asked(service: Service, asked: Asked, holders: Sequence[str], peers: Peers) -> Asked:
    """A move as long as it leads somewhere; a rolling restart without those at its head that are dead."""
    if asked.wish and asked.wish.verb == "switch":
        why = _stranded(service, asked.wish, holders, peers)
        return asked.ended_as("failed", why) if why else asked
    wish = passed_over(asked.wish, peers)
    if wish == asked.wish:
        return asked
    return replace(asked, wish=wish) if wish and wish.left else asked.ended_as("fulfilled")


def _stranded(service: Service, wish: Wish, holders: Sequence[str], peers: Peers) -> str:
    arrived = wish.to in holders if wish.to else bool(set(holders) - {wish.away})
    return "" if arrived else _no_way(service, wish, peers)


def passed_over(wish: Wish | None, peers: Peers) -> Wish | None:
    """A rolling restart without those at its head that are dead."""
    if wish is None or not wish.left:
        return wish
    alive = [name for name in wish.left if (peer := peers.get(name)) and peer.alive]
    skipped = wish.left.index(alive[0]) if alive else len(wish.left)
    return replace(wish, left=wish.left[skipped:], phase="down" if skipped else wish.phase)
