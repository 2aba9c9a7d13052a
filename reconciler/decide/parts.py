"""A wish to take a part down, and what is up → what stands on it, in the way, and what to type."""

from collections.abc import Mapping

from reconciler.decide.asked import Asked, Frozen, Wish
from reconciler.decide.order import Order, order
from reconciler.decide.placement import named, short_of
from reconciler.model import SETTLED, Goal, Resource, Service, State

States = Mapping[str, State]
"""By rid; of what was not looked at yet, nothing is known to be in the way."""


def in_the_way(service: Service, wish: Wish, asked: Asked, frozen: Frozen | None, states: States) -> str:
    """Why a part cannot go down by this wish, in words with what to do; "" when it can.

    A restart takes down what stands on the part by itself, as far as it would bring that back.
    """
    if not wish.rids or wish.verb not in ("stop", "restart", "unprovision"):
        return ""
    if (wish.verb == "stop" and wish.force) or (asked.standing and asked.standing.verb == "stop"):
        return ""  # as was said; or all of it goes down anyway
    line, by_rid = order(service.resources), {r.rid: r for r in service.resources}
    mine = [rid for rid in line.rids if named(by_rid[rid], wish.rids)]
    there = [by_rid[rid] for rid in reversed(line.rids) if _stands(by_rid[rid], mine, line, states)]
    there = [r for r in there if r.rid not in asked.stopped]  # on their way down, or about to be
    if wish.verb == "restart":
        left = frozen is not None or (service.orchestrate == "no" and asked.standing is None)
        there = [r for r in there if left or _by_hand(r)]
    if not there:
        return ""
    said = ", ".join(f"{r.rid} ({states[r.rid]})" for r in there)
    what = f"{said} {'stands' if len(there) == 1 else 'stand'} on {', '.join(mine)}"
    return f"{what}: {_todo(service, wish, there, by_rid[mine[0]])}"


def _stands(r: Resource, mine: list[str], line: Order, states: States) -> bool:
    if r.rid in mine or r.common.disable or states.get(r.rid, State.DOWN) in SETTLED[Goal.DOWN]:
        return False
    return not line.stands_on[r.rid].isdisjoint(mine)


def _by_hand(r: Resource) -> bool:
    return "noaction" in r.common.tags


def _todo(service: Service, wish: Wish, there: list[Resource], lowest: Resource) -> str:
    """`lowest`: what starts first of what was named."""
    if hands := [r.rid for r in there if _by_hand(r)]:
        return f"the document says noaction for {', '.join(hands)}, so end that yourself first"
    name, rids = service.key.removeprefix("root/"), ",".join(r.rid for r in there)
    local = " --local" if wish.local else ""
    if wish.verb == "unprovision":
        return f"stop that first: `standfast stop {name} --rid {rids}{local}`"
    todo = f"`standfast {wish.verb} {name} --rid {rids},{','.join(wish.rids)}{local}`"
    if wish.verb == "stop" and not any(short_of(r, lowest.rid) for r in there):
        todo += f", or `--downto {lowest.rid}` for all from there on"
    return f"name {'it' if len(there) == 1 else 'them'}, too: {todo}"
