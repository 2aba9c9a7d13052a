"""A case → what is decided in it: goals, reasons, plans, conditions as plain data; the text of `why`."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

from reconciler.decide import claims, shown, things
from reconciler.decide.among import among
from reconciler.decide.backoff import Budget
from reconciler.decide.candidates import candidates, order
from reconciler.decide.cases import services
from reconciler.decide.cases.read import Case
from reconciler.decide.cases.words import seconds
from reconciler.decide.conditions import conditions
from reconciler.decide.explain import Line, why
from reconciler.decide.inputs import Decided, Inputs, decided
from reconciler.decide.monitored import Verdict, verdict
from reconciler.decide.placement import Decision
from reconciler.decide.sessions import Answers, Still, dead, suspected
from reconciler.decide.status import ResourceReport, instance, service_status
from reconciler.decide.timing import PROFILES
from reconciler.decide.turn import Situation
from reconciler.decide.what_if import Held, what_if
from reconciler.errors import Fault
from reconciler.model import Goal, Observed, Plan, Resource, Service


@dataclass(frozen=True)
class Told:
    """decided: by service and node. why: lines of text, as `standfast why` prints them there."""

    decided: Mapping[str, Any]
    why: str


@dataclass(frozen=True)
class Passed:
    """What a pass leaves behind, as `shown` reads it."""

    service: Service
    decision: Decision
    plan: Plan
    whole: Mapping[str, Resource]
    seen: Mapping[str, Observed]
    goals: Mapping[str, Goal]
    budgets: Mapping[str, Budget]
    stops: Mapping[str, Budget]
    attempt: Any
    since: Mapping[str, float] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()


def told(case: Case) -> Told:
    """Same case, same words."""
    made: dict[str, Any] = {}
    texts: dict[str, list[tuple[str, str, str]]] = {}
    instances: dict[str, dict[str, Any]] = {}
    for one in case.ones:
        given, end = judged(one.given, one.view, case)
        took = _took(one.given, given)
        acts = _monitored(given, end, case)
        passed = left(given, end, acts.why if acts and not acts.asked else "")
        running = {rid for rid, s in end.parts.items() if s.running}
        reports = shown.reports(passed, end.turn.asked, running, given.look.memories)
        name = services.shown(one.key)
        here = made.setdefault(name, {})
        here[one.node] = {**took, **_decision(given, end, reports, passed, case)}
        instances.setdefault(one.key, {})[one.node] = instance(reports)
        texts.setdefault(name, []).append((one.node, *_why(given, end, passed, case)))
    for key, found in instances.items():
        name, service = services.shown(key), case.services[key]
        if not case.cluster.alive(service.nodes) - found.keys():
            peers = case.cluster.peers
            holders = {name for name, peer in peers.items() if key in peer.holds}
            ranked = order(service, peers, holders) if peers else ()
            avail, overall, placement = service_status(service, found, ranked)
            state = f"avail {avail}, overall {overall}, placement {placement}"
            made[name] = {"service": state, **made[name]}
        if no := case.refused.get(key):
            made[name] = {"refused": list(no), **made[name]}
    made |= _of_nodes(case)
    return Told(made, _text(texts))


def _text(texts: Mapping[str, list[tuple[str, str, str]]]) -> str:
    """By service and node; what all nodes say alike stands once, at the end."""
    lines: list[str] = []
    for name, said in texts.items():
        for number, (node, text, neighbours) in enumerate(said):
            again = number + 1 < len(said) and neighbours == said[number + 1][2]
            lines += [f"# {name} on {node}", text, *([] if again or not neighbours else [neighbours]), ""]
    return "\n".join(lines).rstrip() + "\n"


def judged(given: Inputs, view: claims.View | None, case: Case) -> tuple[Inputs, Decided]:
    """With the claim asked for, where it is to be, and the store's answer: all in one pass."""
    end = decided(given, case.drivers, ahead=True)
    me = case.cluster.me(given.here.node)
    if end.turn.act != "claim" or view is None or given.near is None or me is None:
        return given, end
    answer = _asked(given.service, given.near, view, me, case)
    if isinstance(answer, str):
        near = replace(given.near, refused=answer)
    else:
        near = replace(
            given.near, mine=answer, sure=True, claims={**given.near.claims, answer.slot: answer}
        )
        near = replace(near, sessions={**near.sessions, answer.node: me.session})
    given = replace(given, near=near)
    return given, decided(given, case.drivers, ahead=True)


def _asked(
    service: Service, near: Situation, view: claims.View, me: claims.Holder, case: Case
) -> claims.Claim | str:
    """The claim as the store would have it then, or why not."""
    if near.mine is not None:
        return near.mine
    resolved = {name: (name,) for name in things.names(service, case.drivers)}
    wanted = things.things(service, case.drivers, resolved)
    if isinstance(wanted, str):
        return wanted
    made = claims.take(service, wanted, claims.needed(service, case.drivers), me, view)
    if isinstance(made, str):
        return made
    assert made.claim is not None
    return made.claim


def _took(before: Inputs, after: Inputs) -> dict[str, str]:
    """What became of the claim in this pass."""
    if before.near is None or after.near is None or before.near == after.near:
        return {}
    if after.near.refused:
        return {"claim": "asked for, and not given"}
    if before.near.mine:
        return {"claim": "written again: another agent of this node had it"}
    mine = after.near.mine
    return {"claim": f"taken, with {', '.join(mine.things) or 'nothing else'}" if mine else ""}


