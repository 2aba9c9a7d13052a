"""One source's looks, events and answers → facts, and the keys of services whose answers changed."""

import asyncio
import math
import random
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from reconciler.adapters.facts.source import IDLE_MOST, IDLE_SHARE, Source, SourceStats, Subject, reason
from reconciler.asks import (
    NOT_YET,
    Addresses,
    AddressHeld,
    Ask,
    BlockDevice,
    Failed,
    File,
    MountHealth,
    Name,
    NotYet,
    Signatures,
)
from reconciler.contracts import Notify
from reconciler.model import Owner

RETRY_FIRST = 1.0  # seconds until a failed answer is asked again; doubles up to the period
AT_ONCE = 2000  # subjects of one look: more would hold the loop
_NONE: dict[str, int] = {}  # of the many facts nobody waits for; never written to
LATELY = 3.0  # a costly ask stays wanted for so many periods after it was read


class Fact:
    """What is known about one subject. `busy` while a look at it is under way."""

    __slots__ = (
        "about",
        "answer",
        "busy",
        "cold",
        "desk",
        "followers",
        "future",
        "launched",
        "read_at",
        "stale",
        "subject",
        "tick",
        "turn",
        "waiting",
    )

    def __init__(self, subject: Subject, desk: "SourceDesk | None") -> None:
        self.subject, self.desk = subject, desk
        self.answer: Any = NOT_YET
        self.tick = 0  # of the launch of the look that answered
        self.launched = 0  # of the launch of the look under way
        self.turn = 0  # number of that look
        self.stale = 0  # of the last event that concerns it
        self.cold = 0  # costly: of the last event or period that it was not looked at for
        self.busy = False
        self.about: dict[Owner, tuple[str, ...]] | None = None  # of those whom not all of it concerns
        self.followers: Collection[Owner] = ()  # mostly one: a set only where there are more
        self.waiting = _NONE  # services whose pass is in `answer` now, to read it next, and how often
        self.future: asyncio.Future[None] | None = None
        self.read_at = -math.inf

    @classmethod
    def fixed(cls, subject: Subject, answer: Any) -> "Fact":
        """A fact nobody has to look at."""
        fact = cls(subject, None)
        fact.answer = answer
        return fact

    def follow(self, owner: Owner, about: tuple[str, ...] = ()) -> None:
        if about:
            self.about = self.about if self.about is not None else {}
            self.about[owner] = about
        if isinstance(self.followers, set):
            self.followers.add(owner)
        elif owner not in self.followers:
            self.followers = {*self.followers, owner} if self.followers else (owner,)

    def unfollow(self, owner: Owner) -> None:
        if self.about is not None:
            self.about.pop(owner, None)
        if isinstance(self.followers, set):
            self.followers.discard(owner)
        elif owner in self.followers:
            self.followers = ()

    def concerned(self, old: Any) -> Iterable[Owner]:
        """Whom it concerns that the answer was `old` and is another now."""
        if not self.about or isinstance(old, NotYet | Failed) or isinstance(self.answer, Failed):
            return self.followers
        about, news = self.about, type(self.subject.ask).news(old, self.answer)
        return (o for o in self.followers if o not in about or not news.isdisjoint(about[o]))

    def begin_wait(self, service: str) -> None:
        if not self.waiting:
            self.waiting = {}
        self.waiting[service] = self.waiting.get(service, 0) + 1

    def end_wait(self, service: str) -> None:
        self.waiting[service] -= 1
        if not self.waiting[service]:
            del self.waiting[service]
        if not self.waiting:
            self.waiting = _NONE

    def launch(self) -> "asyncio.Future[None]":
        """Have it looked at; done when the next answer is in."""
        if self.future is None:
            self.future = asyncio.get_running_loop().create_future()
        if self.desk is not None:
            self.desk.want(self)
        return self.future


