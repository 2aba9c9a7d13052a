"""A service as wanted, as applied and as seen → one situation per resource for the planner.

An edit is decided here: a resource that left the document, or changed in a keyword that cannot be
changed in place, is the applied one with goal down first, and the wanted one after it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from reconciler.decide.asked import Asked, Wish
from reconciler.decide.edits import compare
from reconciler.decide.order import Order
from reconciler.decide.placement import Decision, destroys, goal_of, in_effect, may_create, named, orphaned
from reconciler.decide.plan import UPWARD, Situation
from reconciler.model import Goal, Observed, Resource, Service, State, nothing, settled
from reconciler.operations import Remember

STOOD_ON = "stood on "
"""Memory key prefix: the incarnation of what an app was started on, by rid."""

STARTS = "starts"
"""Memory key: how often it was started since boot. The kernel gives a mount's id out again at once,
so what a thing is called does not yet say that it is the same one."""

ON_THINGS = ("app", "container")


@dataclass(frozen=True, slots=True)
class Seen:
    """`resource` is bound as far as possible; `missing` are its references without a value.

    by_check  only a user's command can tell: its word may come a while after the fact.
    """

    resource: Resource
    observed: Observed
    missing: tuple[str, ...] = ()
    by_check: bool = False


@dataclass(frozen=True, slots=True)
class Memories:
    """What is remembered of a service, by rid: values, each with the boot it holds for, "" for ever."""

    kept: Mapping[str, Mapping[str, tuple[str, str]]] = field(default_factory=nothing)
    boot: str = ""

    def of(self, rid: str) -> Mapping[str, str]:
        """What still holds."""
        kept = self.kept.get(rid, {})
        return {key: value for key, (value, boot) in kept.items() if boot in ("", self.boot)}


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a service showed, beside what is known of it since earlier.

    seen       in the order of a start.
    applied    resources as last applied here, by rid.
    running    rids with a job when the facts began to be read.
    activated  rids that the present attempt to come up started, or began to.
    stale      rids marked by a host that is dead as surely as the service requires, under my claim.
    """

    seen: Mapping[str, Seen]
    applied: Mapping[str, Resource] = field(default_factory=nothing)
    memories: Memories = Memories()
    running: frozenset[str] = frozenset()
    activated: frozenset[str] = frozenset()
    stale: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Roster:
    """The resources of one pass.

    replaced  rid → keyword whose change makes it go down first.
    past      rids of what the document does not describe any more: stopped, but never destroyed.
    """

    resources: tuple[Resource, ...]
    replaced: Mapping[str, str]
    wanted: Mapping[str, Resource]
    past: frozenset[str] = frozenset()

    def made_way(self, made: Mapping[str, Situation]) -> bool:
        """Something that left, or is to be replaced, was seen down: nothing waits for it any more."""
        gone = (
            s for rid, s in made.items() if self.wanted and (rid in self.replaced or rid not in self.wanted)
        )
        return any(s.goal is Goal.DOWN and settled(Goal.DOWN, s.seen) and not s.running for s in gone)


def roster(service: Service, deleted: bool, last: Mapping[str, Resource]) -> Roster:
    """Which resource stands for each rid: as applied (`last`) while that must go, else as wanted."""
    wanted = {r.rid: r for r in service.resources}
    applied = {rid: _still(r, wanted.get(rid)) for rid, r in last.items()}
    replaced = {rid: why for rid, r in wanted.items() if (why := _replaces(applied.get(rid), r))}
    past = frozenset(replaced) | (applied.keys() - wanted.keys())
    if deleted:
        # To be destroyed is also what is down by now; to be stopped, only what was applied.
        purged = service.resources if service.on_delete == "purge" else ()
        everything = {r.rid: r for r in purged} | dict(applied)
        return Roster(tuple(everything.values()), {}, {}, past)
    resources = [applied[rid] if rid in replaced else r for rid, r in wanted.items()]
    resources += [r for rid, r in applied.items() if rid not in wanted]
    return Roster(tuple(resources), replaced, wanted, past)


def _still(applied: Resource, wanted: Resource | None) -> Resource:
    """Whether it may be touched at all is for the document to say as it is now."""
    if wanted is None or not (wanted.common.disable or applied.common.tags != wanted.common.tags):
        return applied
    common = replace(applied.common, disable=wanted.common.disable, tags=wanted.common.tags)
    return replace(applied, common=common)


def _replaces(old: Resource | None, new: Resource) -> str:
    """The keyword that cannot be changed in place, "" when there is none."""
    if old is None or (old.spec == new.spec and old.kind == new.kind):
        return ""
    if old.kind != new.kind:
        return "type"
    late = {k for k, v in new.spec.items() if new.late and "{" in str(v)}
    changes = compare(new.kind, old.spec, new.spec)
    return next((c.keyword for c in changes if c.effect == "replace" and c.keyword not in late), "")


