"""Short ways to say a resource, a fake driver and a situation."""

from dataclasses import replace
from types import SimpleNamespace

from reconciler.decide.order import order
from reconciler.decide.plan import Situation, plan
from reconciler.model import Common, Goal, Observed, Plan, Resource, State, settled
from reconciler.operations import Exec

UP, DOWN, WARN = Observed(State.UP), Observed(State.DOWN), Observed(State.WARN)
UNKNOWN, ELSEWHERE, NA = Observed(State.UNKNOWN), Observed(State.ELSEWHERE, holder="n2"), Observed(State.NA)


def res(rid: str, *refs: str, mnt: str = "", **common) -> Resource:
    """`fs#a` of kind `fs.fake`, referring to the rids."""
    spec = {"mnt": mnt} if mnt else {}
    return Resource(rid, f"{rid.partition('#')[0]}.fake", spec, Common(**common), frozenset(refs))


def _say(*words: str) -> tuple[Exec, ...]:
    return (Exec(words),)


class Drivers(dict):
    """A driver of every kind: start and stop are one command; disks and filesystems are created."""

    def __missing__(self, kind: str):
        driver = SimpleNamespace(
            KIND=kind,
            operations=lambda spec, seen, goal: (
                () if settled(goal, seen) else _say("stop" if goal is Goal.DOWN else "start", kind)
            ),
        )
        if kind.startswith(("disk", "fs")):
            driver.create = lambda spec, seen: _say("create", kind)
            driver.destroy = lambda spec, seen: _say("destroy", kind)
        if kind.startswith("ip"):
            driver.preflight = lambda spec, seen: _say("probe", kind)
        self[kind] = driver
        return driver


def planned(resources, seen, goal=Goal.UP, preflight=False, **changes) -> Plan:
    """The plan of resources all with one goal; `changes`: rid → fields of its Situation."""
    situations = {
        r.rid: replace(Situation(r, seen[r.rid], goal, unchecked=preflight), **changes.get(r.rid, {}))
        for r in resources
    }
    return plan(situations, order(resources), Drivers(), preflight)
