"""The cluster as it is, and one node down, drained or frozen → where each of its services would go, why.

By the same decisions that would be taken then; one service after another, for each that moves takes room.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from reconciler.decide.asked import NOBODY, Asked
from reconciler.decide.candidates import Peer, candidates
from reconciler.decide.claims import Claim, free, kept_from
from reconciler.decide.placement import Here, decide
from reconciler.decide.sessions import Level, Session
from reconciler.model import Service, ServiceGoal

CHANGES = ("down", "drain", "freeze")


@dataclass(frozen=True)
class Held:
    """One that is held: its claims, the level that its holder needs to be succeeded, what was asked."""

    service: Service
    claims: Mapping[int, Claim | None]
    needed: Level
    asked: Asked = NOBODY


@dataclass(frozen=True)
class Move:
    """`to`: "" when nobody takes it. `why`: in words."""

    service: str
    slot: int
    to: str
    why: str


def what_if(
    node: str,
    change: str,
    held: Iterable[Held],
    sessions: Mapping[str, Session | None],
    peers: Mapping[str, Peer],
) -> tuple[Move, ...]:
    """Services of the node, by priority and name. `change`: one of CHANGES."""
    after = dict(peers)
    mine = after.get(node, Peer(node))
    changed = {"down": {"alive": False}, "drain": {"drained": "drained"}, "freeze": {"frozen": "frozen"}}
    after[node] = replace(mine, **changed[change])  # type: ignore[arg-type]  # fields of Peer
    later = dict(sessions)
    if change == "down" and (session := sessions.get(node)):
        later[node] = replace(session, open=False, epoch=session.epoch + 1)
    moves: list[Move] = []
    for one in sorted(held, key=lambda h: (h.service.priority, h.service.key)):
        for slot, claim in sorted(one.claims.items()):
            if claim is None or claim.node != node or free(claim, sessions):
                continue
            move = _moved(one, slot, claim, change, later, after)
            moves.append(move)
            if move.to and move.to != node:
                taker = after[move.to]
                key = one.service.key
                after[move.to] = replace(taker, holds=taker.holds | {key}, up=taker.up | {key})
    return tuple(moves)


def _moved(
    one: Held,
    slot: int,
    claim: Claim,
    change: str,
    sessions: Mapping[str, Session | None],
    peers: Mapping[str, Peer],
) -> Move:
    service = one.service
    key = service.key
    if change == "freeze":
        return Move(key, slot, claim.node, "stays: a freeze stops nothing, and starts nothing either")
    if change == "down" and service.orchestrate != "ha":
        return Move(key, slot, "", f"is not failed over: orchestrate: {service.orchestrate}")
    if change == "down" and (why := kept_from(claim, one.needed, sessions)):
        return Move(key, slot, "", why)
    holders = {c.node for n, c in one.claims.items() if c and n != slot and not free(c, sessions)}
    found = candidates(service, peers)
    able = [name for name in found.ranked if name not in holders]
    goals = {name: decide(service, one.asked.on(name), Here(name, 0.0)) for name in able}
    ranked = [name for name in able if goals[name].goal is ServiceGoal.UP]
    if able and not ranked:
        return Move(key, slot, "", f"nobody takes it: {goals[able[0]].reason}")
    if ranked:
        others = f", before {', '.join(ranked[1:])}" if len(ranked) > 1 else ", the only one that may"
        return Move(key, slot, ranked[0], f"by placement: {service.placement}{others}")
    excluded = {**dict.fromkeys(holders, "has an instance of it"), **found.excluded}
    reasons = "; ".join(f"{name} {why}" for name, why in excluded.items() if name != claim.node)
    return Move(key, slot, "", f"nobody may take it: {reasons or 'it has no other node'}")
