"""A seed → a cluster, a day of random faults, the end of them; what was wrong, and what it took.

Equal seeds, equal days: nothing here looks at a clock of this machine, at an address in its memory or
at the order of a set.
"""

import asyncio
import hashlib
import random
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from reconciler.decide.timing import DRIFT, PROFILES
from reconciler.model import Service
from reconciler.testing.clusters import SimCluster
from reconciler.testing.faults import KINDS, Fault, Faults
from reconciler.testing.processes import simulated
from reconciler.testing.simloop import true_time
from reconciler.testing.things import disks, pair, stack

HEALED = 90.0
"""Seconds of a cluster of the fast profile until all is up again after the last fault."""


@dataclass(frozen=True)
class Happens:
    """A fault, and how long nothing else befalls anybody then, in seconds.

    before, after  the dice, which hosts throw, too: as they were when it came, and when it was there
    """

    fault: Fault
    pause: float
    before: Any = field(default=None, repr=False)
    after: Any = field(default=None, repr=False)


@dataclass(frozen=True)
class Schedule:
    """A day as a value, to be lived through again.

    timings, rates  of each host: the name of a profile; how wrong its clock runs
    began, last     the dice as they were when the hosts began, and when all had happened
    first, rest     seconds before the first fault, and after the last one's pause
    everywhere      each host has the file of every document; else the first one alone
    early           faults come before all is up, and made, for the first time
    fences          how those who switch a host off are: works, fails, late; "": there are none
    """

    seed: int
    names: tuple[str, ...]
    services: tuple[Service, ...]
    timings: tuple[str, ...]
    rates: tuple[float, ...]
    began: Any = field(repr=False)
    happens: tuple[Happens, ...] = ()
    first: float = 0.0
    rest: float = 0.0
    last: Any = field(default=None, repr=False)
    fences: str = ""
    everywhere: bool = False
    early: bool = False

    def __str__(self) -> str:
        hosts = zip(self.names, self.timings, self.rates, strict=True)
        lines = [f"{name}: {timing}, its clock runs at {rate:g}" for name, timing, rate in hosts]
        lines += [f"{service.key}: on {', '.join(service.nodes)}" for service in self.services]
        lines += [f"who switches hosts off: {self.fences}"] if self.fences else []
        at = self.first
        for happens in self.happens:
            lines.append(f"{at:7.2f} s: {happens.fault}")
            at += happens.pause
        return "\n".join(lines)


@dataclass
class Day:
    """How it went. `wrong`: "" when all was well. `schedule`: as far as it went."""

    seed: int
    wrong: str = ""
    history: str = ""
    seconds: float = 0.0  # simulated
    failovers: int = 0
    operations: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    healed: float = 0.0  # seconds it took
    digest: str = ""  # of the whole history: equal when two days were equal
    schedule: Schedule | None = None

    @property
    def rule(self) -> str:
        """The first that was broken."""
        return self.wrong.partition(":")[0]


Befall = Callable[[Day, SimCluster, Random], Awaitable[bool]]
"""All that happens in a day; False: something is wrong already."""


def day(seed: int, kinds: Sequence[str] = tuple(KINDS), faults: int = 24, last: int = 60) -> Day:
    """`kinds` of faults that may be, of which each day has some; `last`: lines of history to show."""
    dice = Random(seed)
    names = tuple(f"n{number}" for number in range(1, dice.choice((2, 3, 3, 3)) + 1))
    services = tuple(_services(dice, names))
    fences = dice.choice(("", "", "", "", "works", "works", "fails", "late"))
    timings = tuple("default" if dice.random() < 0.15 else "fast" for _ in names)
    rates = tuple(dice.choice((1 - DRIFT, 1.0, 1 + DRIFT)) for _ in names)
    everywhere, early = dice.random() < 0.5, dice.random() < 0.2
    began = dice.getstate()
    schedule = Schedule(
        seed, names, services, timings, rates, began, fences=fences, everywhere=everywhere, early=early
    )

    async def befall(made: Day, cluster: SimCluster, dice: Random) -> bool:
        return await _drawn(made, cluster, dice, kinds, faults)

    return _lived(schedule, befall, last)


def again(schedule: Schedule, last: int = 60) -> Day:
    """All that a day has written down is that day; less of it is another day, and always the same one."""

    async def befall(made: Day, cluster: SimCluster, dice: Random) -> bool:
        return await _repeated(made, cluster, dice, schedule)

    return _lived(schedule, befall, last)


