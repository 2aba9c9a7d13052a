"""A service, its claims and the nodes → who holds it, and of the others who could: lines of `why`."""

import math
from collections.abc import Mapping
from typing import Any

from reconciler.decide.asked import Asked
from reconciler.decide.candidates import Peer, candidates, left_first
from reconciler.decide.claims import Claim, free, kept_from, left_behind, slots
from reconciler.decide.explain import Line
from reconciler.decide.sessions import Level, Session, takeover
from reconciler.model import Goal, Service, State, nothing

SILENT = 0.25
"""Of the time after which a silent node is dead: less is between two renewals."""
AS_WANTED = {
    Goal.UP.value: (State.UP.value, State.STANDBY_UP.value, State.NA.value),
    Goal.STANDBY.value: (State.STANDBY_UP.value, State.NA.value),
    Goal.DOWN.value: (State.DOWN.value, State.STANDBY_DOWN.value, State.NA.value, State.ELSEWHERE.value),
}


def among(
    service: Service,
    claims: Mapping[int, Claim | None],
    sessions: Mapping[str, Session | None],
    peers: Mapping[str, Peer],
    asked: Asked,
    needed: Level,
    still: Mapping[str, float] | None = None,
    others: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[Line, ...]:
    """Nothing to say of a service that has one node.

    asked   of all nodes.
    needed  the level that a dead holder must have had to be succeeded by itself.
    still   seconds for which a node's beat has not moved.
    others  instances of it on other nodes, as those tell of them and the API shows them.
    """
    if not service.several_nodes:
        return ()
    by = f" that match {', '.join(service.selectors)}" if service.selectors else ""
    lines: list[Line] = [(0, f"among the nodes{by}")]
    held = dict[str, str]()
    for slot, claim in sorted(claims.items()):
        if claim is None:
            lines.append((1, f"slot {slot}: its claim is not understood here: a later version wrote it"))
        elif free(claim, sessions):
            held[claim.node] = f"held it until its session ended (epoch {claim.epoch})"
        else:
            node, silent = claim.node, (still or {}).get(claim.node)
            silence = _silence(service, node, sessions.get(node), needed, silent)
            held[node] = f"holds it (slot {slot}, epoch {claim.epoch}){silence}"
    kept = _kept(service, claims, sessions, needed)
    found, standing = candidates(service, peers), asked.standing
    ranked = left_first(service, found.ranked, left_behind(claims, sessions))
    stopped = standing.node if standing and standing.verb == "stop" else ""
    for name in service.nodes:
        if name == stopped and not held.get(name, "").startswith("holds"):
            lines.append((1, f"{name}: {standing}"))
            continue
        able = ""
        if name in ranked:
            number = f"number {ranked.index(name) + 1}"
            able = f"{number}, but kept out: {kept}" if kept else f"could take it, {number}"
        said = [text for text in (held.get(name, ""), able or found.excluded.get(name, "")) if text]
        if held.get(name, "").startswith("holds"):
            said = said[:1]
        lines.append((1, f"{name}: {'; '.join(said)}"))
        if held.get(name, "").startswith("holds"):
            lines += _short(name, (others or {}).get(name, nothing()))
    return tuple(lines)


def _silence(
    service: Service, node: str, session: Session | None, needed: Level, still: float | None
) -> str:
    """What nobody takes it over for yet, though its holder may be dead; "" when it is heard of."""
    if session is None:
        return ""
    name = service.key.removeprefix("root/")
    if math.isinf(session.wait):
        here = "`standfast node maintenance --off` there"
        off = f"`standfast takeover {name} --confirmed-off {node}`"
        return f", in maintenance: nobody takes it over before {here}, or {off} once that is off for sure"
    if session.fencing:
        return f", and {session.fencing} has begun to fence it: free once that is confirmed"
    if still is None or still < SILENT * session.wait:
        return ""
    why = takeover(session.level, needed, False)
    return f", not heard of for {still:.0f} s: {why or f'free after {session.wait:g} s without a word'}"


def _short(node: str, instance: Mapping[str, Any]) -> list[Line]:
    """What of it is not where it is wanted on the node that holds it, as that node says."""
    found: list[Line] = []
    for rid, part in instance.get("resources", {}).items():
        if part["state"] in AS_WANTED.get(part["goal"], (part["state"],)):
            continue
        why = part["waiting"] or next((one["text"] for one in part["log"]), "")
        found.append(
            (2, f"{rid} is {part['state']} there, wanted {part['goal']}{f': {why}' if why else ''}")
        )
    return [*found, (2, f"`standfast why` on {node} says more")] if found else []


def _kept(
    service: Service,
    claims: Mapping[int, Claim | None],
    sessions: Mapping[str, Session | None],
    needed: Level,
) -> str:
    """What keeps everybody from what a dead holder had, and the way; "" when a slot may be taken."""
    left = list[Claim]()
    for slot in range(slots(service)):
        claim = claims.get(slot)
        if slot not in claims or (claim and not kept_from(claim, needed, sessions)):
            return ""
        if claim and free(claim, sessions):
            left.append(claim)
    if not left:
        return ""
    node, name = left[0].node, service.key.removeprefix("root/")
    session = sessions[node]
    level = session.level if session else Level.NONE
    way = f"`standfast takeover {name} --confirmed-off {node}` once that is off for sure"
    return f"{node} is dead, its safety level was {level}, and {needed} is required: {way}"
