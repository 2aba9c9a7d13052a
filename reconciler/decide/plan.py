"""What was seen and what is wanted → what to do now, what would follow, and what waits for what.

Only steps whose neighbours were *seen* in place are planned for now; the next pass takes the
others. Same arguments, same plan, in the same order: no clock, no files, no awaiting.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from reconciler.contracts import Driver
from reconciler.decide.order import Order
from reconciler.decide.status import displayed
from reconciler.decide.triggers import surrounded
from reconciler.model import Act, Goal, Observed, Plan, Resource, State, Step, Waiting, settled
from reconciler.operations import Operation

UPWARD = (Goal.UP, Goal.STANDBY)


@dataclass(frozen=True, slots=True)
class Situation:
    """One resource as the planner is told about it.

    resource   its spec bound as far as that is possible now.
    running    a job of it is under way, or was when the facts were read: nothing is added.
    hold       why it is left alone for now (a delay, a budget), "" when it is not.
    missing    run-time references that have no value yet.
    created    remembered as provisioned, here or elsewhere.
    may_create the document or a person allows it to be created now.
    destroy    a person asked for its data to be destroyed.
    on_purpose a person stopped this part alone: only what stands on it waits for it.
    by_force   a person stops this part though something stands on it.
    successor  the changed document's resource of that name, or itself started anew.
    """

    resource: Resource
    seen: Observed
    goal: Goal
    why: str = ""
    running: bool = False
    hold: str = ""
    missing: tuple[str, ...] = ()
    created: bool = False
    may_create: bool = False
    destroy: bool = False
    on_purpose: bool = False
    by_force: bool = False
    by_check: bool = False  # only a user's command can tell, maybe a while later
    stale: bool = False  # what it is marked with is a host whose session is over: it is taken over
    unchecked: bool = False  # part of a start whose check has not passed yet
    remember: tuple[Operation, ...] = ()  # appended to its start
    successor: "Situation | None" = None  # what takes its place once it is down


Situations = Mapping[str, Situation]
Drivers = Mapping[str, Driver]


def plan(
    situations: Situations, order: Order, drivers: Drivers, preflight: bool = False, ahead: bool = True
) -> Plan:
    """What can be done now, and what waits.

    preflight  the instance starts from nothing, so all checks come before anything is touched.
    ahead      also what would follow: for people, not for who acts on what is seen next.
    """
    now, waiting = _ready(situations, order, drivers, preflight, predicting=frozenset())
    return Plan(now, _then(situations, order, drivers, now) if ahead else (), waiting)


def _ready(
    situations: Situations,
    order: Order,
    drivers: Drivers,
    preflight: bool,
    predicting: frozenset[str],
) -> tuple[tuple[Step, ...], tuple[Waiting, ...]]:
    if preflight and (checks := _preflights(situations, order, drivers)):
        return checks
    steps: list[Step] = []
    waiting: list[Waiting] = []
    # A stop reads the order backwards: what is listed first is what happens first.
    up = [rid for rid in order.rids if situations[rid].goal in UPWARD]
    down = [rid for rid in reversed(order.rids) if situations[rid].goal is Goal.DOWN]
    for rid in (*down, *up):
        situation = situations[rid]
        if situation.running:
            continue
        look = _downward if situation.goal is Goal.DOWN else _upward
        match look(situation, situations, order, drivers, rid in predicting):
            case Step() as step:
                steps.append(step)
            case str(why):
                waiting.append(Waiting(rid, why))
    return tuple(steps), tuple(waiting)


def _preflights(
    situations: Situations, order: Order, drivers: Drivers
) -> tuple[tuple[Step, ...], tuple[Waiting, ...]] | None:
    """All checks at once, before anything is touched; None when there are none to make."""
    steps: list[Step] = []
    for rid in order.rids:
        situation = situations[rid]
        if situation.goal not in UPWARD or situation.running or situation.hold or situation.missing:
            continue
        if not situation.seen.blocked and (step := _check(situation, drivers)):
            steps.append(step)
    running = any(s.running for s in situations.values())
    if not steps and not running:
        return None
    checked = {step.rid for step in steps}
    waiting = tuple(
        Waiting(rid, "waits for the checks before a start")
        for rid in order.rids
        if rid not in checked and situations[rid].goal in UPWARD and not situations[rid].running
        if not settled(situations[rid].goal, situations[rid].seen)
    )
    return tuple(steps), waiting


def _check(s: Situation, drivers: Drivers) -> Step | None:
    """What must pass before this resource is touched, if that is still to be done."""
    check: Any = getattr(drivers[s.resource.kind], "preflight", None)
    if check is None or not s.unchecked or s.seen.state is not State.DOWN:
        return None
    operations = check(s.resource.spec, s.seen)
    return Step(s.resource.rid, Act.PREFLIGHT, "before a start", operations, s.goal) if operations else None


def _upward(
    s: Situation, all_: Situations, order: Order, drivers: Drivers, predicted: bool
) -> Step | str | None:
    """A step, the reason why there is none yet, or None: nothing to do."""
    resource, seen, driver = s.resource, s.seen, drivers[s.resource.kind]
    if seen.state is State.UNKNOWN:
        return "state unknown" + "".join(f": {note.text}" for note in seen.notes[:1])
    if settled(s.goal, seen):
        return None
    if seen.state is State.ELSEWHERE and not s.stale:
        return f"held by {seen.holder}"
    if s.hold:
        return s.hold
    needed = [o for o in order.rids if o in order.needs[resource.rid] and not _in_place(all_[o])]
    stands_on = order.stands_on[resource.rid]
    if blockers := [o for o in needed if o in stands_on or not _passed_over(s, all_[o])]:
        return f"waits for {', '.join(blockers)}"
    if s.missing and not predicted:
        return f"waits for a value of {', '.join(s.missing)}"
    if unmet := _unmet(s, all_, "start"):
        return unmet
    # A thing that is created is missing by nature: that is no reason to wait for it.
    create: Any = getattr(driver, "create", None)
    if create is not None and seen.provisioned is False and not (predicted and s.created):
        if s.may_create:
            if unmet := _unmet(s, all_, "provision"):
                return unmet
            operations = create(resource.spec, seen)
            return _step(s, Act.CREATE, "not provisioned", operations) if operations else seen.blocked
        if s.created:
            return (
                f"vanished: provisioned once; only `standfast provision --rid {resource.rid}` makes it anew"
            )
        return f"not provisioned; `standfast provision --rid {resource.rid}` creates it"
    if seen.blocked and not predicted:
        return seen.blocked
    if check := _check(s, drivers):  # it could not be checked when the others were
        return check
    operations = driver.operations(resource.spec, seen, s.goal)
    if not operations:
        return f"is {seen.state} and the driver knows no step towards {s.goal}"
    return _step(s, Act.START, f"is {seen.state}, wanted {s.goal}", (*operations, *s.remember))


def _passed_over(s: Situation, before: Situation) -> bool:
    """It merely comes before this one, and stays down: on purpose, or where only this one is to be up."""
    return before.on_purpose or (s.goal is Goal.STANDBY and before.goal is Goal.DOWN)


def _downward(
    s: Situation, all_: Situations, order: Order, drivers: Drivers, predicted: bool
) -> Step | str | None:
    resource, seen, driver = s.resource, s.seen, drivers[s.resource.kind]
    gone = settled(Goal.DOWN, seen)
    if gone and not to_destroy(s):
        return None
    if s.hold:
        return s.hold
    blockers = [
        o
        for o in reversed(order.rids)
        if o in order.needed_by[resource.rid] and not _out_of_the_way(all_[o], s.destroy)
        # What comes later in the order, but does not stand on it, waits with its own stop only.
        if all_[o].goal is Goal.DOWN or (resource.rid in order.stands_on[o] and not s.by_force)
    ]
    if blockers:
        return f"waits until {', '.join(blockers)} {'is' if len(blockers) == 1 else 'are'} down"
    if unmet := _unmet(s, all_, "unprovision" if gone else "stop"):
        return unmet
    if gone:
        if doubt := _not_ours_to_destroy(s, all_, order):
            return doubt
        destroy: Any = getattr(driver, "destroy", None)
        operations = destroy(resource.spec, seen) if destroy is not None else ()
        return _step(s, Act.DESTROY, "asked for by word", operations) if operations else None
    operations = driver.operations(resource.spec, seen, Goal.DOWN)
    if not operations:
        return f"cannot see whether it is down ({seen.state})"
    return _step(s, Act.STOP, f"is {seen.state}, wanted down" + (f": {s.why}" if s.why else ""), operations)


def to_destroy(s: Situation) -> bool:
    """Its data is there, and a person asked for it to be destroyed."""
    return s.destroy and s.seen.provisioned is True


def _not_ours_to_destroy(s: Situation, all_: Situations, order: Order) -> str:
    """Another host may be using it, or nobody can tell: what it lies on counts as well."""
    for rid in (s.resource.rid, *(o for o in order.rids if o in order.stands_on[s.resource.rid])):
        seen = all_[rid].seen
        if seen.state is State.ELSEWHERE:
            return f"{rid} is held by {seen.holder}: nothing of it is destroyed here"
        if seen.state is State.UNKNOWN:
            return f"{rid} cannot be looked at: nothing of it is destroyed on a guess"
    return ""


def _in_place(s: Situation) -> bool:
    """Ready for what needs it. What nobody wants up, but is seen up, serves as well."""
    if s.resource.common.disable or s.seen.state is State.NA:
        return True
    return not s.running and s.goal is not Goal.DOWN and settled(Goal.UP, s.seen)


def undermined(rid: str, situations: Situations, order: Order) -> str:
    """Why a start of it that is under way is not carried on: what it stands on went meanwhile."""
    lost = [o for o in order.rids if o in order.stands_on[rid] and not _in_place(situations[o])]
    return f"{', '.join(lost)} {'is' if len(lost) == 1 else 'are'} not in place any more" if lost else ""


def _out_of_the_way(s: Situation, destroying: bool) -> bool:
    if s.resource.common.disable:
        return True
    if s.running or not settled(Goal.DOWN, s.seen):
        return False
    return not (destroying and to_destroy(s))


def _unmet(s: Situation, all_: Situations, action: str) -> str:
    for rid, states in s.resource.common.requires.get(action, ()):
        # As the tree shows it: a standby resource is stdby up, for which up does as well.
        raw = all_[rid].seen.state if rid in all_ else State.NA
        seen = displayed(raw, rid in all_ and all_[rid].resource.common.standby)
        if not {raw, seen} & states:
            return f"requires {rid} to be {' or '.join(sorted(states))}, it is {seen}"
    return ""


def _step(s: Situation, act: Act, why: str, operations: tuple[Operation, ...]) -> Step:
    common = s.resource.common
    timeout = common.timeouts.get(act.value, common.timeouts.get("", 3600.0))
    return Step(s.resource.rid, act, why, surrounded(common.triggers, act, operations), s.goal, timeout)


def _then(
    situations: Situations, order: Order, drivers: Drivers, now: tuple[Step, ...]
) -> tuple[Step, ...]:
    """What the same drivers return if each step ends as expected, until nothing follows."""
    world = {rid: _ended(s) if s.running else s for rid, s in situations.items()}
    follow: list[Step] = []
    created: set[str] = set()
    moved = {rid for rid, s in situations.items() if s.running}
    if not now and not moved:
        return ()  # nothing that moves could set anything else free
    steps = now
    for _ in range(3 * len(world) + 2):
        for step in steps:
            world[step.rid] = _after(world[step.rid], step)
            moved.add(step.rid)
            if step.act is Act.CREATE:
                created.add(step.rid)
        # What stands on a thing that moved is judged as if that had made way for it.
        predicting = frozenset(rid for rid in world if order.needs[rid] & moved or rid in moved)
        for rid in predicting:
            s = world[rid]
            fresh = s.seen.provisioned is None and order.stands_on[rid] & created and not s.created
            if fresh and getattr(drivers[s.resource.kind], "create", None) is not None and s.may_create:
                world[rid] = replace(s, seen=replace(s.seen, provisioned=False, blocked=""))
        steps, _waiting = _ready(world, order, drivers, preflight=False, predicting=predicting)
        if not steps:
            return tuple(follow)
        follow += steps
    return tuple(follow)


def _after(s: Situation, step: Step) -> Situation:
    match step.act:
        case Act.PREFLIGHT:
            return replace(s, unchecked=False)
        case Act.CREATE:
            return replace(s, seen=replace(s.seen, provisioned=True, blocked=""), created=True)
        case Act.DESTROY:
            return replace(s, seen=replace(s.seen, provisioned=False), created=False)
        case _:
            return _ended(s)


def _ended(s: Situation) -> Situation:
    up = s.goal in UPWARD
    if s.successor and not up:
        return s.successor
    provisioned = True if up and s.seen.provisioned is not None else s.seen.provisioned
    state = State.UP if up else State.DOWN
    return replace(s, running=False, seen=replace(s.seen, state=state, blocked="", provisioned=provisioned))