def _lived(schedule: Schedule, befall: Befall, last: int) -> Day:
    before = random.getstate()
    random.seed(schedule.seed)  # the engine's own jitter
    try:
        return _live(schedule, befall, last)
    finally:
        random.setstate(before)


def _live(schedule: Schedule, befall: Befall, last: int) -> Day:
    made = Day(schedule.seed, schedule=replace(schedule, happens=()))
    dice, clusters = Random(), list[SimCluster]()
    dice.setstate(schedule.began)

    def unhandled(fault: BaseException) -> None:
        text = "".join(traceback.format_exception(fault))
        clusters[0].oracle.broken.append(f"bug: {text}")

    async def story() -> None:
        cluster = SimCluster(schedule.names, schedule.services, dice)
        clusters.append(cluster)
        cluster.fences = schedule.fences
        cluster.everywhere = schedule.everywhere
        await cluster.begin([PROFILES[name] for name in schedule.timings], schedule.rates)
        if not schedule.early:
            await cluster.converged(30.0)
        if await befall(made, cluster, dice):
            made.healed = await cluster.converged(HEALED)
            if not cluster.oracle.broken:
                await cluster.quiet(3.0)
            if not cluster.oracle.broken and len(cluster.services) > 1:
                await cluster.edited(30.0)
        made.seconds = true_time()

    try:
        simulated(story(), unhandled)
    except TimeoutError as fault:
        clusters[0].oracle.broken.append(f"liveness: {fault}")
    oracle = clusters[0].oracle
    made.wrong = "\n".join(oracle.broken[:5])
    made.history = oracle.told(last) if oracle.broken else ""
    made.failovers, made.operations = oracle.failovers, oracle.operations
    made.digest = hashlib.sha256("\n".join(map(str, oracle.history)).encode()).hexdigest()
    return made


def _services(dice: Random, names: tuple[str, ...]) -> list[Service]:
    made = [stack("web", names, "192.0.2.10", standby=dice.random() < 0.2)]
    if dice.random() < 0.5:
        failback, monitor = dice.choice(("auto", "never")), dice.random() < 0.3
        if dice.random() < 0.35:
            made.append(disks("db", names[::-1], "192.0.2.11", "/dev/sdb", failback=failback))
        else:
            made.append(stack("db", names[::-1], "192.0.2.11", monitor=monitor, failback=failback))
    if dice.random() < 0.2:
        made.append(pair("cache", names, 2))
    ends = ("stop", "stop", "stop", "purge", "orphan")
    return [replace(service, on_delete=dice.choice(ends)) for service in made]


async def _drawn(made: Day, cluster: SimCluster, dice: Random, kinds: Sequence[str], faults: int) -> bool:
    """Some kinds only: what hides one fault in another day brings it out in this one."""
    assert made.schedule
    chosen = dice.sample(kinds, min(dice.randint(1, 9), len(kinds)))
    befall = Faults(cluster, dice)
    made.faults = befall.count
    for _ in range(dice.randint(2, faults)):
        fault, before = befall.drawn(dice.choice(chosen)), dice.getstate()
        fault = await befall.befall(fault)
        pause = dice.choice((0.05, 0.5, 3.0, 12.0)) * dice.random()
        happens = Happens(fault, pause, before, dice.getstate())
        made.schedule = replace(made.schedule, happens=(*made.schedule.happens, happens))
        await asyncio.sleep(pause)
        if cluster.oracle.broken:
            return False
    rest = dice.choice((0.0, 5.0, 10.0))
    made.schedule = replace(made.schedule, rest=rest, last=dice.getstate())
    await _over(cluster, befall, rest)
    return True


async def _repeated(made: Day, cluster: SimCluster, dice: Random, schedule: Schedule) -> bool:
    befall = Faults(cluster, dice)
    made.faults, made.schedule = befall.count, schedule
    if schedule.first:
        await asyncio.sleep(schedule.first)
    for happens in schedule.happens:
        dice.setstate(happens.before)
        await befall.befall(happens.fault)
        dice.setstate(happens.after)
        await asyncio.sleep(happens.pause)
        if cluster.oracle.broken:
            return False
    if schedule.last:
        dice.setstate(schedule.last)
    await _over(cluster, befall, schedule.rest)
    return True


async def _over(cluster: SimCluster, befall: Faults, rest: float) -> None:
    await asyncio.sleep(rest)
    befall.heal()
    cluster.oracle.say("all", "healed")
    await befall.thawed()
