"""A service wanted here, its claims and the nodes → whose turn it is here: to run it, to claim it, to wait.

What one host would do (`placement.decide`) is narrowed by what the others have: nothing of a service goes
up without its claim, and a claim is given back when nothing of it is up any more.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from reconciler.decide.asked import Asked, Wish
from reconciler.decide.candidates import (
    BY_LOAD,
    UNORDERED,
    Candidates,
    Peer,
    candidates,
    child_up,
    left_first,
    order,
)
from reconciler.decide.claims import Claim, free, left_behind
from reconciler.decide.placement import Decision
from reconciler.decide.sessions import Session
from reconciler.model import Service, ServiceGoal

STEP_ASIDE = 2.0
"""Seconds that a free claim is left to each better candidate."""
FAILBACK = 30.0
"""Seconds that a better node must be there before `failback: auto` gives it the service."""
FOR_GOOD = ("AskedStop", "GitStopped", "Deleted", "AskedUnprovision")
"""Codes of a service that is to be down, and not only here."""
DOWNWARD = (ServiceGoal.DOWN, ServiceGoal.ABSENT)


@dataclass(frozen=True)
class Situation:
    """One service as this node's snapshot of the cluster shows it.

    no_session  why nothing may be begun here, "" when it may
    claims      by slot; None for one that is not understood
    slots       how many there are to be held
    mine        what my session of now holds; sure: it was written by this agent
    drained     who had this node give all away, "" for nobody: it knows before the others do
    waited      by what a turn waited for before (`Turn.timer`): seconds since then
    stays       why its claim was not given back so far, "" when nothing kept it
    refused     why its claim, or more of it, was not given when asked for; "" when it was, or was not asked
    """

    node: str
    no_session: str
    claims: Mapping[int, Claim | None]
    slots: int
    sessions: Mapping[str, Session | None]
    peers: Mapping[str, Peer]
    mine: Claim | None
    sure: bool
    waited: Mapping[str, float]
    drained: str
    stays: str = ""
    refused: str = ""


@dataclass(frozen=True)
class Turn:
    """What this node does with the service, and with its claim.

    act       "claim" before anything goes up; "release" once nothing is up, or left to be destroyed; ""
              leaves it as it is
    holds     its claim is beyond doubt: steps towards up and on data may be taken
    asked     what of all that was asked concerns this node
    timer     what it waits for, "" for nothing; again_in: seconds until that may be enough
    alone     there is nobody to share it with
    """

    decision: Decision
    act: str
    holds: bool
    asked: Asked
    timer: str = ""
    again_in: float = 0.0
    alone: bool = False

    def because(self, why: str, holds: bool) -> "Turn":
        """The same, with one more reason."""
        because = (*self.decision.because, why)
        return replace(self, decision=replace(self.decision, because=because), holds=holds)


def alone(wanted: Decision, asked: Asked) -> Turn:
    """On a host that shares with nobody."""
    return Turn(wanted, "", True, asked, alone=True)


def turn(service: Service, wanted: Decision, asked: Asked, here: Situation) -> Turn:
    """`wanted`: what this node would do were it alone. Pure."""
    made = _turn(service, wanted, asked, here)
    if made.act == "release" and here.stays:
        return made.because(f"its claim is kept: {here.stays}", made.holds)
    if not here.refused:
        return made
    made = made.because(here.refused, holds=False)
    if here.mine is not None:  # not confirmed yet, or it lacks something: what is up stays
        return made
    goal = made.decision.goal if made.decision.goal is ServiceGoal.ABSENT else ServiceGoal.STANDBY
    return replace(made, decision=Decision(goal, "Waits", made.decision.because))


def _turn(service: Service, wanted: Decision, asked: Asked, here: Situation) -> Turn:
    mine, everything, asked = here.mine is not None, asked, asked.on(here.node)
    concerns = asked if mine or _local(asked.wish, here.node) else _without_parts(asked)
    if mine and _for_good(wanted) and (child := child_up(service, here.peers)):
        why = f"waits until its child is down: {child}; `stop --force` does not"
        because = (*wanted.because, why)
        waits = Decision(ServiceGoal.UNTOUCHED, "ChildUp", because, underlying=wanted.goal)
        return Turn(waits, "", here.sure, concerns)
    if wanted.goal is ServiceGoal.UNTOUCHED:
        # Whoever freezes it keeps what it has; what nobody wants and is down needs no claim.
        act = "release" if mine and not wanted.frozen else ""
        return Turn(wanted, act, mine and here.sure, concerns)
    if wanted.goal in DOWNWARD and not wanted.destroy:
        # Nobody takes it over; or it is down only to come up again, here.
        stays = wanted.code == "StartFailed" and service.orchestrate != "ha"
        stays = stays or wanted.code == "AskedRestart"
        return Turn(wanted, "release" if mine and not stays else "", False, concerns)
    if here.no_session:
        if wanted.goal in DOWNWARD:
            return Turn(replace(wanted, destroy=False), "", False, concerns)
        return Turn(
            _waits(wanted, "NoSession", here.no_session, ServiceGoal.UNTOUCHED), "", False, concerns
        )
    if mine:
        return _holder(service, wanted, concerns, here)
    return _other(service, wanted, concerns, here, everything.standing)


def _for_good(wanted: Decision) -> bool:
    """It is to be down on all nodes, and nobody is in a hurry. A move leaves what stands on it alone."""
    forced = wanted.code == "AskedStop" and wanted.goal is ServiceGoal.ABSENT
    return wanted.code in FOR_GOOD and wanted.goal in DOWNWARD and not forced


def foreseen(service: Service, wanted: Decision, asked: Asked, here: Situation) -> tuple[Turn, str]:
    """The turn for who only asks what would be done, and what of it is not said by steps.

    A claim that would be asked for counts as taken.
    """
    made = turn(service, wanted, asked, here)
    if made.act != "claim":
        return made, "" if made.holds else made.decision.reason
    claim = here.mine or Claim(0, here.node, 0)
    return turn(service, wanted, asked, replace(here, mine=claim, sure=True)), made.decision.reason


# --- with the claim ------------------------------------------------------------------------


def _holder(service: Service, wanted: Decision, asked: Asked, here: Situation) -> Turn:
    act = "" if here.sure else "claim"
    if wanted.destroy:  # given back once nothing is left to be destroyed
        return Turn(wanted, act or "release", here.sure, asked)
    if here.mine and here.mine.slot >= here.slots:
        why = f"its target is {here.slots}, this is one more (slot {here.mine.slot})"
        return Turn(_leaves(wanted, "OneTooMany", why), "release", False, asked)
    move = _move(asked.wish)
    if move and not _arrived(move, here.node):
        return Turn(_leaves(wanted, "Moves", str(move)), "release", False, asked)
    if here.drained:
        return Turn(_leaves(wanted, "Drained", _drained(here)), "release", False, asked)
    if move:
        up = Decision(ServiceGoal.UP, "AskedSwitch", (*wanted.because, str(move)))
    elif wanted.goal is ServiceGoal.STANDBY:  # orchestrate: start, and a person moved it here
        up = Decision(ServiceGoal.UP, "Held", (*wanted.because, "its claim is held here"))
    else:
        up = wanted
    if _fails_back(service) and not asked.wish and not here.peers[here.node].maintenance:
        best = order(service, here.peers, _holders(here))[: here.slots]
        better = [name for name in best if name not in _holders(here)]
        if better and here.node not in best:
            return _better(better[0], Turn(up, act, here.sure, asked, "better"), here)
    return Turn(up, act, here.sure, asked)


def _fails_back(service: Service) -> bool:
    return service.failback == "auto" and service.orchestrate == "ha" and service.placement not in BY_LOAD


def _better(best: str, stays: Turn, here: Situation) -> Turn:
    left = FAILBACK - here.waited.get("better", 0.0)
    if left > 0:
        return replace(stays, again_in=left)
    why = f"failback: auto, and {best} comes first"
    return replace(stays, decision=_leaves(stays.decision, "FailsBack", why), act="release", holds=False)


def _leaves(wanted: Decision, code: str, why: str) -> Decision:
    return Decision(ServiceGoal.DOWN, code, (*wanted.because, why))


# --- without it ----------------------------------------------------------------------------


def _other(
    service: Service, wanted: Decision, asked: Asked, here: Situation, standing: Wish | None
) -> Turn:
    free_slots = [slot for slot in range(here.slots) if _is_free(here.claims.get(slot), slot, here)]
    if not free_slots:
        return Turn(_waits(wanted, "Elsewhere", held_by(here)), "", False, asked)
    if wanted.goal is ServiceGoal.STANDBY and not _move(asked.wish):
        return Turn(wanted, "", False, asked)
    if here.drained:
        return Turn(_waits(wanted, "NotCandidate", _drained(here)), "", False, asked)
    ranked = _ranked(service, asked, here, standing)
    if here.node not in ranked.ranked:
        why = ranked.excluded.get(here.node, "this node is not among its nodes")
        return Turn(_waits(wanted, "NotCandidate", f"{here.node} {why}"), "", False, asked)
    before = ranked.ranked[: ranked.ranked.index(here.node)]
    aside = STEP_ASIDE * max(len(before) - len(free_slots) + 1, 0)
    left = aside - here.waited.get("free", 0.0)
    move = _move(asked.wish)
    if left > 0 and not (move and move.to == here.node):
        why = f"{before[0]} comes first; tried here after {aside:g} s if it is free still"
        return Turn(_waits(wanted, "NotFirst", why), "", False, asked, "free", left)
    return Turn(_waits(wanted, "Claims", f"{here.node} claims it"), "claim", False, asked, "free")


def _ranked(service: Service, asked: Asked, here: Situation, standing: Wish | None) -> Candidates:
    """Who may take a free slot, best first, as policy, persons and the past have it.

    standing  of all nodes: another one may be where it was stopped, and nobody waits for that.
    """
    found = candidates(service, here.peers)
    move, excluded = _move(asked.wish), dict(found.excluded)
    stopped = standing.node if standing and standing.verb == "stop" else ""
    ranked = [name for name in found.ranked if name not in _holders(here) and name != stopped]
    only = move.to if move else asked.standing.node if asked.standing else ""
    if move and only and excluded.get(only) == UNORDERED:
        ranked.append(only)  # a person chose
    if only:
        why = f"waits: {move or asked.standing}"
        return Candidates(
            tuple(n for n in ranked if n == only), {**{n: why for n in ranked if n != only}, **excluded}
        )
    up = [name for name in ranked if service.key in here.peers[name].loose]
    if (
        up and service.topology == "failover"
    ):  # whoever has something of it up is first: nobody else can be before that is gone
        why = f"waits: something of it is up, without a claim, on {up[0]}"
        return Candidates(tuple(up), {**{n: why for n in ranked if n not in up}, **excluded})
    if move and move.away:
        others = tuple(name for name in ranked if name != move.away)
        if others:
            return Candidates(others, {**excluded, move.away: f"gives it away: {move}"})
    left = left_behind(here.claims, here.sessions)
    if service.orchestrate != "ha" and not move and left:
        last = left[0]
        why = (
            f"does not take it over from {last}: orchestrate is {service.orchestrate}; `standfast takeover`"
        )
        return Candidates(
            tuple(n for n in ranked if n == last), {**{n: why for n in ranked if n != last}, **excluded}
        )
    return Candidates(left_first(service, ranked, left), excluded)


def _holders(here: Situation) -> set[str]:
    return {c.node for c in here.claims.values() if c and not free(c, here.sessions)}


def _is_free(claim: Claim | None, slot: int, here: Situation) -> bool:
    if slot not in here.claims:
        return True
    return claim is not None and free(claim, here.sessions)


def _drained(here: Situation) -> str:
    return f"this node is {here.drained}; `standfast thaw --node` ends it"


def held_by(here: Situation) -> str:
    """Who has every slot, in words."""
    names = sorted(_holders(here)) or ["a node whose claim is not understood here"]
    return f"{', '.join(names)} {'holds' if len(names) == 1 else 'hold'} it"


def _waits(wanted: Decision, code: str, why: str, goal: ServiceGoal = ServiceGoal.STANDBY) -> Decision:
    lower = goal if wanted.goal not in DOWNWARD else wanted.goal
    return Decision(lower, code, (*wanted.because, why))


# --- what was asked ------------------------------------------------------------------------


def _move(wish: Wish | None) -> Wish | None:
    return wish if wish and wish.verb == "switch" else None


def _arrived(move: Wish | None, node: str) -> bool:
    """This node is where the move leads."""
    return move is not None and (move.to == node if move.to else move.away != node)


def _local(wish: Wish | None, node: str) -> bool:
    return wish is not None and wish.node == node


def _without_parts(asked: Asked) -> Asked:
    """A wish about a part, or to do something again, is for who holds the service."""
    wish = asked.wish
    if wish and (wish.rids or wish.upto or wish.downto or wish.verb == "restart"):
        return replace(asked, wish=None)
    return asked
