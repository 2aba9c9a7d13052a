"""A scope → every state of a small world that can be reached in it, or the shortest history to a wrong one.

Two states are one when nobody in them could tell them apart: times count from now, revisions by their
order, tokens by who has the same. So there is no last instant at which looking ends: what lies beyond
is looked at already.
"""

import gc
import heapq
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from reconciler.decide import keys
from reconciler.decide.claims import Claim
from reconciler.decide.sessions import Answers, Level, Session
from reconciler.decide.standing import Terms
from reconciler.engine.own_keys import Kept
from reconciler.guard.core import Core
from reconciler.guard.lines import Command
from reconciler.model import Owner
from reconciler.testing.puppets import TOKENS
from reconciler.testing.small_states import NAMES, At, Node, Rev, Scope, Token, World
from reconciler.testing.small_world import SmallWorld

FOLLOWED = ("beats", "cluster")
FOLLOWING = (TOKENS, "sessions", "claims")
"""What follows from the rest of a state."""
LONG_AGO = 2.0
"""Times T after which all that lies before is alike: no rule looks further back."""
PLAIN = frozenset((str, int, float, bool, type(None), Level, Session, Claim, Terms, Command, Owner))


@dataclass(frozen=True)
class Found:
    """states       that differ. transitions: between them, that were tried
    wrong        what must never be and is, "" for nothing; `history` leads to it, one line for each thing
    whole        all that can be reached was
    """

    states: int
    transitions: int
    wrong: str
    history: str
    whole: bool

    def __str__(self) -> str:
        said = f"{self.states} states, {self.transitions} transitions"
        return f"{said}: {self.wrong or 'nothing wrong'}" + (
            "" if self.whole or self.wrong else ", not all"
        )


def explored(scope: Scope, most: int = 10_000_000, settled: bool = True, until: float = math.inf) -> Found:
    """`most` states, `until` so many seconds; `settled`: from when a node has the service."""
    gc.disable()  # nothing here is a cycle
    try:
        return _explored(scope, most, settled, until)
    finally:
        gc.enable()


def _explored(scope: Scope, most: int, settled: bool, until: float) -> Found:
    small = SmallWorld(scope)
    first = small.settled() if settled else small.first()
    came: dict[int, tuple[int, str, float]] = {}
    start = alike(first, small)
    came[start] = start, "", first.time
    waiting = [(first.time, 0, start, first)]
    number = transitions = 0
    while waiting:
        _, _, key, world = heapq.heappop(waiting)
        for words, after in small.moves(world):
            transitions += 1
            then = alike(after, small)
            if then in came:
                continue
            came[then] = key, words, after.time
            if after.wrong:
                return Found(len(came), transitions, after.wrong, _told(came, then, first, after), False)
            number += 1
            heapq.heappush(waiting, (after.time, number, then, after))
        if len(came) >= most or world.time > first.time + until:
            return Found(len(came), transitions, "", "", False)
    return Found(len(came), transitions, "", "", True)


def _told(came: Mapping[int, tuple[int, str, float]], key: int, first: World, last: World) -> str:
    lines = [f"{last.time - first.time:7.2f}  WRONG {last.wrong}"]
    while True:
        before, words, time = came[key]
        if words:
            lines.append(f"{time - first.time:7.2f}  {words}")
        if before == key:
            return "\n".join(reversed(lines))
        key = before


# --- which states are one ------------------------------------------------------------------


