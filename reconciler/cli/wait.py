"""What was asked of the agent → its end: done, refused, stalled or out of time."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from reconciler.cli import client, judge, output

LIMIT = 300.0  # seconds by default
TICK = 0.5  # seconds between two looks at the clock
GRACE = 3.0  # seconds that a service may look stalled before that is believed
AGAIN = 0.2  # seconds before a lost agent is looked for again
MOVES = ("switch", "takeover", "giveback")
ENDED = {"refused": client.REFUSED, "expired": client.FAILED, "failed": client.FAILED}

End = tuple[int, str]
"""Exit code and what to say."""


class Asked:
    """One wish, or one document, that is waited for. `end` looks at the service and says if it is over."""

    def __init__(self, key: str, what: str, end: Callable[[Mapping[str, Any]], End | None]) -> None:
        self.key, self.what, self.end = key, what, end
        self.stalled_at = 0.0


def wish(key: str, verb: str, number: str, rids: list[str], whole: bool) -> Asked:
    """A wish with its id; `whole`: of the whole service, so its state says when it is done."""

    def end(service: Mapping[str, Any]) -> End | None:
        found = service["status"]["wish"]
        if found and found["id"] == number:
            if found["state"] in ENDED:
                return ENDED[found["state"]], found.get("message") or found["state"]
            if verb in MOVES and service["status"]["avail"] != "up":
                return None  # fulfilled where it runs now: that has still to be heard of here
            if found["state"] == "fulfilled" or _reached(service, verb, rids, whole):
                return client.OK, _state(service)
            return None
        if verb in ("freeze", "thaw"):
            return _turned(service, verb, "service")
        if found and found["verb"] != verb and (verb in ("start", "stop") or found["verb"] == "stop"):
            return client.FAILED, f"replaced: {found['who']} asked for {found['verb']}"
        return client.OK, _state(service)  # it ended by being fulfilled

    return Asked(key, verb, end)


def up(key: str, verb: str) -> Asked:
    """What was asked for is on its way without the wish: done when it runs."""

    def end(service: Mapping[str, Any]) -> End | None:
        return (client.OK, _state(service)) if service["status"]["avail"] == "up" else None

    return Asked(key, verb, end)


def node(key: str, verb: str, whole: bool = False) -> Asked:
    """A freeze, thaw or drain of the host (`whole`: of all), as one of its services heard it."""
    if verb == "drain":
        return Asked(key, verb, _drained)
    return Asked(key, verb, lambda service: _turned(service, verb, "cluster" if whole else "node"))


def document(key: str, generation: str) -> Asked:
    """A document that was put in place; done when this content is in force and all is as wanted.

    Also where it runs, if that is another host.
    """

    def end(service: Mapping[str, Any]) -> End | None:
        status = service["status"]
        if "claims" in status and status["goal"] == "standby" and status["avail"] not in ("up", "n/a"):
            return None
        seen = service["status"]["observed_generation"] == service["metadata"]["generation"] == generation
        if seen and judge.as_wanted(service) and not judge.busy(service):
            return client.OK, _state(service)
        return None

    return Asked(key, "apply", end)


def until_done(args: Any, asked: list[Asked], limit: float) -> int:
    """Wait for all of them; tells of each, returns the worst exit code.

    An agent that restarts meanwhile is waited for. What is gone is done, where it was to be purged.
    """
    line = Progress()
    left = {one.key: one for one in asked}
    ends: dict[str, End] = {}
    deadline = time.monotonic() + limit
    for known in _looks(args, list(left), deadline):
        for key, one in list(left.items()):
            if (end := _end(one, known[key])) is not None:
                ends[key] = end
                del left[key]
                if args.output == "table":
                    line.clear()
                    output.say(f"{_short(key)}: {end[1]}")
        if not left:
            break
        line.show("; ".join(f"{_short(key)}: {judge.doing(known[key])}" for key in left if known[key]))
    line.clear()
    for key, one in left.items():
        where = "this goes on without you: `standfast status` shows it"
        ends[key] = client.FAILED, f"{one.what} not done within {limit:g} s: {where}"
        output.complain(f"{_short(key)}: {ends[key][1]}")
    told = [{"service": key, "code": code, "message": text} for key, (code, text) in ends.items()]
    if args.output != "table":
        output.show(args, {"items": told}, str)
    return max((code for code, _ in ends.values()), default=client.OK)


def _looks(args: Any, keys: list[str], deadline: float) -> Iterator[dict[str, Any]]:
    """All of the services at every change and every tick, {} for one that is not there."""
    known: dict[str, Any] = {key: {} for key in keys}
    query = {"heartbeat": TICK, "selector": keys}
    while time.monotonic() < deadline:
        try:
            fresh: dict[str, Any] = {key: {} for key in keys}
            complete = False
            for kind, thing in client.stream(args, "/v1/watch", query, silence=20 * TICK):
                if kind in ("service", "deleted") and (key := judge.name_of(thing)) in known:
                    fresh[key] = thing if kind == "service" else {}
                complete = complete or kind == "ready"
                if complete:
                    known = fresh
                    yield known
                if time.monotonic() >= deadline:
                    return
        except client.Failed as failure:
            if failure.code != client.NO_AGENT:
                raise
            time.sleep(AGAIN)


def _end(one: Asked, service: Mapping[str, Any]) -> End | None:
    if not service:
        return (client.OK, "gone") if one.what == "purge" else None
    if (end := one.end(service)) is not None:
        return end
    stalled = judge.condition(service, "Stalled")
    if stalled.get("status") != "True" or judge.busy(service):
        one.stalled_at = 0.0
        return None
    one.stalled_at = one.stalled_at or time.monotonic()
    if time.monotonic() - one.stalled_at < GRACE:
        return None
    why = f"{stalled['reason']}: {stalled['message']}"
    return client.FAILED, f"{one.what} stalled: {why} (`standfast why {_short(one.key)}`)"


def _reached(service: Mapping[str, Any], verb: str, rids: list[str], whole: bool) -> bool:
    """Whether the state says it, of a wish that stands: start and stop."""
    status = service["status"]
    if verb not in ("start", "stop") or judge.busy(service):
        return False
    if rids:
        wanted = ("up", "stdby up", "n/a") if verb == "start" else ("down", "stdby down", "n/a")
        found = [one["state"] in wanted for rid, one in judge.resources(service) if rid in rids]
        return len(found) == len(rids) and all(found)  # of a group, or a tag, the agent says when
    if not whole:
        return judge.condition(service, "Reconciling").get("reason") == "Settled"
    turned = status["goal"] == "up" if verb == "start" else status["goal"] in ("down", "absent", "standby")
    return turned and judge.as_wanted(service)


def _turned(service: Mapping[str, Any], verb: str, scope: str) -> End | None:
    """Frozen is what nothing runs for any more: what ran is carried to its end."""
    frozen = service["status"]["frozen"]
    if verb == "freeze":
        return (client.OK, "frozen") if frozen and not judge.busy(service) else None
    return None if frozen and frozen["scope"] == scope else (client.OK, "thawed")


def _drained(service: Mapping[str, Any]) -> End | None:
    """This host does not hold it, and nothing is being done about it here."""
    here = service["status"].get("node", "")
    held = [one for one in service["status"].get("claims", ()) if one["node"] == here and not one["free"]]
    return None if held or judge.busy(service) else (client.OK, f"{service['status']['avail']}, not here")


def _state(service: Mapping[str, Any]) -> str:
    return str(service["status"]["avail"])


def _short(key: str) -> str:
    return key.removeprefix("root/")


class Progress:
    """One line on stderr that is drawn over, only where that is a terminal."""

    def __init__(self) -> None:
        self._on = sys.stderr.isatty()
        self._shown = ""

    def show(self, text: str) -> None:
        if self._on and text != self._shown:
            sys.stderr.write("\r\x1b[K" + text[: max(output.width(), 80) - 1])
            sys.stderr.flush()
            self._shown = text

    def clear(self) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._shown = ""