def unresolved(ask: Ask[Any]) -> Fact | None:
    """The fact of an ask whose text still holds a reference: there is no such thing yet."""
    match ask:
        case BlockDevice(path=text) | Signatures(path=text) | File(path=text):
            nothing: Any = None
        case Addresses(dev=text) | AddressHeld(ip=text):
            nothing = ()
        case Name(name=text) | MountHealth(target=text):
            nothing = Failed(f"{text} is not known yet")
        case _:
            return None
    return Fact.fixed(Subject(ask), nothing) if "{" in text and "}" in text else None


class SourceDesk:
    """The hub's half of one source: launches its looks, hears its events, compares its answers."""

    def __init__(self, name: str, source: Source, notify: Notify, period: float) -> None:
        self.name, self.source = name, source
        self.facts: dict[Subject, Fact] = {}
        self.stale = 0  # tick of the last event that concerns all
        self._notify = notify
        self._period = period
        self._tick = 1
        self._pending: dict[Subject, Fact] = {}
        self._scheduled = self._closed = False
        self._looks: set[asyncio.Task[None]] = set()
        self._dirty: dict[Subject, Fact] = {}
        self._all_dirty = False
        self._relook_at: asyncio.TimerHandle | None = None
        self._relook_free = 0.0
        self._after_event = False
        self._retry: asyncio.TimerHandle | None = None
        self._retry_in = RETRY_FIRST
        self._failing: set[Subject] = set()
        self._stats = SourceStats()

    # --- source.Desk -----------------------------------------------------------------------

    def report(self, answers: Mapping[Subject, Any]) -> None:
        """Take answers in; wake the services that follow one which differs."""
        services: set[str] = set()
        for subject, answer in answers.items():
            fact = self.facts.get(subject)
            if fact is None:
                continue
            old, fact.answer = fact.answer, answer
            self._note_failure(subject, answer)
            if old is NOT_YET or not self._same(old, answer):
                told = fact.concerned(old)
                services.update(o.service for o in told if o.service not in fact.waiting)
            if fact.busy:
                self._landed(fact)
        for service in services:
            self._notify(service)

    def changed(self, subjects: Iterable[Subject] | None = None) -> None:
        """An event: mark stale now, look again soon at what is followed."""
        tick = self.next_tick()
        self._stats.events += 1
        if subjects is None:
            self.stale, self._all_dirty = tick, True
        else:
            for subject in subjects:
                fact = self.facts.get(subject)
                if fact is not None:
                    fact.stale = tick
                    self._dirty[subject] = fact
        if (self._dirty or self._all_dirty) and self._relook_at is None:
            loop = asyncio.get_running_loop()
            self._relook_at = loop.call_at(self._relook_free, self._relook)

    def wanted(self, subject: Subject) -> bool:
        fact = self.facts.get(subject)
        return fact is not None and self._wanted(fact, asyncio.get_running_loop().time())

    # --- for the hub -----------------------------------------------------------------------

    def next_tick(self) -> int:
        self._tick += 1
        return self._tick

    def want(self, fact: Fact) -> None:
        """Look at it in the next batch (the one after, while a look at it is under way)."""
        self._pending[fact.subject] = fact
        self._schedule()

    async def periodic(self) -> None:
        """Look at all that is wanted, every period."""
        if self.source.every is None:
            return
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self.source.every * random.uniform(0.9, 1.1))
            self.source.distrust()
            now, tick = loop.time(), self.next_tick()
            facts = list(self.facts.values())
            for at in range(0, len(facts), AT_ONCE):
                self._want_all(facts[at : at + AT_ONCE], now, tick)
                await asyncio.sleep(0)

    def drop(self, fact: Fact) -> None:
        """Nobody asks it any more."""
        del self.facts[fact.subject]
        self._pending.pop(fact.subject, None)
        self._dirty.pop(fact.subject, None)
        self._failing.discard(fact.subject)

    def statistics(self) -> SourceStats:
        return replace(self._stats, subjects=len(self.facts), failing=len(self._failing))

    async def close(self) -> None:
        self._closed = True
        for handle in (self._relook_at, self._retry):
            if handle is not None:
                handle.cancel()
        for task in self._looks:
            task.cancel()
        await asyncio.gather(*self._looks, return_exceptions=True)
        await self.source.close()

    # --- inside ----------------------------------------------------------------------------

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._launch)

    def _launch(self) -> None:
        self._scheduled = False
        if self._closed:
            return
        free = ((s, fact) for s, fact in self._pending.items() if not fact.busy)
        ready = dict(islice(free, AT_ONCE))
        if len(ready) == AT_ONCE:
            self._schedule()
        for subject, fact in ready.items():
            del self._pending[subject]
            fact.busy, fact.launched, fact.turn = True, self._tick, fact.turn + 1
        if ready:
            task = asyncio.create_task(self._look(ready, self._after_event))
            self._after_event = False
            self._looks.add(task)
            task.add_done_callback(self._looks.discard)

    async def _look(self, facts: Mapping[Subject, Fact], after_event: bool) -> None:
        loop = asyncio.get_running_loop()
        began, why = loop.time(), "the source gave no answer"
        turns = {s: fact.turn for s, fact in facts.items()}
        try:
            await self.source.look(tuple(facts))
        except Exception as fault:  # whatever went wrong in a source, its subjects are unknown, no more
            why = reason(fault)
        # One that was answered may be looked at again already, for an event: that look is not ours.
        self.report({s: Failed(why) for s, fact in facts.items() if fact.busy and fact.turn == turns[s]})
        seconds = loop.time() - began
        if after_event:
            self._relook_free = loop.time() + min(IDLE_SHARE * seconds, IDLE_MOST)
        failed = any(isinstance(fact.answer, Failed) for fact in facts.values())
        stats = self._stats
        stats.looks += 1
        stats.failures += failed
        stats.seconds += seconds
        stats.last_seconds = seconds
        if not failed:
            stats.last_success = time.time()

    def _landed(self, fact: Fact) -> None:
        fact.busy, fact.tick = False, fact.launched
        if fact.future is not None:
            fact.future.set_result(None)
            fact.future = None
        if fact.subject in self._pending:
            self._schedule()

    def _same(self, old: Any, new: Any) -> bool:
        if isinstance(old, Failed) or isinstance(new, Failed):
            return bool(old == new)
        return self.source.same(old, new)

    def _wanted(self, fact: Fact, now: float) -> bool:
        if not fact.followers:
            return False
        return not fact.subject.ask.costly or self._read_lately(fact, now)

    def _read_lately(self, fact: Fact, now: float) -> bool:
        return now - fact.read_at < LATELY * max(self._period, getattr(fact.subject.ask, "every", 0.0))

    def _want_all(self, facts: Iterable[Fact], now: float, tick: int) -> None:
        """Look at what is wanted. What is costly and read no more waits until somebody asks."""
        for fact in facts:
            if self._wanted(fact, now):
                self.want(fact)
            elif fact.subject.ask.costly and not self._read_lately(fact, now):
                fact.cold = tick

    def _relook(self) -> None:
        """After an event: only what is wanted; the rest stays stale until somebody asks."""
        self._relook_at = None
        now = asyncio.get_running_loop().time()
        facts = self.facts if self._all_dirty else self._dirty
        self._dirty, self._all_dirty = {}, False
        self._want_all(facts.values(), now, self._tick)
        self._after_event = bool(self._pending)

    def _note_failure(self, subject: Subject, answer: Any) -> None:
        """What failed is tried again by itself, more and more slowly."""
        if not isinstance(answer, Failed):
            self._failing.discard(subject)
            if not self._failing:
                self._retry_in = RETRY_FIRST
            return
        self._failing.add(subject)
        if self._retry is None:
            self._retry = asyncio.get_running_loop().call_later(self._retry_in, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        self._retry_in = min(self._retry_in * 2, self.source.every or self._period)
        now, tick = asyncio.get_running_loop().time(), self.next_tick()
        for fact in [self.facts[subject] for subject in self._failing]:
            if self._wanted(fact, now):
                self.want(fact)
            else:
                fact.stale = tick
