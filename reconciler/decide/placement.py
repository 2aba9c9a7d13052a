"""A service, what was asked of it and this node → the goal here, why, and the goal of each resource.

The table of who wins between git, operator and policy (README, "Who decides") is `_wanted`.
"""

from dataclasses import dataclass

from reconciler.decide.asked import Asked, Frozen, Wish
from reconciler.decide.order import natural
from reconciler.model import GROUPS, Goal, Resource, Service, ServiceGoal


@dataclass(frozen=True, slots=True)
class Decision:
    """`because` is the chain of reasons in words, the strongest last; `code` one of a bounded set."""

    goal: ServiceGoal
    code: str
    because: tuple[str, ...]
    frozen: Frozen | None = None
    destroy: bool = False
    underlying: ServiceGoal | None = None  # the goal there would be without the freeze

    @property
    def reason(self) -> str:
        return self.because[-1]


@dataclass(frozen=True, slots=True)
class Here:
    """What of this node matters. Instants are wall-clock seconds."""

    node: str
    now: float
    frozen: Frozen | None = None
    start_failed: str = ""  # why a start failed here a short while ago, "" when none did
    gives_away: bool = False  # it is not the start that failed: what was up was lost too often
    leaving: str = ""  # why everything goes down before the agent ends, "" when it does not


FAILED = ("StartFailed", "GivesAway")
"""Codes of a service that is down because it did not stay up here; nobody wants it so."""


def decide(service: Service, asked: Asked, here: Here, deleted: bool = False) -> Decision:
    """The goal of one service on this node. Pure; `asked` without what has run out."""
    decision = _decide(service, asked, here, deleted)
    if here.leaving and decision.goal is not ServiceGoal.UNTOUCHED:
        return Decision(ServiceGoal.ABSENT, "Leaving", (*decision.because, here.leaving))
    return decision


def _decide(service: Service, asked: Asked, here: Here, deleted: bool) -> Decision:
    wanted = _wanted(service, asked, here, deleted)
    frozen = here.frozen or asked.frozen
    wish = asked.wish
    if frozen and not (wish and wish.local and not wish.rids):
        why = f"{frozen}: nothing is done of its own accord"
        return Decision(
            ServiceGoal.UNTOUCHED, "Frozen", (*wanted.because, why), frozen, underlying=wanted.goal
        )
    if wanted.goal is ServiceGoal.UP and here.start_failed:
        if here.gives_away:
            why = f"lost here too often, another node may take it: {here.start_failed}"
            return Decision(ServiceGoal.DOWN, "GivesAway", (*wanted.because, why))
        why = f"start failed here: {here.start_failed}"
        return Decision(ServiceGoal.DOWN, "StartFailed", (*wanted.because, why))
    return wanted


def _wanted(service: Service, asked: Asked, here: Here, deleted: bool) -> Decision:
    if deleted:
        return _deleted(service, asked)
    if here.node not in service.nodes:
        why = f"{here.node} is not among its nodes ({service.nodes_shown})"
        return Decision(ServiceGoal.ABSENT, "NotANode", (why,))
    if service.disable:
        return Decision(ServiceGoal.UNTOUCHED, "Disabled", ("the document says disable: true",))
    by_policy = _policy(service, here)
    if asked.wish and (decision := _one_off(asked.wish, by_policy)):
        return decision
    if standing := asked.standing:
        goal = ServiceGoal.UP if standing.verb == "start" else ServiceGoal.DOWN
        if standing.verb == "stop" and standing.force:
            goal = ServiceGoal.ABSENT
        code = "AskedStart" if goal is ServiceGoal.UP else "AskedStop"
        if service.state == "stopped" and goal is ServiceGoal.UP and not standing.until:
            return by_policy  # git was changed to stopped later: it wins over a start without an end
        return Decision(goal, code, (*by_policy.because, str(standing)))
    return by_policy


