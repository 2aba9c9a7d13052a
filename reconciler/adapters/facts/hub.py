"""Asks of all services → answers, each looked at once, kept fresh by events, touches and periods.

Freshness is counted in ticks, not seconds: every event and every touch takes the next tick, a look
carries the tick of its launch, and an answer is fresh while nothing that concerns it is younger.
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, TypeVar

from reconciler.adapters.facts.desk import Fact, SourceDesk, unresolved
from reconciler.adapters.facts.source import Source, SourceStats, Subject
from reconciler.asks import NOT_YET, Ask, Failed, NotYet
from reconciler.contracts import Asking, Notify
from reconciler.model import Owner
from reconciler.settings import Settings

T = TypeVar("T")
_NEVER: Mapping[str, int] = {}


class Hub:
    """contracts.FactHub over sources by name. An ask of a name that is missing is Failed."""

    def __init__(self, settings: Settings, notify: Notify, sources: Mapping[str, Source]) -> None:
        self._period = settings.look_every
        self._desks = {
            name: SourceDesk(name, source, notify, settings.look_every) for name, source in sources.items()
        }
        self._facts: dict[Subject, Fact] = {}
        self._followed: dict[Owner, tuple[Ask[Any], ...]] = {}
        self._owners: dict[str, int] = {}  # service → how many of its owners follow something
        self._touched: dict[str, dict[str, int]] = {}  # service → source → tick
        self._stirred: set[str] = set()  # services touched since their last `begin`
        self._tasks: list[asyncio.Task[None]] = []

    # --- contracts.FactHub -----------------------------------------------------------------

    def known(self, owner: Owner, ask: Ask[T]) -> T | Failed | NotYet:
        """What is known now. A costly answer from before a touch, or read no more, is not known."""
        fact = self._facts.get(Subject(ask, owner if ask.relative else None))
        if fact is None:
            fixed = unresolved(ask)
            return NOT_YET if fixed is None else fixed.answer
        if ask.costly and fact.desk is not None:
            fact.read_at = asyncio.get_running_loop().time()
            if fact.tick < max(fact.cold, self._touched_at(owner, fact.desk)):
                return NOT_YET
        return fact.answer  # type: ignore[no-any-return]  # the ask's own type says what it is

    async def answer(self, owner: Owner, asks: Iterable[Ask[Any]], acts: bool = True) -> None:
        """Return once each is answered by a look no older than the last event or touch before now."""
        stale = []
        for ask in asks:
            fact = self._fact(Subject(ask, owner if ask.relative else None))
            if ask.costly or not fact.followers:
                fact.read_at = asyncio.get_running_loop().time()
            required = self._required(owner, fact)
            if fact.tick < required:
                stale.append((fact, required))
        if not stale:
            return
        awaited = [fact for fact, _ in stale]
        who = owner.service if acts else ""
        for fact in awaited:
            fact.begin_wait(who)
        try:
            while stale:
                await asyncio.wait([fact.launch() for fact, _ in stale])
                stale = [(fact, required) for fact, required in stale if fact.tick < required]
        finally:
            for fact in awaited:
                fact.end_wait(who)

    def follow(self, owner: Owner, asks: Sequence[Ask[Any]]) -> None:
        """Put `owner.service` in the queue whenever the answer to one of these differs from before."""
        new, old = tuple(asks), self._followed.get(owner, ())
        if new == old:
            return
        for ask in old:
            fact = self._facts[Subject(ask, owner if ask.relative else None)]
            fact.unfollow(owner)
        for ask in new:
            self._fact(Subject(ask, owner if ask.relative else None)).follow(owner, ask.about)
        self._count(owner, bool(new) - bool(old))
        if new:
            self._followed[owner] = new
        else:
            self._followed.pop(owner, None)
        self._drop(Subject(ask, owner if ask.relative else None) for ask in set(old) - set(new))

    def touched(self, owner: Owner, touches: Iterable[str]) -> None:
        """The next `answer` to any owner of this service looks anew at these sources."""
        names = {touch.partition(":")[0] for touch in touches}
        marks = self._touched.setdefault(owner.service, {}) if names else {}
        for name in names & self._desks.keys():
            marks[name] = self._desks[name].next_tick()
        if marks:
            self._stirred.add(owner.service)

    def begin(self, service: str, asks: Asking) -> Callable[[Owner], None]:
        """A pass asks one resource after another: each would wait for a thread of its own."""
        if service not in self._stirred:
            return _nothing_begun
        self._stirred.discard(service)
        begun: dict[Owner, list[Fact]] = {}
        for owner, mine in asks().items():
            facts = [self._fact(Subject(ask, owner if ask.relative else None)) for ask in mine]
            begun[owner] = [fact for fact in facts if fact.tick < self._required(owner, fact)]
        for fact in chain(*begun.values()):
            fact.begin_wait(service)
            fact.launch()

        def read(owner: Owner) -> None:
            for fact in begun.pop(owner, ()):
                fact.end_wait(service)

        return read

    # --- life ------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the event channels and begin the periodic looks."""
        for desk in self._desks.values():
            await desk.source.start(desk)
        self._tasks = [asyncio.create_task(desk.periodic()) for desk in self._desks.values()]
        self._tasks.append(asyncio.create_task(self._sweep()))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        for desk in self._desks.values():
            await desk.close()

    def statistics(self) -> Mapping[str, SourceStats]:
        """By source, since the start."""
        return {name: desk.statistics() for name, desk in self._desks.items()}

    # --- inside ----------------------------------------------------------------------------

    def _required(self, owner: Owner, fact: Fact) -> int:
        """The tick before which a look is too old for this owner; 0 for what never gets old."""
        desk = fact.desk
        if desk is None:
            return 0
        return max(1, fact.stale, fact.cold, desk.stale, self._touched_at(owner, desk))

    def _touched_at(self, owner: Owner, desk: SourceDesk) -> int:
        return self._touched.get(owner.service, _NEVER).get(desk.name, 0)

    def _fact(self, subject: Subject) -> Fact:
        fact = self._facts.get(subject)
        if fact is None:
            desk = self._desks.get(subject.ask.source)
            fact = unresolved(subject.ask)
            if fact is None and desk is None:
                fact = Fact.fixed(subject, Failed(f"nothing here answers {subject.ask.source!r}"))
            elif fact is None:
                fact = Fact(subject, desk)
            self._facts[subject] = fact
            if desk is not None and fact.desk is not None:
                desk.facts[subject] = fact
        return fact

    def _count(self, owner: Owner, change: int) -> None:
        count = self._owners.get(owner.service, 0) + change
        self._owners[owner.service] = count
        if not count:
            del self._owners[owner.service]
            self._touched.pop(owner.service, None)
            self._stirred.discard(owner.service)

    def _drop(self, subjects: Iterable[Subject]) -> None:
        """Forget what nobody follows and nobody waits for."""
        gone: dict[str, list[Subject]] = {}
        for subject in subjects:
            fact = self._facts.get(subject)
            if fact is None or fact.followers or fact.waiting or fact.busy:
                continue
            del self._facts[subject]
            if fact.desk is not None:
                fact.desk.drop(fact)
                gone.setdefault(fact.desk.name, []).append(subject)
        for name, forgotten in gone.items():
            self._desks[name].source.forget(forgotten)

    async def _sweep(self) -> None:
        """Once a period: what was asked in passing and is not followed is not kept."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._period * random.uniform(0.9, 1.1))
            too_old = loop.time() - self._period
            self._drop(
                [s for s, fact in self._facts.items() if not fact.followers and fact.read_at < too_old]
            )


def _nothing_begun(owner: Owner) -> None:
    """Nothing of it was touched."""
