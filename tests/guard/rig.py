"""A core between doors of paper: requests in, actions out, a ledger in memory, hands that obey the test."""

import math
from typing import Any

from reconciler.guard.core import Core
from reconciler.guard.lines import Address, Line, Mount, Program, encode
from reconciler.guard.records import Loaded, loaded
from reconciler.guard.words import (
    Action,
    Arm,
    Armed,
    Disarm,
    End,
    Event,
    Keep,
    Kill,
    Killed,
    Peer,
    Pet,
    Phase,
    Reply,
    Request,
    Say,
    Stop,
    Stopped,
    Sysrq,
    Tick,
    Unwritten,
    Write,
)

W, M = 8.0, 1.5
AGENT, OTHER = Peer(100, 1), Peer(200, 2)
IP = Address("root/web:ip#0", "192.0.2.10/24", "br0")
FS = Mount("root/web:fs#0", "/srv/web", "/dev/loop0", "ext4", "7:0")
APP = Program("root/web:app#0", "/cg/root.web/app#0")
IP2 = Address("root/mail:ip#0", "192.0.2.11/24", "br0")
STANDBY = Mount("root/web:fs#s", "/srv/s", "/dev/loop1", "ext4", "7:1", standby=True)


class Rig:
    """`granted`: what the watchdog answers, None for as asked. `full`: the ledger cannot be written."""

    def __init__(self, found: Loaded | None = None, sysrq: bool = False, now: float = 1000.0) -> None:
        self.now, self.sysrq = now, sysrq
        self.records: list[dict[str, Any]] = []
        self.kept: float | None = None
        self.granted: float | None = None
        self.real = self.closes = True
        self.broken = ""
        self.full = False
        self.done: list[tuple[float, Action]] = []
        self.hands: list[Kill | Stop] = []
        self.replies: dict[int, Reply] = {}
        self._id = 0
        self.core = Core(found or Loaded(), now, sysrq)
        self.take(Tick())

    # --- in --------------------------------------------------------------------------------

    def ask(self, do: str, peer: Peer = AGENT, **words: Any) -> Reply:
        self._id += 1
        self.take(Request(1, peer, self._id, do, words))
        return self.replies.pop(self._id)

    def begin(self, epoch: int = 1, lines: tuple[Line, ...] = (), limit: float = 8.0) -> None:
        """Armed, with a session until `limit` seconds from now, and these lines."""
        assert not self.ask("arm", watchdog=W, margin=M).why
        reply = self.ask("open", epoch=epoch, deadline=self.now + limit)
        assert not reply.why, reply
        if lines:
            assert not self.ask("enter", lines=[encode(line) for line in lines]).why

    def to(self, instant: float) -> None:
        """Let time pass, waking the core whenever it wants."""
        while (due := self.core.wake(self.now)) <= instant:
            self.now = max(self.now, due)
            self.take(Tick())
        self.now = instant
        self.take(Tick())

    def later(self, seconds: float) -> None:
        self.to(self.now + seconds)

    def killed(self, left: str = "") -> None:
        self.hands.remove(next(work for work in self.hands if isinstance(work, Kill)))
        self.take(Killed(left))

    def stopped(self, line: Line, left: str = "") -> None:
        work = next(work for work in self.hands if isinstance(work, Stop) and work.line == line)
        self.hands.remove(work)
        self.take(Stopped(work.number, left))

    def restarted(self) -> "Rig":
        """A guard after this one, with what the ledger says."""
        after = Rig(loaded(self.records, self.kept), self.sysrq, self.now)
        after.records, after.kept = [*self.records, *after.records], self.kept
        return after

    def take(self, event: Event) -> None:
        actions = self.core.handle(event, self.now)
        for at, action in enumerate(actions):
            if isinstance(action, Write) and self.full and action.request:
                self.take(Unwritten(action.request, action.record, "No space left on device"))
                for other in actions[at + 1 :]:
                    if not isinstance(other, Reply | Keep):
                        self._do(other)
                return
            self._do(action)

    def _do(self, action: Action) -> None:
        self.done.append((self.now, action))
        match action:
            case Write(record, _) if not self.full:
                self.records.append(dict(record))
            case Keep(deadline):
                self.kept = deadline
            case Arm(seconds, request):
                granted = self.granted or seconds
                self.take(Armed(request, granted, self.real, self.closes, self.broken))
            case Kill() | Stop():
                self.hands.append(action)
            case Reply(_, number, _, _):
                self.replies[number] = action

    # --- out -------------------------------------------------------------------------------

    @property
    def phase(self) -> Phase:
        return self.core.mind.phase

    def times(self, kind: type) -> list[float]:
        return [at for at, action in self.done if isinstance(action, kind)]

    @property
    def pets(self) -> list[float]:
        return self.times(Pet)

    @property
    def disarmed(self) -> bool:
        return bool(self.times(Disarm))

    @property
    def reset(self) -> bool:
        return bool(self.times(Sysrq))

    @property
    def ended(self) -> bool:
        return bool(self.times(End))

    @property
    def working(self) -> list[Line | None]:
        """What the hands are at; None is the agent."""
        return [work.line if isinstance(work, Stop) else None for work in self.hands]

    @property
    def said(self) -> str:
        return "\n".join(action.text for _, action in self.done if isinstance(action, Say))

    def listed(self) -> list[Line]:
        """By the ledger, as a guard after this one would read it."""
        return list(loaded(self.records).lines.values())


def gaps(instants: list[float], until: float) -> float:
    return max((b - a for a, b in zip(instants, [*instants[1:], until], strict=True)), default=math.inf)