def _deleted(service: Service, asked: Asked) -> Decision:
    why = f"its document was removed, on_delete: {service.on_delete}"
    match service.on_delete:
        case "orphan" if orphaned(service, True, asked):
            return Decision(ServiceGoal.UNTOUCHED, "Deleted", (why,))
        case "orphan":
            return Decision(ServiceGoal.ABSENT, "AskedStop", (why, str(asked.standing)))
        case "purge":
            return Decision(ServiceGoal.ABSENT, "Deleted", (why,), destroy=True)
        case _:
            return Decision(ServiceGoal.ABSENT, "Deleted", (why,))


def orphaned(service: Service, deleted: bool, asked: Asked) -> bool:
    """It was removed, and is let go of as it is: until a person says that it is to be stopped."""
    stopped = asked.standing is not None and asked.standing.verb == "stop"
    return deleted and service.on_delete == "orphan" and not stopped


def _policy(service: Service, here: Here) -> Decision:
    """Nobody asked for anything."""
    if service.state == "stopped":
        return Decision(
            ServiceGoal.DOWN, "GitStopped", (f"git says stopped ({service.source}:{service.line})",)
        )
    match service.orchestrate:
        case "no":
            why = "orchestrate: no, and nobody asked for a start: it is only reported"
            return Decision(ServiceGoal.UNTOUCHED, "NotOrchestrated", (why,))
        case "start" if service.nodes[0] != here.node:
            why = f"orchestrate: start belongs to {service.nodes[0]}, the first of its nodes"
            return Decision(ServiceGoal.STANDBY, "OtherNode", (why,))
        case _:
            return Decision(
                ServiceGoal.UP,
                "Wanted",
                (f"the document wants it up (orchestrate: {service.orchestrate})",),
            )


def _one_off(wish: Wish, by_policy: Decision) -> Decision | None:
    """A wish that ends when fulfilled; None for one that only concerns single resources."""
    chain = (*by_policy.because, str(wish))
    match wish.verb:
        case "restart" if not wish.rids:
            goal = ServiceGoal.DOWN if wish.phase == "down" else ServiceGoal.UP
            return Decision(goal, "AskedRestart", chain)
        case "provision" if not wish.rids:
            return Decision(ServiceGoal.UP, "AskedProvision", chain)
        case "unprovision" | "purge" if not wish.rids:
            return Decision(ServiceGoal.ABSENT, "AskedUnprovision", chain, destroy=True)
        case "start" if not wish.rids:
            return Decision(ServiceGoal.UP, "AskedStart", chain)
        case "stop" if not wish.rids:
            return Decision(ServiceGoal.DOWN, "AskedStop", chain)
        case _:
            return None


def goal_of(resource: Resource, decision: Decision, asked: Asked) -> Goal:
    """The goal of one resource, following the service's."""
    if resource.common.disable or "noaction" in resource.common.tags:
        return Goal.NONE
    if (wish := asked.wish) and in_effect(wish, decision):
        partial = _partial(resource, wish)
        if partial is not None:
            return partial
    match decision.goal:
        case ServiceGoal.UNTOUCHED:
            return Goal.NONE
        case ServiceGoal.UP:
            if resource.rid in asked.stopped:
                return Goal.DOWN
            return Goal.STANDBY if resource.common.standby else Goal.UP
        case ServiceGoal.STANDBY | ServiceGoal.DOWN:
            return Goal.STANDBY if resource.common.standby else Goal.DOWN
        case ServiceGoal.ABSENT:
            return Goal.DOWN


def _partial(resource: Resource, wish: Wish) -> Goal | None:
    """What a wish for a part says of this resource; None when it says nothing."""
    if wish.rids:
        if not named(resource, wish.rids):
            return None
        match wish.verb:
            case "start" | "provision":
                return Goal.UP
            case "restart":
                return Goal.DOWN if wish.phase == "down" else Goal.UP
            case _:
                return Goal.DOWN
    if (wish.upto and beyond(resource, wish.upto)) or (wish.downto and short_of(resource, wish.downto)):
        return Goal.NONE
    return None


