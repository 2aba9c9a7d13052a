"""A service, its claims and the nodes → who holds it, and of the others who could: lines of `why`."""

from collections.abc import Mapping

from reconciler.decide.asked import Asked
from reconciler.decide.candidates import Peer, candidates
from reconciler.decide.claims import Claim, free
from reconciler.decide.explain import Line
from reconciler.decide.sessions import Session
from reconciler.model import Service


def among(
    service: Service,
    claims: Mapping[int, Claim | None],
    sessions: Mapping[str, Session | None],
    peers: Mapping[str, Peer],
    asked: Asked,
) -> tuple[Line, ...]:
    """Nothing to say of a service that has one node. `asked`: of all nodes."""
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
    found, standing = candidates(service, peers), asked.standing
    stopped = standing.node if standing and standing.verb == "stop" else ""
    for name in service.nodes:
        if name == stopped and not held.get(name, "").startswith("holds"):
            lines.append((1, f"{name}: {standing}"))
            continue
        able = f"could take it, number {found.ranked.index(name) + 1}" if name in found.ranked else ""
        said = [text for text in (held.get(name, ""), able or found.excluded.get(name, "")) if text]
        if held.get(name, "").startswith("holds"):
            said = said[:1]
        lines.append((1, f"{name}: {'; '.join(said)}"))
    return tuple(lines)