def situations(
    service: Service, deleted: bool, asked: Asked, decision: Decision, look: Look, who: Roster, order: Order
) -> dict[str, Situation]:
    """`who` and `order`: of what the look was taken at."""
    made: dict[str, Situation] = {}
    for rid, one in look.seen.items():
        goal = goal_of(one.resource, decision, asked)
        departed = rid not in who.wanted
        after = goal
        if departed or (rid in who.replaced and goal is not Goal.NONE):
            spared = decision.frozen or orphaned(service, deleted, asked)
            goal = Goal.NONE if spared else Goal.DOWN
        created = look.memories.of(rid).get("provisioned") == "yes"
        made[rid] = Situation(
            resource=one.resource,
            seen=one.observed,
            goal=goal,
            running=rid in look.running,
            missing=one.missing,
            by_check=one.by_check,
            stale=rid in look.stale,
            created=created,
            may_create=may_create(one.resource, asked, created),
            on_purpose=goal is Goal.DOWN and not departed and rid in asked.stopped,
            by_force=goal is Goal.DOWN and _by_force(one.resource, asked.wish, decision),
            destroy=not one.missing and rid not in who.past and destroys(one.resource, decision, asked),
        )
        if rid in who.replaced and goal is Goal.DOWN:
            made[rid] = _replaced(made[rid], who, after)
    changing = dict.fromkeys(who.replaced, "changes") | _restarting(made, asked.wish, decision)
    _restart_what_stands_on(made, changing, order)
    _restart_what_stood_on_another(made, order, look.memories)
    for rid, s in made.items():
        if stood_on := _stood_on(s, made, order, look.memories):
            made[rid] = replace(s, remember=stood_on)
    return made


def _replaced(old: Situation, who: Roster, after: Goal) -> Situation:
    """As applied, to go down; the wanted one takes its place where it is wanted up."""
    rid, why = old.resource.rid, f"{who.replaced[old.resource.rid]} was edited"
    if after is Goal.DOWN:
        return replace(old, why=why)
    down = Observed(State.DOWN, label=old.seen.label, provisioned=old.seen.provisioned)
    successor = replace(old, resource=who.wanted[rid], seen=down, goal=after, running=False)
    return replace(old, why=why, successor=successor)


def _restarting(made: Mapping[str, Situation], wish: Wish | None, decision: Decision) -> dict[str, str]:
    """Parts that a person restarts, on their way down."""
    if not (wish and wish.verb == "restart" and wish.rids and wish.phase == "down"):
        return {}
    if not in_effect(wish, decision):
        return {}
    return {rid: "is restarted" for rid, s in made.items() if named(s.resource, wish.rids)}


def _by_force(resource: Resource, wish: Wish | None, decision: Decision) -> bool:
    """A person said that what stands on it need not go down first."""
    if not (wish and wish.verb == "stop" and wish.force):
        return False
    return named(resource, wish.rids) and in_effect(wish, decision)


def _restart_what_stands_on(made: dict[str, Situation], changing: Mapping[str, str], order: Order) -> None:
    """What stands on a thing that goes down goes down first and comes back after. `changing`: rid → why."""
    for rid, why in changing.items():
        if made[rid].goal is not Goal.DOWN:
            continue
        for other in order.rids:
            if rid in order.stands_on[other] and made[other].goal in UPWARD and other not in changing:
                made[other] = _anew(made[other], f"{rid} {why}")


def _restart_what_stood_on_another(made: dict[str, Situation], order: Order, memories: Memories) -> None:
    """A program whose filesystem was mounted anew behind it holds on to the earlier one."""
    for rid, s in made.items():
        if (
            s.goal is not Goal.UP
            or s.resource.group not in ON_THINGS
            or s.resource.common.on_change == "ignore"
        ):
            continue
        if s.seen.state not in (State.UP, State.WARN):
            continue
        memory = memories.of(rid)
        for under in sorted(order.stands_on[rid]):
            known, present = memory.get(STOOD_ON + under), incarnation(memories, made[under])
            if known and present and known != present:
                made[rid] = _anew(s, f"runs on an earlier {under}")
                break


def _anew(s: Situation, why: str) -> Situation:
    """Down, then up again; already down, it only waits."""
    down = Observed(State.DOWN, label=s.seen.label, provisioned=s.seen.provisioned)
    return replace(s, goal=Goal.DOWN, why=why, successor=replace(s, seen=down, running=False))


def incarnation(memories: Memories, s: Situation) -> str:
    """Names this very instance of a thing; "" for what has no identity, such as an address."""
    if not s.seen.identity:
        return ""
    starts = memories.of(s.resource.rid).get(STARTS, "0")
    return f"{s.seen.identity}/{starts}"


def _stood_on(
    s: Situation, made: Mapping[str, Situation], order: Order, memories: Memories
) -> tuple[Remember, ...]:
    """At the start of an app: what it stands on."""
    if s.resource.group not in ON_THINGS or s.goal is not Goal.UP:
        return ()
    under = {rid: incarnation(memories, made[rid]) for rid in sorted(order.stands_on[s.resource.rid])}
    return tuple(Remember(STOOD_ON + rid, name, "reboot") for rid, name in under.items() if name)
