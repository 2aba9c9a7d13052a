"""Decisions and what was seen → the chain of reasons a person reads: `why svc1`.

Said from the real inputs of the last pass: what is wanted and by whom, what it is, what stands in
the way, since when, and what would take it out of the way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reconciler.decide.asked import Asked, Frozen
from reconciler.decide.placement import Decision
from reconciler.errors import Fault
from reconciler.model import Goal, Observed, Plan, ServiceGoal, State, settled

Line = tuple[int, str]
"""Indent level and text."""


@dataclass(frozen=True)
class Part:
    """One resource as the last pass left it. `since` and times in lines are wall-clock seconds."""

    goal: Goal
    seen: Observed
    since: float
    running: str = ""  # the command that runs for it now
    failures: int = 0
    last: str = ""  # the last failure
    again_at: float = 0.0  # when it is tried again, 0: at the next event


def why(
    key: str,
    decision: Decision,
    asked: Asked,
    parts: Mapping[str, Part],
    plan: Plan,
    faults: Sequence[Fault],
    store: str,
    now: float,
    ways: Sequence[str] = (),
) -> tuple[Line, ...]:
    """`store`: why nothing can be kept at present, "" when all is well. `ways`: what would help."""
    lines: list[Line] = [(0, f"{key} is wanted {_goal(decision.goal)} here")]
    told = {str(asked.standing), str(asked.wish)}  # below, with their age
    lines += [(1, text) for text in decision.because if text not in told]
    lines += _people(asked, now)
    if decision.frozen:
        lines.append((1, _freeze(decision.frozen, key, now)))
    lines.append((0, _state(parts)))
    waiting = {w.rid: w.why for w in plan.waiting}
    for rid, part in parts.items():
        if not settled(part.goal, part.seen) or part.running:
            lines += _one(rid, part, waiting.get(rid, ""), now)
    lines += [(1, text) for text in ways]
    if plan.now:
        lines.append((0, "being done now"))
        lines += [(1, f"{s.rid}: {o}") for s in plan.now for o in s.operations]
    if faults:
        lines.append((0, "the file in the directory is not in force; the last good one is"))
        lines += [(1, str(fault).replace("\n    ", " ")) for fault in faults]
    if store:
        lines.append((0, f"nothing can be kept at present: {store}"))
    return tuple(lines)


def ago(seconds: float) -> str:
    """A span as people say it."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _goal(goal: ServiceGoal) -> str:
    return {
        ServiceGoal.UNTOUCHED: "untouched: it is only looked at",
        ServiceGoal.ABSENT: "absent",
    }.get(goal, goal.value)


def _people(asked: Asked, now: float) -> list[Line]:
    lines: list[Line] = []
    if standing := asked.standing:
        until = f", until {ago(standing.until - now)} from now" if standing.until else ""
        hint = "" if standing.until else "; `standfast clear` ends it"
        lines.append((1, f"{standing}: {ago(now - standing.at)} ago{until}{hint}"))
    if asked.wish:
        lines.append((1, f"{asked.wish}: {ago(now - asked.wish.at)} ago, under way"))
    ended, standing = asked.ended, asked.standing
    if ended and ended.state != "fulfilled" and not (standing and standing.at > ended.wish.at):
        how = f"{ended.state}: {ended.message}" if ended.message else ended.state
        lines.append((1, f"{ended.wish}: {ago(now - ended.wish.at)} ago, {how}"))
    if asked.stopped:
        rids = ", ".join(sorted(asked.stopped))
        lines.append((1, f"stopped on purpose: {rids}; `standfast start --rid` or `clear` ends it"))
    return lines


def _freeze(frozen: Frozen, key: str, now: float) -> str:
    """Since when, until when, and what ends it before."""
    words = {"node": "--node", "cluster": "--cluster"}.get(frozen.scope, key.removeprefix("root/"))
    since = f"frozen {ago(now - frozen.at)} ago" if frozen.at else "frozen"
    until = f", until {ago(frozen.until - now)} from now" if frozen.until else ""
    return f"{since}{until}; `standfast thaw {words}` ends it"


def _state(parts: Mapping[str, Part]) -> str:
    short = [rid for rid, part in parts.items() if not settled(part.goal, part.seen)]
    if not parts:
        return "it has no resources"
    if not short:
        return "every resource is where it is wanted"
    return f"{len(short)} of {len(parts)} resources are not where they are wanted"


def _one(rid: str, part: Part, waiting: str, now: float) -> list[Line]:
    since = f" since {ago(now - part.since)}" if part.since else ""
    lines: list[Line] = [(1, f"{rid} is {part.seen.state}{since}, wanted {part.goal}")]
    if part.running:
        lines.append((2, f"running now: {part.running}"))
    if waiting:
        lines.append((2, waiting))
    lines += [(2, note.text) for note in part.seen.notes if note.text not in waiting]
    if part.failures and part.last and part.last not in waiting:
        lines.append((2, f"failed {part.failures} times; last: {part.last}"))
    if part.again_at > now:
        lines.append((2, f"tried again in {ago(part.again_at - now)}"))
    if part.seen.state is State.UNKNOWN:
        lines.append(
            (2, "nothing is started, created or destroyed on a guess; it goes on when this answers")
        )
    return lines
