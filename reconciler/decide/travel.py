"""A document in force and the same edited → the commit that puts it in force for all, or why not yet.

Who runs a service runs it by the document that its claim compared. What decides who may run it, and with
which things, is another one only while nobody does.
"""

from collections.abc import Mapping

from reconciler.contracts import Driver
from reconciler.decide import keys
from reconciler.decide.claims import Commit, View, free
from reconciler.decide.things import Thing, names, things
from reconciler.model import Service

MOST_SLOTS = 100
"""A commit holds no more than 128 comparisons."""


def needs_stop(before: Service, after: Service, drivers: Mapping[str, Driver]) -> str:
    """What of an edit cannot be in force while anybody runs the service; "" when nothing is."""
    if before.key != after.key:
        return f"it is {after.key} instead of {before.key}"
    if before.topology != after.topology:
        return f"topology is {after.topology} instead of {before.topology}"
    standby = {resource.rid: resource.common.standby for resource in before.resources}
    for resource in after.resources:
        if standby.get(resource.rid, resource.common.standby) != resource.common.standby:
            return f"{resource.rid} is {'standby now' if resource.common.standby else 'no more standby'}"
    old, new = _unresolved(before, drivers), _unresolved(after, drivers)
    other = sorted({thing.name for thing in old ^ new})
    return f"it takes other things: {', '.join(other)}" if other else ""


def put_in_force(service: Service, text: str, stop: str, view: View, asked: str = "") -> Commit | str:
    """The commit for a document; with `stop` (from `needs_stop`) only while all slots are free.

    asked  what is asked of it from then on, "" to leave that as it is.
    """
    key = keys.document(service.key)
    compare = {key: view.revision(key)}
    if stop:
        for slot, claim in sorted(view.claims.get(service.key, {}).items()):
            if claim is None or not free(claim, view.sessions):
                return f"waits for stop on {claim.node if claim else 'an unknown node'}: {stop}"
            compare[keys.claim(service.key, slot)] = view.revision(keys.claim(service.key, slot))
        # Who claims right now does so by the document of before: the first free slot, so none above these.
        for slot in range(min(len(view.sessions) + 1, MOST_SLOTS)):
            compare.setdefault(keys.claim(service.key, slot), 0)
    return Commit(compare, {key: text} | ({keys.wish(service.key): asked} if asked else {}))


def _unresolved(service: Service, drivers: Mapping[str, Driver]) -> set[Thing]:
    """Host names stand for themselves: to resolve otherwise is no edit."""
    found = things(service, drivers, {name: (name,) for name in names(service, drivers)})
    return set() if isinstance(found, str) else set(found)
