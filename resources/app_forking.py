"""app.forking: a program that its own start command leaves behind; a check command says how it is.

Without a check it is up if it was remembered as started since this boot, for nothing of it can be
seen; a start or stop that was begun and not seen to its end (a crash, a failure, a time limit) is
remembered too, as warn: it is stopped before it is started again. With a check, that alone decides;
then a stop command may exit as it likes, since the check shows what came of it. A check that cannot
be run says nothing: unknown, except that a program which is missing, of an app that was not started
here, is taken for down (its filesystem is not mounted).
"""

import contextlib
from typing import Any, NotRequired

from reconciler.asks import Ask, Check, Facts, Memory, Unanswered
from reconciler.model import Goal, Observed, State, settled, unknown, warning
from reconciler.operations import Operation, Remember
from resources.commands import UNHEARD, Line, ProgramSpec, check, line, run, verdict

KIND = "app.forking"
STARTED = Remember("started", "1", until="reboot")
HALF = Remember("started", "half", until="reboot")
STOPPED = Remember("started", None)
INFO_EVERY = 600.0
ACTIONS = ("start", "stop", "check", "info")
ANY_ANSWER = tuple(range(min(UNHEARD)))


class Spec(ProgramSpec):
    script: NotRequired[str]
    script_dir: str
    start: NotRequired[str | bool]
    stop: NotRequired[str | bool]
    check: NotRequired[str | bool]
    info: NotRequired[str | bool]
    timeout: float
    start_timeout: NotRequired[float]
    stop_timeout: NotRequired[float]
    info_timeout: float


def asks(spec: Spec) -> tuple[Ask[Any], ...]:
    programs = (_line(spec, "start").program, _line(spec, "check").program)
    commands = (_check(spec), _info(spec))
    return (Memory(), *(ask for ask in (*programs, *commands) if ask is not None))


def observe(spec: Spec, facts: Facts) -> Observed:
    start, stop, checking = _line(spec, "start"), _line(spec, "stop"), _check(spec)
    label = f"forking: {_name(spec)}"
    if scriptless := [action for action in ACTIONS if spec.get(action) is True and not spec.get("script")]:
        return unknown(f"{', '.join(scriptless)}: true needs a script to call, and none is given", label)
    if not (start or stop or checking):
        return Observed(State.NA, label, notes=(warning("none of start, stop and check is given"),))
    started = facts.of(Memory()).get("started")
    why, blocked = "", start.trouble(facts)
    if checking is None:
        state = {None: State.DOWN, STARTED.value: State.UP}.get(started, State.WARN)
        why = "a start or stop of it did not come to its end" if state is State.WARN else ""
    elif gone := _line(spec, "check").trouble(facts):
        if started:
            return unknown(f"the check cannot be run: {gone}", label)
        state, blocked = State.DOWN, blocked or gone
    else:
        state, why = verdict(facts.of(checking), spec["retcodes"])
        blocked = blocked if start else "the check says down, and no start command is given"
    notes = [warning(why)] if why else []
    if state is State.UP and checking and not stop:
        notes.append(warning("no stop command is given: only its own end takes it down"))
    return Observed(
        state,
        label,
        notes=tuple(notes),
        blocked=blocked if state is State.DOWN else "",
        exposes={"info": _told(spec, facts)} if state is State.UP and spec.get("info") else {},
    )


def operations(spec: Spec, seen: Observed, goal: Goal) -> tuple[Operation, ...]:
    """A warning is answered as a person would: stop, then start."""
    if settled(goal, seen):
        return ()
    start, stop, checked = _line(spec, "start"), _line(spec, "stop"), _check(spec) is not None
    steps: list[Operation] = []
    if stop and (goal is Goal.DOWN or seen.state is State.WARN):
        limit = spec.get("stop_timeout", spec["timeout"])
        steps.append(run(spec, stop, limit, ok=ANY_ANSWER if checked else (0,)))
    if start and goal is not Goal.DOWN:
        limit = spec.get("start_timeout", spec["timeout"])
        steps.append(run(spec, start, limit, interruptible=True))
    begin = (HALF,) if steps and not checked and seen.state is not State.WARN else ()
    return (*begin, *steps, STOPPED if goal is Goal.DOWN else STARTED)


def _line(spec: Spec, action: str) -> Line:
    script = spec.get("script", "")
    if script and not script.startswith("/"):
        script = f"{spec['script_dir']}/{script}"
    return line(spec.get(action), action, spec["shell"], script)


def _check(spec: Spec) -> Check | None:
    command = _line(spec, "check")
    return check(spec, command, spec["check_timeout"], spec["check_interval"]) if command else None


def _info(spec: Spec) -> Check | None:
    command = _line(spec, "info")
    return check(spec, command, spec["info_timeout"], INFO_EVERY) if command else None


def _told(spec: Spec, facts: Facts) -> tuple[str, ...]:
    """Its `key: value` lines. What is only told to people never makes the state unknown."""
    asked = _info(spec)
    with contextlib.suppress(Unanswered):
        if asked and (result := facts.of(asked)).code == 0:
            return tuple(text.strip() for text in result.output.splitlines() if ":" in text)
    return ()


def _name(spec: Spec) -> str:
    """What people call it: the file name of its script or of its start command."""
    command = _line(spec, "start") or _line(spec, "check") or _line(spec, "stop")
    path = spec.get("script") or (command.argv[0].split() or [""])[0] if command else spec.get("script", "")
    return path.rpartition("/")[2] if path else "nothing"
