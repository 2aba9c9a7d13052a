"""Events and the time → what the guard does: the whole of it, without a clock or a file.

    HELD ──deadline, trip──▶ KILLING ──agent and operations gone──▶ STOPPING ──all seen gone──▶ IDLE
    FOUND ──no deadline within W──▶ KILLING

Whatever comes in, time is looked at first: nothing that arrives late revives what is over. The watchdog
is petted in HELD, before the deadline, and in IDLE, where nothing exclusive is up. In no other phase, and
never again once something was not seen gone within W - m of the end.
"""

import math

from reconciler.guard import asked
from reconciler.guard.mind import Mind
from reconciler.guard.records import Loaded
from reconciler.guard.words import (
    Action,
    Arm,
    Armed,
    End,
    Event,
    Gone,
    Killed,
    Pet,
    Phase,
    Request,
    Say,
    Stopped,
    Terminate,
    Tick,
    Unwritten,
)


class Core:
    """One guard, begun `now` with what it found. `sysrq`: it may reset the machine by itself."""

    def __init__(self, found: Loaded, now: float, sysrq: bool = False) -> None:
        self.mind = mind = Mind(found, now, sysrq)
        self._next_pet = now
        self._found_until = min(now + mind.terms.watchdog, mind.deadline)
        self._first: list[Action] = []
        if found.tripped:
            self._first = mind.trip(found.tripped, min(now, mind.deadline), now)
        elif mind.exclusive():
            mind.phase = Phase.FOUND
            self._first = [Say(f"found {len(mind.exclusive())} things of an earlier guard")]
        elif found.session:
            # Nothing of it is left; it may be opened again. Its watchdog may be running.
            mind.session, mind.deadline = None, math.inf
            self._first = [Arm(mind.terms.watchdog)] if found.session.real else []

    def wake(self, now: float) -> float:
        """The instant at which a Tick is due; inf: not before something else happens."""
        mind = self.mind
        due = [self._next_pet] if self._petting() else []
        due += [now] if self._first else []
        match mind.phase:
            case Phase.HELD:
                due.append(mind.deadline)
            case Phase.FOUND:
                due.append(self._found_until)
            case Phase.IDLE if self._may_disarm():
                due.append(mind.idle_until)
            case Phase.KILLING | Phase.STOPPING:
                due.append(mind.ending_due(now))
        return min(due, default=math.inf)

    def handle(self, event: Event, now: float) -> list[Action]:
        """What follows, in this order. `now` is never less than before."""
        actions, self._first = self._first, []
        return [*actions, *self._passed(now), *self._heard(event, now), *self._passed(now)]

    def _heard(self, event: Event, now: float) -> list[Action]:
        match event:
            case Request():
                return asked.answer(self.mind, event, now)
            case Gone(peer):
                session = self.mind.session
                self.mind.abandoned |= session is not None and session.agent == peer
            case Armed():
                self._next_pet = now if not event.why else self._next_pet
                return asked.armed(self.mind, event, now)
            case Unwritten():
                return asked.unwritten(self.mind, event)
            case Killed(left):
                return self.mind.killed(left, now)
            case Stopped(number, left):
                return self.mind.stopped(number, left, now)
            case Terminate():
                if why := self.mind.kept_by():
                    return [Say(f"asked to end, but {why}")]
                return [*self.mind.disarmed(), Say("asked to end"), End()]
            case Tick():
                pass
        return []

    def _passed(self, now: float) -> list[Action]:
        """What time alone brings about."""
        mind, actions = self.mind, list[Action]()
        if mind.phase is Phase.HELD and now >= mind.deadline:
            actions += mind.trip("the deadline passed", mind.deadline, now)
        elif mind.phase is Phase.FOUND and now >= self._found_until:
            actions += mind.trip("no agent gave a deadline", self._found_until, now)
        elif mind.phase is Phase.IDLE and self._may_disarm() and now >= mind.idle_until:
            actions += mind.disarmed()
        if mind.over:
            actions += mind.ending(now)
        elif self._petting() and now >= self._next_pet:
            self._next_pet = now + mind.terms.margin / 4
            actions.append(Pet())
        return actions

    def _petting(self) -> bool:
        mind = self.mind
        return mind.armed and not mind.doomed and mind.phase in (Phase.HELD, Phase.IDLE)

    def _may_disarm(self) -> bool:
        return self.mind.armed and self.mind.closes and not self.mind.doomed
