"""Who waits for whom → the circles in it: what is in one would wait for ever."""

from collections.abc import Iterable, Mapping, Sequence

from reconciler.model import Resource, State

_MET_BY = {
    "start": frozenset({State.UP, State.STANDBY_UP}),
    "stop": frozenset({State.DOWN, State.STANDBY_DOWN}),
}
"""States that a resource has only after its own action: to require another one is no waiting for it."""


def found_in(waits: Mapping[str, Iterable[str]]) -> list[tuple[str, ...]]:
    """At most one circle for each place it is entered at, its first member repeated at its end."""
    circles: list[tuple[str, ...]] = []
    done: set[str] = set()
    for start in waits:
        trail, stack = [start], [iter(sorted(waits[start]))]
        while stack and start not in done:
            following = next(stack[-1], None)
            if following is None:
                stack.pop()
                done.add(trail.pop())
            elif following in trail:
                circles.append((*trail[trail.index(following) :], following))
                done.update(trail)
                break
            elif following in waits and following not in done:
                trail.append(following)
                stack.append(iter(sorted(waits[following])))
    return circles


def requiring(
    resources: Sequence[Resource], action: str, order: Mapping[str, Iterable[str]]
) -> dict[str, set[str]]:
    """`order`, and whom each requires to have ended the same action before."""
    waits = {rid: set(others) for rid, others in order.items()}
    for resource in resources:
        if resource.common.disable:
            continue
        for rid, states in resource.common.requires.get(action, ()):
            if states <= _MET_BY[action]:
                waits[resource.rid].add(rid)
    return waits
