"""Records of the ledger → what a guard that starts has to know."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from reconciler.guard.lines import Damaged, Line, decode, encode
from reconciler.guard.words import Peer, Session, Terms


class Loaded(NamedTuple):
    """last     the highest epoch that is over: neither it nor one before it is ever open again.
    tripped  why the session was being stopped when its guard ended; "" when it was not.
    """

    lines: Mapping[int, Line] = {}
    session: Session | None = None
    tripped: str = ""
    last: int = 0
    next: int = 1
    deadline: float | None = None


def opened(session: Session) -> dict[str, Any]:
    return {
        "session": {**session._asdict(), "agent": list(session.agent), "terms": list(session.terms)},
    }


def entered(lines: Mapping[int, Line]) -> dict[str, Any]:
    """All of them or none: a record that is cut short is no record."""
    return {"enter": [[number, encode(line)] for number, line in lines.items()]}


def left(numbers: Iterable[int]) -> dict[str, Any]:
    return {"leave": list(numbers)}


def tripped(why: str) -> dict[str, Any]:
    return {"trip": why}


def over(epoch: int) -> dict[str, Any]:
    return {"over": epoch}


def loaded(records: Iterable[Mapping[str, Any] | str], deadline: float | None = None) -> Loaded:
    """From first to last; text is what could not be read."""
    lines: dict[int, Line] = {}
    session: Session | None = None
    why, last, following = "", 0, 1
    for record in records:
        try:
            match record:
                case {"session": dict(given)}:
                    session, why = _session(given), ""
                case {"enter": list(pairs)}:
                    for number, line in pairs:
                        lines[int(number)] = decode(line)
                        following = max(following, int(number) + 1)
                case {"leave": list(numbers)}:
                    for number in numbers:
                        lines.pop(number, None)
                case {"trip": str(text)}:
                    why = text
                case {"over": int(epoch)}:
                    session, why, last = None, "", max(last, epoch)
                case _:
                    raise ValueError("no record")
        except (ValueError, TypeError):
            lines[following] = Damaged("", str(record))
            following += 1
    return Loaded(lines, session, why, last, following, deadline if session else None)


def again(state: Loaded) -> list[dict[str, Any]]:
    """The fewest records that load to the same."""
    made = [over(state.last)] if state.last else []
    made += [opened(state.session)] if state.session else []
    made += [entered({number: line}) for number, line in state.lines.items()]
    return made + ([tripped(state.tripped)] if state.tripped else [])


def _session(given: Mapping[str, Any]) -> Session:
    pid, start_time = given["agent"]
    watchdog, margin = given["terms"]
    words = {**given, "agent": Peer(int(pid), int(start_time))}
    return Session(**{**words, "terms": Terms(float(watchdog), float(margin))})
