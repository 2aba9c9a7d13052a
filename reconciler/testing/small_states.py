"""What a small world is made of, as values → what the store and its guards do with them, in words."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from reconciler.contracts import Entry, Snapshot
from reconciler.decide import keys
from reconciler.decide.sessions import read
from reconciler.decide.timing import Timing
from reconciler.errors import MayHeal, UnknownOutcome
from reconciler.guard.core import Core

NAMES = ("n1", "n2")
LITTLE = 1e-9


class At(float):
    """An instant of one node's clock; what is added to it is one, what lies between two is none."""

    __slots__ = ()

    def __add__(self, seconds: float) -> "At":
        return At(round(float(self) + seconds, 9))

    __radd__ = __add__

    def __sub__(self, other: float) -> float:
        left = round(float(self) - other, 9)
        return left if isinstance(other, At) else At(left)


class Rev(int):
    """A revision of the store."""

    __slots__ = ()


class Token(str):
    """What a renewal puts."""

    __slots__ = ()


@dataclass(frozen=True, eq=False)
class Ask:
    """What the agent waits for. do: read, commit, or moment: nothing but the time to go on."""

    do: str
    prefix: str = ""
    compare: Mapping[str, int] = field(default_factory=dict)
    puts: Mapping[str, str] = field(default_factory=dict)
    deletes: tuple[str, ...] = ()

    def __await__(self) -> Any:
        return (yield self)


@dataclass(frozen=True, eq=False)
class Call:
    """What one part of an agent is in the middle of.

    steps   in which state, when and with which answer each of its steps so far began
    fate    "" still open | none: no answer will come | late: the store has not got it yet
            | slow: `answer` is on its way
    frames  all that it has in hand: with the state of its node, that is what it does next
    """

    part: str
    steps: "tuple[tuple[Node, float, Any], ...]"
    ask: Ask
    frames: tuple[Any, ...]
    sent: float
    fate: str = ""
    answer: Any = None


@dataclass(frozen=True, eq=False)
class Node:
    """One machine, and what runs on it; never changed. All times are instants of its own clock.

    up      the epoch under which the thing is up here, 0: it is not
    ended   the highest epoch whose end the guard has begun, of this boot
    stops   lines that the guard is stopping; since when it is
    fires   when the watchdog does, if nobody pets it
    cut     "" | silent: nothing gets to the store | mute: no answer comes back
    due     the next renewal
    wants   there may be something to do about the service; retry: with the next renewal
    leaves  it is to be given back
    suspect when a session that is open has stood for its T
    row     of the explorer
    """

    boot: int = 1
    on: bool = True
    core: Core | None = None
    up: int = 0
    ended: int = 0
    stops: tuple[int, ...] = ()
    stopping: float = 0.0
    fires: float = math.inf
    cut: str = ""
    deaf: bool = False
    pid: int = 1
    alive: bool = True
    paused: bool = False
    calls: Mapping[str, Call] = field(default_factory=dict)
    due: float = 0.0
    wants: bool = True
    retry: bool = False
    leaves: bool = False
    parts: Mapping[str, Any] = field(default_factory=dict)
    suspect: float = math.inf
    row: dict[Any, Any] = field(default_factory=dict, init=False)

    def call(self, part: str, call: Call | None) -> "Node":
        others = {name: kept for name, kept in self.calls.items() if name != part}
        return replace(self, calls={**others, part: call} if call else others)


ALL = ("lost", "unanswered", "slow", "late", "silent", "mute", "deaf", "kill", "hold", "crash", "give back")
"""Faults: of one message, of the way to the store, of an agent, of a machine; and a wish."""


@dataclass(frozen=True)
class Scope:
    """How far it is looked.

    rates   of both clocks, as parts of the faster one's
    grain   seconds after which what lasts may end
    faults  how many there may be; of which kinds, and whom they befall
    answer  seconds that an answer of the store may take without being a fault
    healthy nothing is ended because of its faults; in_time: every stop ends within G+F, and so in no reset
    """

    timing: Timing
    rates: tuple[float, float]
    grain: float = 1.0
    faults: int = 1
    kinds: tuple[str, ...] = ALL
    whom: tuple[int, ...] = (0, 1)
    answer: float = 0.0
    healthy: bool = False
    in_time: bool = False


