"""A service, its claims and the nodes → who holds it, and of the others who could: lines of `why`."""

from collections.abc import Mapping

from reconciler.decide.asked import Asked
from reconciler.decide.candidates import Peer, candidates
from reconciler.decide.claims import Claim, free, kept_from, slots
from reconciler.decide.explain import Line
from reconciler.decide.sessions import Level, Session
from reconciler.model import Service


def among(
    service: Service,
    claims: Mapping[int, Claim | None],
    sessions: Mapping[str, Session | None],
    peers: Mapping[str, Peer],
    asked: Asked,
    needed: Level,
) -> tuple[Line, ...]:
    """Nothing to say of a service that has one node.

    asked   of all nodes.
    needed  the level that a dead holder must have had to be succeeded by itself.
    """
    if len(service.nodes) < 2:
        return ()
    lines: list[Line] = [(0, "among the nodes")]
    held = dict[str, str]()
    for slot, claim in sorted(claims.items()):
        if claim is None:
            lines.append((1, f"slot {slot}: its claim is not understood here: a later version wrote it"))
        elif free(claim, sessions):
            held[claim.node] = f"held it until its session ended (epoch {claim.epoch})"
        else:
            held[claim.node] = f"holds it (slot {slot}, epoch {claim.epoch})"
    kept = _kept(service, claims, sessions, needed)
    found, standing = candidates(service, peers), asked.standing
    stopped = standing.node if standing and standing.verb == "stop" else ""
    for name in service.nodes:
        if name == stopped and not held.get(name, "").startswith("holds"):
            lines.append((1, f"{name}: {standing}"))
            continue
        able = ""
        if name in found.ranked:
            number = f"number {found.ranked.index(name) + 1}"
            able = f"{number}, but kept out: {kept}" if kept else f"could take it, {number}"
        said = [text for text in (held.get(name, ""), able or found.excluded.get(name, "")) if text]
        if held.get(name, "").startswith("holds"):
            said = said[:1]
        lines.append((1, f"{name}: {'; '.join(said)}"))
    return tuple(lines)


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