def left(given: Inputs, end: Decided, stays: str = "") -> Passed:
    """`stays`: why it should move, and was moved too often to."""
    counted, here = given.counted, given.here
    attempt = SimpleNamespace(
        conflict=counted.conflict,
        conflict_until=counted.conflict_until,
        failed=here.start_failed,
        failed_until=0.0,
        stays=stays,
    )
    return Passed(
        given.service,
        end.decision,
        end.plan,
        {rid: s.resource for rid, s in end.parts.items()},
        {rid: s.seen for rid, s in end.parts.items()},
        {rid: s.goal for rid, s in end.parts.items()},
        counted.budgets,
        counted.stops,
        attempt,
    )


def _decision(
    given: Inputs, end: Decided, reports: list[ResourceReport], passed: Passed, case: Case
) -> dict[str, Any]:
    decision, turn, here = end.decision, end.turn, instance(reports)
    said: dict[str, Any] = {"goal": decision.goal.value, "because": f"{decision.code}: {decision.reason}"}
    if turn.act == "release" and not decision.destroy:
        said["claim"] = "given back once all is down"
    if turn.again_in:
        said["again_in"] = f"{turn.again_in:g} s"
    acts = _monitored(given, end, case)
    if acts and acts.asked:  # and the pass is over
        return {**said, "monitor_action": f"{acts.action}: {acts.why}"}
    if acts:
        said["monitor_action"] = f"moved too often, stays here: {acts.why}"
    for word, steps in (("now", end.plan.now), ("then", end.plan.then)):
        if steps:
            said[word] = [f"{s.act} {s.rid} ({s.why}): {'; '.join(map(str, s.operations))}" for s in steps]
    if end.plan.waiting:
        said["waits"] = {w.rid: w.why for w in end.plan.waiting}
    found = conditions(
        reports,
        here,
        goal=shown.wanted(decision),
        generation="",
        now=0.0,
        trouble=shown.trouble(passed, ""),
        frozen=bool(decision.frozen),
        no_session=shown.no_session(decision),
        busy=bool(end.plan.now) or any(report.running for report in reports),
    )
    said["state"] = f"avail {here.avail}, overall {here.overall}"
    for one in found:
        if one["type"] == "Ready" or one["status"] == "True":
            text = f"{one['status']} {one['reason']}" if one["type"] == "Ready" else one["reason"]
            said[one["type"].lower()] = f"{text}: {one['message']}" if one["message"] else text
    return said


def _monitored(given: Inputs, end: Decided, case: Case) -> Verdict | None:
    """As the pass asks it of a service that is wanted up and is not on its first way there."""
    if given.near is None or end.decision.goal.value != "up" or given.counted.coming_up:
        return None

    def others() -> list[str]:
        ranked = candidates(given.service, case.cluster.peers).ranked
        return [name for name in ranked if name != given.here.node]

    return verdict(given.service, end.parts, given.counted.budgets, given.asked, others, given.here.now)


def _why(given: Inputs, end: Decided, passed: Passed, case: Case) -> tuple[str, str]:
    # Instants of budgets are loop time.
    parts = shown.parts(passed, {}, given.here.now - given.counted.now)
    ways, now = shown.ways(passed, given.counted.now), given.here.now
    lines: list[Line] = list(
        why(given.service.key, end.decision, given.asked, parts, end.plan, (), "", now, ways)
    )
    neighbours: tuple[Line, ...] = ()
    if near := given.near:
        needed = claims.needed(given.service, case.drivers)
        silent = {
            name: seconds(said["silent"]) for name, said in case.cluster.nodes.items() if "silent" in said
        }
        neighbours = among(
            given.service, near.claims, near.sessions, near.peers, given.asked, needed, silent
        )
    return _lined(lines), _lined(neighbours)


def _lined(lines: Iterable[Line]) -> str:
    return "\n".join(f"{'  ' * indent}{text}" for indent, text in lines)


# --- of whole nodes ------------------------------------------------------------------------


def _of_nodes(case: Case) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if silent := {name: said for name, said in case.cluster.nodes.items() if said.get("silent")}:
        made["sessions"] = {name: _silence(name, said["silent"], case) for name, said in silent.items()}
    for node, change in case.what_if:
        held = [
            Held(
                one,
                case.cluster.claims.get(one.key, {}),
                claims.needed(one, case.drivers),
                case.asked[one.key],
            )
            for one in case.services.values()
        ]
        moves = what_if(node, change, held, case.cluster.sessions, case.cluster.peers)
        made[f"what if {node} {change}"] = [
            f"{services.shown(m.service)} → {m.to or 'nowhere'}: {m.why}" for m in moves
        ]
    return made


def _silence(name: str, span: Any, case: Case) -> str:
    """What the others may do about a beat that does not move, while the store answers them."""
    timing, session = PROFILES["default"], case.cluster.sessions[name]
    still, now = Still(1, 0.0), seconds(span)
    if dead(session, still, now):
        return f"silent for {now:g} s: its session may be closed"
    limit = f"of {session.wait:g} s" if session and session.wait < math.inf else "in maintenance"
    waits = f"silent for {now:g} s {limit}: nobody closes its session" if session else ""
    suspicion = timing.renew + timing.leaderless + 2 * timing.request
    if name in case.fencing and suspected(session, still, Answers(now, 0.0), now, suspicion):
        return f"{waits}, but it may be fenced"
    return waits or "what it says is not understood: nobody closes its session"