def beyond(resource: Resource, upto: str) -> bool:
    """It starts after this group (`disk`) or resource (`disk#1`)."""
    mine, last = _position(resource.rid), _position(upto)
    return mine > last or (mine == last and "#" in upto and natural(resource.rid) > natural(upto))


def short_of(resource: Resource, downto: str) -> bool:
    """It stops after this group or resource."""
    mine, last = _position(resource.rid), _position(downto)
    return mine < last or (mine == last and "#" in downto and natural(resource.rid) < natural(downto))


def may_create(resource: Resource, asked: Asked, created: bool) -> bool:
    """Missing data may be made: what never was, if the document says so; anything, if a person does."""
    wish = asked.wish
    by_word = (
        wish is not None and wish.verb == "provision" and (not wish.rids or named(resource, wish.rids))
    )
    return resource.common.creatable and (by_word or (resource.common.provision and not created))


def destroys(resource: Resource, decision: Decision, asked: Asked) -> bool:
    """Its data is to be destroyed: a person said so of the whole service, or of this part of it."""
    wish = asked.wish
    part = wish is not None and wish.verb == "unprovision" and bool(wish.rids)
    by_word = part and wish is not None and named(resource, wish.rids) and in_effect(wish, decision)
    return resource.common.unprovision and (decision.destroy or by_word)


def in_effect(wish: Wish, decision: Decision) -> bool:
    """The goals follow this one-off wish now: nothing stronger (a freeze, the document) overrules it."""
    if wish.rids:
        return (wish.local or not decision.frozen) and decision.code not in _OVERRULING
    return decision.code.startswith("Asked")


_OVERRULING = ("Deleted", "NotANode", "Disabled", "Leaving")


def named(resource: Resource, words: tuple[str, ...]) -> bool:
    """A rid, a group, a kind or a tag (`tag:web`), as `--rid` takes them."""
    names = {resource.rid, resource.group, resource.kind, *(f"tag:{tag}" for tag in resource.common.tags)}
    return not names.isdisjoint(words)


def _position(rid_or_group: str) -> int:
    group = rid_or_group.partition("#")[0].partition(".")[0]
    return GROUPS.index(group) if group in GROUPS else len(GROUPS)


def refusal(service: Service | None, wish: Wish, asked: Asked, frozen: Frozen | None) -> str:
    """Why a wish is not taken, in words with what to do; "" when it is."""
    verb, until, rids = wish.verb, wish.until, wish.rids
    if service is None:
        return "there is no such service"
    if verb in ("switch", "takeover", "giveback") and not (wish.to or wish.away):
        return "this host is alone: there is no other to move it to"
    unknown = [rid for rid in rids if not any(named(r, (rid,)) for r in service.resources)]
    if unknown:
        names = ", ".join(r.rid for r in service.resources)
        return f"it has no resource {', '.join(unknown)}, only {names}"
    if verb == "purge" and rids:
        part = ",".join(rids)
        return f"purge takes the whole service; to destroy the data of a part: unprovision --rid {part}"
    if verb == "clear" and not rids and asked.wish and asked.wish.verb in ("unprovision", "purge"):
        return f"{asked.wish} is under way, and its end would be a start: `standfast abort` it first"
    stopped = asked.standing if asked.standing and asked.standing.verb == "stop" else None
    if stopped and rids and verb in ("start", "restart"):
        return f"{stopped}: a part cannot be up alone; start the service, or `clear` first"
    if service.disable and verb != "clear":
        return f"the document says disable: true ({service.source})"
    if frozen and not wish.local and verb not in ("freeze", "thaw", "clear", "abort"):
        return f"{frozen}: thaw it first, or act once all the same with --local"
    if verb == "start" and service.state == "stopped" and not until:
        where = f"{service.source}:{service.line}"
        return f"git says stopped ({where}); change it there, or override for a while: --for 2h"
    return ""
