"""A seed → a cluster, a day of random faults, the end of them; what was wrong, and what it took.

Equal seeds, equal days: nothing here looks at a clock of this machine, at an address in its memory or
at the order of a set.
"""

import asyncio
import hashlib
import random
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field

from reconciler.decide.timing import DRIFT, PROFILES
from reconciler.model import Service
from reconciler.testing.clusters import SimCluster
from reconciler.testing.faults import KINDS, Faults
from reconciler.testing.processes import simulated
from reconciler.testing.things import pair, stack

HEALED = 90.0
"""Seconds of a cluster of the fast profile until all is up again after the last fault."""


@dataclass
class Day:
    """How it went. `wrong`: "" when all was well."""

    seed: int
    wrong: str = ""
    history: str = ""
    seconds: float = 0.0  # simulated
    failovers: int = 0
    operations: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    healed: float = 0.0  # seconds it took
    digest: str = ""  # of the whole history: equal when two days were equal


def day(seed: int, kinds: Sequence[str] = tuple(KINDS), faults: int = 24, last: int = 60) -> Day:
    """`kinds` of faults that may be, of which each day has some; `last`: lines of history to show."""
    before = random.getstate()
    random.seed(seed)  # the engine's own jitter
    try:
        return _day(seed, random.Random(seed), kinds, faults, last)
    finally:
        random.setstate(before)


def _day(seed: int, dice: random.Random, kinds: Sequence[str], faults: int, last: int) -> Day:
    made = Day(seed)
    clusters: list[SimCluster] = []

    def unhandled(fault: BaseException) -> None:
        text = "".join(traceback.format_exception(fault))
        clusters[0].oracle.broken.append(f"bug: {text}")

    async def story() -> None:
        names = tuple(f"n{number}" for number in range(1, dice.choice((2, 3, 3, 3)) + 1))
        cluster = SimCluster(names, _services(dice, names), dice)
        clusters.append(cluster)
        timings = [PROFILES["default" if dice.random() < 0.15 else "fast"] for _ in names]
        await cluster.begin(timings, [dice.choice((1 - DRIFT, 1.0, 1 + DRIFT)) for _ in names])
        await _befall(made, cluster, dice, kinds, faults)
        made.seconds = asyncio.get_running_loop().time()

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


def _services(dice: random.Random, names: tuple[str, ...]) -> list[Service]:
    made = [stack("web", names, "192.0.2.10", standby=dice.random() < 0.2)]
    if dice.random() < 0.5:
        failback, monitor = dice.choice(("auto", "never")), dice.random() < 0.3
        made.append(stack("db", names[::-1], "192.0.2.11", monitor=monitor, failback=failback))
    if dice.random() < 0.2:
        made.append(pair("cache", names, 2))
    return made


async def _befall(
    made: Day, cluster: SimCluster, dice: random.Random, kinds: Sequence[str], faults: int
) -> None:
    """Some kinds only: what hides one fault in another day brings it out in this one."""
    await cluster.converged(30.0)
    chosen = dice.sample(kinds, min(dice.randint(1, 9), len(kinds)))
    befall = Faults(cluster, dice)
    made.faults = befall.count
    for _ in range(dice.randint(2, faults)):
        await befall.befall(dice.choice(chosen))
        await asyncio.sleep(dice.choice((0.05, 0.5, 3.0, 12.0)) * dice.random())
        if cluster.oracle.broken:
            return
    await asyncio.sleep(dice.choice((0.0, 5.0, 10.0)))
    befall.heal()
    cluster.oracle.say("all", "healed")
    await befall.thawed()
    made.healed = await cluster.converged(HEALED)
    if not cluster.oracle.broken:
        await cluster.quiet(3.0)
