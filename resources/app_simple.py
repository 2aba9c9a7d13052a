"""app.simple: a program in the foreground, kept running; up as long as its first process runs.

Its exit is an event, so it is noticed at once; how it ended is told below it. A first process that
ended while others of its own still run has forked away: warn, and it is ended whole before a new
one starts. A check command can only add to that: running but not well is warn, not heard is unknown.
"""

from typing import Any, NotRequired

from reconciler.asks import Ask, Check, Facts, Program, ProgramSeen
from reconciler.model import Goal, Note, Observed, State, info, settled, warning
from reconciler.operations import Operation, Terminate
from resources.commands import Line, ProgramSpec, check, line, stay, verdict

KIND = "app.simple"


class Spec(ProgramSpec):
    start: str
    check: NotRequired[str]
    stop_signal: str
    stop_timeout: float
    start_grace: float
    output: NotRequired[str]


def asks(spec: Spec) -> tuple[Ask[Any], ...]:
    optional = (_line(spec).program, _check(spec))
    return (Program(), *(ask for ask in optional if ask is not None))


def observe(spec: Spec, facts: Facts) -> Observed:
    command, program = _line(spec), facts.of(Program())
    label = f"simple: {_name(command)}"
    data = {"program": program}
    if program is None or not (program.running or program.leftovers):
        ended = (_ending(program),) if program else ()
        return Observed(State.DOWN, label, ended, blocked=command.trouble(facts), data=data)
    if not program.running:
        return Observed(State.WARN, label, (_ending(program), _forked(program)), data=data)
    state, why, checking = State.UP, "", _check(spec)
    if checking:
        state, why = verdict(facts.of(checking), spec["retcodes"])
        if state not in (State.UP, State.UNKNOWN):
            state, why = State.WARN, why or f"it runs, but the check says {state}"
    return Observed(
        state,
        label,
        (warning(why),) if why else (),
        identity=f"{program.pid}.{program.start_time}",
        data=data,
    )


def operations(spec: Spec, seen: Observed, goal: Goal) -> tuple[Operation, ...]:
    """What still runs is ended before another starts: never two of them."""
    if settled(goal, seen):
        return ()
    program: ProgramSeen | None = seen.data.get("program")
    end: tuple[Operation, ...] = ()
    if program and seen.state is not State.DOWN:
        grace = spec["stop_timeout"]
        # Ten seconds more for the kernel to reap what was killed.
        end = (Terminate(program.pid, program.start_time, grace, spec["stop_signal"], grace + 10.0),)
    if goal is Goal.DOWN:
        return end
    return (*end, stay(spec, _line(spec), spec.get("output", ""), spec["start_grace"]))


def _line(spec: Spec) -> Line:
    return line(spec["start"], "start", spec["shell"])


def _check(spec: Spec) -> Check | None:
    command = line(spec.get("check"), "check", spec["shell"])
    return check(spec, command, spec["check_timeout"], spec["check_interval"]) if command else None


def _name(command: Line) -> str:
    words = command.argv[0].split() if command.argv else []
    return words[0].rpartition("/")[2] if words else "nothing"


def _ending(program: ProgramSeen) -> Note:
    if program.code is None:
        return info(f"process {program.pid} ended; its exit code is not known")
    if program.code < 0:
        return warning(f"process {program.pid} was killed by signal {-program.code}")
    return warning(f"process {program.pid} exited with code {program.code}")


def _forked(program: ProgramSeen) -> Note:
    many = f"{program.leftovers} processes" if program.leftovers > 1 else "one process"
    return warning(f"{many} it started still run: keep it in the foreground, or use app.forking")