class _Flat:
    """Some part of a state in one row; where in it revisions and tokens stand, which are renamed."""

    def __init__(self, now: At, limit: float, gap: float = 0.0, alive: Collection[str] = ()) -> None:
        self.row: list[Any] = []
        self.revisions: list[int] = []
        self.tokens: list[int] = []
        self._now, self._limit, self._gap, self._alive = float(now), -limit, -gap, alive

    def add(self, value: Any) -> None:
        kind, row = type(value), self.row
        if kind in PLAIN:
            row.append(value)
        elif kind is At:
            row.append(max(round(float(value) - self._now, 6), self._limit))
        elif kind is Rev:
            self.revisions.append(len(row))
            row.append(value)
        elif kind is Token:
            self.tokens.append(len(row))
            row.append(value)
        elif kind is tuple or kind is list:
            row.append(len(value))
            for held in value:
                self.add(held)
        elif kind is dict:
            row.append(len(value))
            for key, held in sorted(value.items(), key=_order) if len(value) > 1 else value.items():
                self.add(key)
                self.add(held)
        elif kind is Kept:  # a token that stands nowhere and is under way to nowhere is never found
            sent = {token: at for token, at in value.sent.items() if token in self._alive}
            records = {token: record for token, record in value.records.items() if token in sent}
            self.add((value.session, value.revision, value.beat, sent, records))
        elif kind is Answers:  # no rule looks further back
            row += (max(round(at - self._now, 6), self._gap) for at in (value.last, value.since))
        else:
            for name in _parts_of(kind):  # type: ignore[arg-type]  # a type is hashable
                self.add(getattr(value, name))

    def instant(self, value: float) -> None:
        """Of the guard, whose numbers are plain."""
        self.row.append(max(round(value - self._now, 6), self._limit))

    def core(self, core: Core) -> None:
        mind = core.mind
        self.add(mind.lines)
        self.add((mind.session.epoch, tuple(mind.session.agent)) if mind.session else None)
        self.row.append(
            (mind.phase, mind.last, mind.armed, mind.doomed, mind.late, mind._killing, mind.next)
        )
        counts = [mind.deadline] if mind.phase == "held" else []
        counts += [mind.idle_until] if mind.armed and mind.phase == "idle" else []
        counts += [mind._until, mind._patience, *mind._retry.values()] if mind.over else []
        for instant in counts:
            self.instant(max(instant, self._now))
        self.row.append((tuple(mind._busy), tuple(mind._retry), mind.abandoned, bool(mind.why)))

    def node(self, node: Node, revision: int) -> None:
        if node.core:
            self.core(node.core)
        row = self.row
        row += (node.boot, node.on, node.up, node.ended, node.stops, node.cut, node.deaf, node.pid)
        row += (node.alive, node.paused, node.wants, node.retry, node.leaves)
        self.instant(node.fires)
        self.instant(node.stopping if node.stops else self._now)
        if node.alive:
            self.instant(max(node.suspect, self._now))
            self.instant(node.due if "renew" not in node.calls else self._now)
        for part, call in node.calls.items():
            self.add((part, call.fate, call.sent, call.ask, call.frames, call.answer))
        for name, held in node.parts.items():
            if name in FOLLOWED and held[1] == revision:
                row.append("all that the store has")
            elif name not in FOLLOWING:
                self.add(held)


def alike(world: World, small: SmallWorld) -> int:
    """Equal for states that are one."""
    timing, grain = small.timing, small.scope.grain
    limit, gap = LONG_AGO * timing.wait, timing.renew + 2 * timing.request + grain
    rest = _Flat(At(0.0), limit)
    left = round(max(world.leaderless - world.time, 0.0), 6)
    rest.row += (round(world.time % grain, 6) % grain, world.faults, left, world.wrong)
    rest.add(Rev(world.revision))
    rest.add(world.entries)
    for number, ask in world.flying:
        call = next((c for c in world.nodes[number].calls.values() if c.ask is ask), None)
        rest.add((number, ask, call is not None))
    parts = [rest]
    for number, node in enumerate(world.nodes):
        now, alive = small.local(world, number), _alive(world, number)
        told = bool(node.parts) and node.parts["cluster"][1] == world.revision
        known = now, alive, told
        if known not in node.row:  # most of what happens happens on one of them
            node.row[known] = flat = _Flat(now, limit, gap, alive)
            flat.node(node, world.revision)
        parts.append(node.row[known])
    return _hash(parts)


def _alive(world: World, number: int) -> frozenset[str]:
    """Tokens of a node that stand in the store, or may yet."""
    beat = keys.beat(NAMES[number])
    found = [world.entries[beat].value] if beat in world.entries else []
    asks = [ask for _, ask in world.flying] + [call.ask for call in world.nodes[number].calls.values()]
    return frozenset([*found, *(ask.puts[beat] for ask in asks if beat in ask.puts)])


def _hash(parts: Sequence[_Flat]) -> int:
    revisions = sorted({part.row[at] for part in parts for at in part.revisions})
    ranks = {revision: rank for rank, revision in enumerate(revisions)}
    names: dict[str, int] = {}
    whole: list[Any] = []
    for part in parts:
        row = part.row.copy()
        for at in part.revisions:
            row[at] = ranks[row[at]]
        for at in part.tokens:
            row[at] = names.setdefault(row[at], len(names))
        whole.append(tuple(row))
    return hash(tuple(whole))


@cache
def _parts_of(kind: type) -> tuple[str, ...]:
    return tuple(part.name for part in fields(kind))


def _order(pair: tuple[Any, Any]) -> Any:
    """Tokens are told apart by what is kept of them alone."""
    return (0, pair[1]) if type(pair[0]) is Token else (1, str(pair[0]))
