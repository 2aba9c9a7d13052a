"""Requests of the agent → granted or refused: what may be asked of the guard in which phase."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from reconciler.guard import records
from reconciler.guard.lines import Line, decode, encode
from reconciler.guard.mind import Mind
from reconciler.guard.words import (
    Action,
    Arm,
    Armed,
    End,
    Keep,
    Phase,
    Reply,
    Request,
    Say,
    Session,
    Sysrq,
    Terms,
    Unwritten,
    Write,
)


class Refused(Exception):
    """With the reason, as the agent is told it."""


def answer(mind: Mind, request: Request, now: float) -> list[Action]:
    """The request carried out, or a reply that says why not."""
    handler = _HANDLERS.get(request.do)
    try:
        if handler is None:
            raise Refused(f"the guard does not know {request.do!r}")
        return handler(mind, request, now)
    except Refused as why:
        return [Reply(request.connection, request.id, {}, str(why))]


def facts(mind: Mind) -> dict[str, Any]:
    """What anybody may know. A session that was found has the watchdog that it was opened with."""
    session = mind.session
    return {
        "phase": str(mind.phase),
        "epoch": mind.session.epoch if mind.session else 0,
        "deadline": mind.deadline if mind.phase is Phase.HELD else None,
        "last": mind.last,
        "watchdog": mind.terms.watchdog if mind.armed or session else None,
        "real": mind.real if mind.armed else session is not None and session.real,
        "doomed": mind.doomed,
        "late": mind.late,
        "why": mind.why,
        "lines": [[number, encode(line)] for number, line in mind.lines.items()],
    }


# --- the watchdog --------------------------------------------------------------------------


def _arm(mind: Mind, request: Request, now: float) -> list[Action]:
    """Before a session, or within it: a longer or shorter one."""
    seconds, margin = _number(request, "watchdog"), _number(request, "margin")
    if mind.phase is Phase.HELD:
        _must_hold(mind, request)
    elif mind.phase is not Phase.IDLE:
        raise Refused(_why_not(mind))
    if mind.doomed:
        raise Refused(_why_not(mind))
    if not 0 < margin < seconds:
        raise Refused(f"a margin of {margin:g} s in a watchdog of {seconds:g} s leaves no time to stop")
    return [Arm(seconds, request)]


def armed(mind: Mind, event: Armed, now: float) -> list[Action]:
    """What the watchdog granted, to whoever asked for it."""
    request = event.request
    if event.why:
        said = f"the watchdog cannot be armed: {event.why}"
        return [_refusal(request, said)] if request else [Say(said)]
    mind.armed, mind.real, mind.closes = True, event.real, event.closes
    if request is None:
        return []
    if mind.over:  # meanwhile
        return [_refusal(request, _why_not(mind))]
    if request.do == "open":
        return _armed_again(mind, request, event, now)
    terms = Terms(event.granted, _number(request, "margin"))
    if terms.margin >= terms.watchdog:
        said = f"the watchdog granted {terms.watchdog:g} s, which leaves no time to stop"
        return [_refusal(request, said)]
    mind.terms, mind.idle_until = terms, now + terms.watchdog
    actions: list[Action] = []
    if mind.session:
        mind.session = mind.session._replace(terms=terms, real=event.real)
        actions.append(Write(records.opened(mind.session)))
    words = {"granted": event.granted, "real": event.real}
    return [*actions, Reply(request.connection, request.id, words)]


# --- the session ---------------------------------------------------------------------------


def _open(mind: Mind, request: Request, now: float) -> list[Action]:
    """A new session, or one gone on with by a new agent, or with a new guard."""
    epoch, deadline = int(_number(request, "epoch")), _number(request, "deadline")
    if mind.over or mind.doomed:
        raise Refused(_why_not(mind))
    if epoch <= mind.last:
        raise Refused(f"session {epoch} is over: open one with a higher epoch than {mind.last}")
    if deadline <= now:
        raise Refused(f"the deadline of session {epoch} passed {now - deadline:.3f} s ago")
    if mind.session and mind.session.agent != request.peer and not mind.abandoned:
        raise Refused(f"process {mind.session.agent.pid} holds session {mind.session.epoch}")
    if mind.session and mind.session.epoch != epoch and mind.exclusive():
        raise Refused(
            f"{len(mind.exclusive())} things of session {mind.session.epoch} are listed: "
            "they have to be stopped before another session is opened"
        )
    if mind.phase is Phase.FOUND and mind.session is None:
        raise Refused("whose the things listed are cannot be read: they will be stopped")
    if mind.phase is Phase.FOUND and not mind.armed:
        return [Arm(mind.terms.watchdog, request)]
    if not mind.armed:
        raise Refused("the watchdog is not armed: arm first")
    operations, notes = (str(request.words.get(name, "")) for name in ("operations", "notes"))
    mind.before = (mind.phase, mind.session, mind.deadline, mind.abandoned)
    mind.session = Session(epoch, request.peer, operations, notes, mind.terms, mind.real)
    mind.phase, mind.deadline = Phase.HELD, deadline
    mind.abandoned, mind.late, mind.why = False, False, ""
    return [
        Write(records.opened(mind.session), request),
        Keep(mind.deadline),
        Say(f"session {mind.session.epoch} is open, for process {request.peer.pid}"),
        Reply(request.connection, request.id, facts(mind)),
    ]


def _armed_again(mind: Mind, request: Request, event: Armed, now: float) -> list[Action]:
    """By the guard after the one that opened the session: as good as that, or it is over."""
    before = mind.session
    if before and (event.granted > before.terms.watchdog or (before.real and not event.real)):
        why = f"the watchdog grants {event.granted:g} s now, not {before.terms.watchdog:g} s as before"
        return [_refusal(request, why), *mind.trip(why, now, now)]
    mind.terms = mind.terms._replace(watchdog=event.granted)
    return answer(mind, request, now)


def _extend(mind: Mind, request: Request, now: float) -> list[Action]:
    """Also to an earlier instant; one that has passed means now, for the old one was good until now."""
    _must_hold(mind, request)
    mind.deadline = max(_number(request, "deadline"), now)
    return [Keep(mind.deadline), Reply(request.connection, request.id, {"deadline": mind.deadline})]


def _trip(mind: Mind, request: Request, now: float) -> list[Action]:
    if mind.phase is Phase.HELD:
        _must_hold(mind, request)
    elif mind.phase is not Phase.FOUND:
        raise Refused(_why_not(mind))
    why = str(request.words.get("why", "asked for"))
    return [Reply(request.connection, request.id, {}), *mind.trip(why, now, now)]


def _close(mind: Mind, request: Request, now: float) -> list[Action]:
    _must_hold(mind, request)
    if mind.exclusive():
        raise Refused(mind.kept_by())
    mind.idle_until = now
    return [*mind.close("asked for"), Reply(request.connection, request.id, {})]


# --- the ledger ----------------------------------------------------------------------------


def _enter(mind: Mind, request: Request, now: float) -> list[Action]:
    """Before an operation towards up. What is listed already keeps its place, also when it is standby now,
    or no more: entered anew it would be undone before what was started after it.
    """
    _must_hold(mind, request)
    if mind.doomed:
        raise Refused(_why_not(mind))
    given = request.words.get("lines")
    try:
        lines = [decode(each) for each in given] if isinstance(given, list) else None
    except ValueError as error:
        raise Refused(str(error)) from None
    if lines is None:
        raise Refused("enter: no lines are given")
    known = {line: number for number, line in mind.lines.items()}
    fresh: dict[int, Line] = {}
    for line in dict.fromkeys(lines):
        if line not in known:
            number = known.get(line._replace(standby=not line.standby), 0)
            known[line] = number or mind.next
            fresh[known[line]] = line
            mind.next += not number
    mind.replaced = {number: mind.lines[number] for number in fresh if number in mind.lines}
    mind.lines |= fresh
    reply = Reply(request.connection, request.id, {"numbers": [known[line] for line in lines]})
    return [Write(records.entered(fresh), request), reply] if fresh else [reply]


def _leave(mind: Mind, request: Request, now: float) -> list[Action]:
    """What was seen gone. A number that is not listed is fine."""
    _must_hold(mind, request)
    given = request.words.get("numbers")
    if not isinstance(given, list) or not all(isinstance(number, int) for number in given):
        raise Refused("leave: no numbers are given")
    gone = [number for number in dict.fromkeys(given) if number in mind.lines]
    for number in gone:
        del mind.lines[number]
    reply = Reply(request.connection, request.id, {})
    return [Write(records.left(gone)), reply] if gone else [reply]


def unwritten(mind: Mind, event: Unwritten) -> list[Action]:
    """What is not on the list was not granted."""
    match event.record:
        case {"enter": list(pairs)}:
            for number, _ in pairs:
                mind.lines.pop(number, None)
            mind.lines |= mind.replaced
        case {"session": _}:  # one that was to be gone on with is as it was
            mind.phase, mind.session, mind.deadline, mind.abandoned = mind.before
    return [_refusal(event.request, f"the ledger cannot be written: {event.why}")]


# --- the rest ------------------------------------------------------------------------------


def _state(mind: Mind, request: Request, now: float) -> list[Action]:
    return [Reply(request.connection, request.id, facts(mind))]


def _reset(mind: Mind, request: Request, now: float) -> list[Action]:
    """`crash`: at once, by sysrq; else by the watchdog, where there is one."""
    if mind.session and not mind.over:
        _must_hold(mind, request)
    crash, why = request.words.get("crash") is True, str(request.words.get("why", "asked for"))
    if not mind.sysrq and not (mind.armed and mind.real):
        raise Refused("no watchdog is armed and sysrq is not allowed: this machine cannot be reset by me")
    reply = Reply(request.connection, request.id, {})
    if mind.armed and mind.real and not crash:
        mind.doomed = True
        return [reply, Say(f"{why}: no more pets, the machine will be reset", loud=True)]
    if not mind.sysrq:
        mind.doomed = True
        return [reply, Say(f"{why}: sysrq is not allowed; no more pets", loud=True)]
    mind.doomed = True
    return [reply, Say(f"{why}: reset at once", loud=True), Sysrq()]


def _end(mind: Mind, request: Request, now: float) -> list[Action]:
    if mind.phase is Phase.HELD:
        _must_hold(mind, request)
    if why := mind.kept_by():
        raise Refused(why)
    closing = mind.close("the guard ends") if mind.session else []
    return [*closing, *mind.disarmed(), Reply(request.connection, request.id, {}), End()]


Handler = Callable[[Mind, Request, float], list[Action]]
_HANDLERS: Mapping[str, Handler] = {
    "arm": _arm,
    "open": _open,
    "extend": _extend,
    "enter": _enter,
    "leave": _leave,
    "trip": _trip,
    "close": _close,
    "reset": _reset,
    "end": _end,
    "state": _state,
}


def _must_hold(mind: Mind, request: Request) -> None:
    """Only the agent of the open session, and only while it is open."""
    if mind.phase is not Phase.HELD or mind.session is None:
        raise Refused(_why_not(mind))
    if request.peer != mind.session.agent:
        raise Refused(f"process {mind.session.agent.pid} holds session {mind.session.epoch}, not you")
    epoch = request.words.get("epoch", mind.session.epoch)
    if epoch != mind.session.epoch:
        raise Refused(f"session {epoch} is not open, session {mind.session.epoch} is")


def _why_not(mind: Mind) -> str:
    if mind.doomed:
        return "the machine is about to be reset"
    if mind.over:
        epoch = mind.session.epoch if mind.session else 0
        return f"session {epoch} is over ({mind.why}) and is being stopped"
    if mind.phase is Phase.FOUND:
        return "things of an earlier guard are listed: go on with their session, or they are stopped"
    return "no session is open" + (f": the last one is over ({mind.why})" if mind.why else "")


def _number(request: Request, name: str) -> float:
    value = request.words.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise Refused(f"{request.do}: {name} must be a number, not {value!r}")
    return float(value)


def _refusal(request: Request, why: str) -> Reply:
    return Reply(request.connection, request.id, {}, why)