@dataclass(frozen=True)
class World:
    """flying      commits that have not got there yet, and whose
    leaderless  until when the store answers nobody, 0: it does
    wrong       what must never be, and is
    """

    time: float
    entries: Mapping[str, Entry]
    revision: int
    nodes: tuple[Node, ...]
    flying: tuple[tuple[int, Ask], ...] = ()
    faults: int = 0
    leaderless: float = 0.0
    wrong: str = ""

    def put(self, number: int, node: Node) -> "World":
        nodes = list(self.nodes)
        nodes[number] = node
        return replace(self, nodes=tuple(nodes))


# --- what happens to them ------------------------------------------------------------------


def died(node: Node) -> Node:
    """Its agent; what it had sent may still arrive."""
    return replace(
        node, alive=False, paused=False, calls={}, parts={}, wants=False, leaves=False, suspect=math.inf
    )


def off(node: Node) -> Node:
    """Nothing of it is left; its network stays as it is."""
    return replace(died(node), on=False, core=None, up=0, ended=0, stops=(), fires=math.inf, deaf=False)


def _revision(entries: Mapping[str, Entry], key: str) -> int:
    entry = entries.get(key)
    return entry.revision if entry else 0


def may_land(entries: Mapping[str, Entry], ask: Ask) -> bool:
    """Revisions never come back."""
    return all(_revision(entries, key) == at for key, at in ask.compare.items())


def carried_out(world: World, ask: Ask) -> tuple[World, object]:
    """The store does it; its answer."""
    if ask.do == "read":
        found = {key: entry for key, entry in world.entries.items() if key.startswith(ask.prefix)}
        return world, Snapshot(Rev(world.revision), found)
    held = all(_revision(world.entries, key) == at for key, at in ask.compare.items())
    if not held:
        return world, None
    revision = Rev(world.revision + 1)
    entries = {key: entry for key, entry in world.entries.items() if key not in ask.deletes}
    entries |= {key: Entry(value, revision) for key, value in ask.puts.items()}
    wrong = world.wrong or _went_back(world.entries, ask.puts)
    flying = tuple((n, a) for n, a in world.flying if may_land(entries, a))
    world = replace(world, entries=entries, revision=revision, flying=flying, wrong=wrong)
    return world, revision


def _went_back(entries: Mapping[str, Entry], puts: Mapping[str, str]) -> str:
    for key, value in puts.items():
        entry = entries.get(key)
        before, after = read(entry.value) if entry else None, read(value)
        if not key.startswith(keys.SESSIONS) or not before or not after:
            continue
        if after.epoch < before.epoch or (after.open and not before.open and after.epoch == before.epoch):
            return f"epochs: {key} goes from epoch {before.epoch} to {after.epoch}"
    return ""


def silence(call: Call) -> Exception:
    return UnknownOutcome("no answer") if call.ask.do == "commit" else MayHeal("no answer")


def asked_for(call: Call) -> str:
    ask = call.ask
    if ask.do != "commit":
        return f"{call.part}: reads {ask.prefix}" if ask.do == "read" else call.part
    return f"{call.part}: puts {', '.join((*ask.puts, *(f'no {key}' for key in ask.deletes)))}"


def answered(answer: object) -> str:
    return "refused" if answer is None else "ok"


def guard_says(name: str, before: Node, after: Node) -> Iterator[str]:
    """What the guard has done about the time."""
    assert before.core
    assert after.core
    if after.core.mind.over and not before.core.mind.over:
        yield f"{name}'s guard: {after.core.mind.why}; it kills the agent, stops {len(after.stops)} things"
    if after.core.mind.doomed and not before.core.mind.doomed:
        yield f"{name}'s guard: not seen gone in time, no more pets"
