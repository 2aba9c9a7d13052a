"""What the guard knows, and how a session ends: the agent first, then what is listed, then the verdict."""

import math

from reconciler.guard import records
from reconciler.guard.lines import Line
from reconciler.guard.records import Loaded
from reconciler.guard.words import (
    Action,
    Arm,
    Disarm,
    Kill,
    Phase,
    Say,
    Session,
    Stop,
    Sysrq,
    Terms,
    Write,
)

UNKNOWN = Terms(2.0, 1.0)
"""For lines whose session could not be read: the shortest that there is."""
AGAIN = 0.1
"""Seconds until a stop that failed is tried once more."""
LATE_TRY = 10.0
"""Seconds that one try may take when time is over anyway."""


class Mind:
    """The end of a session:

    until     of the watchdog's time only the margin is left: what is not seen gone by then is a verdict.
    patience  until then nothing is stopped out of its order. Later than `until` only for a guard that
              began after the deadline it found.
    """

    def __init__(self, found: Loaded, now: float, sysrq: bool) -> None:
        self.lines: dict[int, Line] = dict(found.lines)
        self.session: Session | None = found.session
        self.deadline = math.inf if found.deadline is None else found.deadline
        self.last, self.next = found.last, found.next
        self.terms = found.session.terms if found.session else UNKNOWN
        self.phase = Phase.IDLE
        self.why = ""  # a session is over
        self.sysrq = sysrq
        self.abandoned = True  # its agent has no connection
        self.before = (self.phase, self.session, self.deadline, self.abandoned)  # the last was opened
        self.replaced: dict[int, Line] = {}  # by what was entered last
        self.armed = self.real = False
        self.closes = True
        self.doomed = False  # no more pets, whatever happens
        self.idle_until = now + self.terms.watchdog  # armed and without a session
        self.late = False
        self._until = self._patience = math.inf
        self._killing = False
        self._busy: set[int] = set()
        self._retry: dict[int, float] = {}  # line → not before; 0: the killing
        self._told: dict[int, str] = {}

    def exclusive(self) -> dict[int, Line]:
        """The lines that a session's end undoes."""
        return {number: line for number, line in self.lines.items() if not line.standby}

    @property
    def over(self) -> bool:
        return self.phase in (Phase.KILLING, Phase.STOPPING)

    # --- the end of a session --------------------------------------------------------------

    def trip(self, why: str, since: float, now: float) -> list[Action]:
        """It is over since then, and never revived: also not by a guard after this one."""
        stop = self.terms.watchdog - self.terms.margin
        self.phase, self.why, self.late = Phase.KILLING, why, False
        self._until, self._patience = since + stop, now + stop
        self._killing, self._busy, self._retry, self._told = False, set(), {0: now}, {}
        epoch = self.session.epoch if self.session else 0
        said = Say(f"session {epoch} is over: {why}; stopping {len(self.exclusive())} things", loud=True)
        return [Write(records.tripped(why)), said]

    def ending(self, now: float) -> list[Action]:
        """What is due now of the end of a session."""
        actions: list[Action] = []
        if not self.late and now >= self._until:
            self.late = True
            if self.armed:
                actions += self.doom(f"not seen gone in time: {self._remaining()}")
        if self.phase is Phase.KILLING and now >= self._patience:
            # Not what was promised, and there is no more to lose: what can be stopped is.
            self._go_on(now)
        if not self._killing and self._due(0, now):
            self._killing = True
            actions.append(Kill(self.session, self._by(now)))
        if self.phase is Phase.STOPPING:
            for number in [n for n in self._candidates(now) if self._due(n, now)]:
                self._busy.add(number)
                late = now >= self._patience
                actions.append(Stop(number, self.lines[number], self._by(now), late))
        return actions

    def ending_due(self, now: float) -> float:
        """When to look again."""
        due = [] if self.late else [self._until]
        due += [self._patience] if now < self._patience else []
        due += [] if self._killing or 0 not in self._retry else [self._retry[0]]
        if self.phase is Phase.STOPPING:
            due += [self._retry[n] for n in self._candidates(now) if n in self._retry]
        return min(due, default=math.inf)

    def killed(self, left: str, now: float) -> list[Action]:
        """The agent and its operations are gone, or `left`."""
        self._killing = False
        if left:
            self._retry[0] = now + AGAIN
            return self._tell(0, left)
        self._told.pop(0, None)
        if self.phase is Phase.KILLING:
            self._go_on(now)
        return self._finished(now)

    def stopped(self, number: int, left: str, now: float) -> list[Action]:
        """A line's thing is seen gone, or `left` says why not."""
        self._busy.discard(number)
        if self.phase is not Phase.STOPPING or number not in self.lines:
            return []
        if left:
            self._retry[number] = now + AGAIN
            return self._tell(number, f"{self.lines[number]}: {left}")
        self._told.pop(number, None)
        gone = self.lines.pop(number)
        return [Write(records.left([number])), Say(f"{gone} is gone"), *self._finished(now)]

    def _go_on(self, now: float) -> None:
        self.phase = Phase.STOPPING
        self._retry |= dict.fromkeys(self.exclusive(), now)

    def _finished(self, now: float) -> list[Action]:
        """Everything is seen gone, and so are those who could start more."""
        if self.phase is not Phase.STOPPING or self.exclusive() or self._killing or 0 in self._retry:
            return []
        real = bool(self.session and self.session.real)
        actions = self.close("all that it had listed is seen gone" + (", too late" if self.late else ""))
        if self.doomed:
            return actions
        self.idle_until = now  # the watchdog is of no more use
        if real and not self.armed and not self.late:
            # The guard before us left it running: to disarm it, it must be opened.
            actions.append(Arm(self.terms.watchdog))
        return actions

    def close(self, why: str) -> list[Action]:
        """The session is no more, and no later one has its epoch."""
        epoch = self.session.epoch if self.session else 0
        self.last = max(self.last, epoch)
        self.phase, self.session, self.deadline = Phase.IDLE, None, math.inf
        self._retry.clear()
        return [Write(records.over(self.last)), Say(f"session {epoch} is closed: {why}")]

    def doom(self, why: str) -> list[Action]:
        """The machine is to be reset: by its watchdog, and at once where that is allowed."""
        self.doomed = True
        said = Say(f"{why}: no more pets, the machine will be reset", loud=True)
        return [said, Sysrq()] if self.sysrq else [said]

    def disarmed(self) -> list[Action]:
        """Nothing is up that needs a watchdog."""
        if not self.armed:
            return []
        self.armed = False
        return [Disarm()]

    def kept_by(self) -> str:
        """Why the guard must not end now; "" when it may."""
        if self.doomed:
            return "the machine is about to be reset"
        if lines := self.exclusive():
            return (
                f"{len(lines)} things are listed, {next(iter(lines.values()))} among them: stop them first"
            )
        if self.armed and not self.closes:
            return "the watchdog cannot be disarmed (nowayout): its machine would be reset"
        return ""

    # --- the order -------------------------------------------------------------------------

    def _candidates(self, now: float) -> list[int]:
        """The last line of each service; all of them when patience is over."""
        exclusive = self.exclusive()
        last = {line.owner.partition(":")[0]: number for number, line in sorted(exclusive.items())}
        chosen = exclusive if now >= self._patience else last.values()
        return sorted((n for n in chosen if n not in self._busy), reverse=True)

    def _due(self, number: int, now: float) -> bool:
        """Taken off the list when it is."""
        if self._retry.get(number, math.inf) > now:
            return False
        del self._retry[number]
        return True

    def _by(self, now: float) -> float:
        return self._patience if now < self._patience else now + LATE_TRY

    def _remaining(self) -> str:
        said = list(self._told.values()) or [str(line) for line in self.exclusive().values()]
        return "; ".join(said) or "the agent"

    def _tell(self, number: int, text: str) -> list[Action]:
        """Once for each reason."""
        if self._told.get(number) == text:
            return []
        self._told[number] = text
        return [Say(text)]
