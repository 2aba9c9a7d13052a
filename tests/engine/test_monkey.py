"""Random days: edits, wishes, damage, crashes, clocks put back, and what must never happen on any."""

import asyncio
import contextlib
import os
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from reconciler.adapters.store_memory import MemoryStore
from reconciler.errors import NeedsPerson
from reconciler.model import Outcome, Resource, State
from reconciler.testing.simloop import SimLoop
from tests.engine.rig import DOWN, KEY, UNMADE, Host, Rig, World, res, service

SEED = int(os.environ.get("STANDFAST_SEED", random.randrange(1 << 32)))
DAYS = int(os.environ.get("STANDFAST_DAYS", "40"))
DISKS, MOST = ("disk-x", "disk-y"), 3.0
"""Operations per second of a whole day, at most: what fails is tried ever more slowly."""


class Judge(Host):
    """Performs, and knows what may be: who asked for what, what was there once, what goes on."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.world = world
        self.running: set[str] = set()
        self.made: set[str] = set()  # there once, and not destroyed by word
        self.word: Callable[[str], bool] = lambda verb: False  # is this asked for now?
        self.heard = {"create": -1.0, "destroy": -1.0}  # when it was last
        self.disturbed = 0.0  # when the world last changed by itself
        self.orphaned = False  # something was let go while it was up
        self.crimes: list[str] = []

    async def perform(self, operation, owner) -> Outcome:
        self._judge(operation.verb, operation.thing, asyncio.get_running_loop().time())
        self.running.add(operation.thing)
        try:
            outcome = await super().perform(operation, owner)
        finally:
            self.running.discard(operation.thing)
        if operation.verb == "destroy" and outcome.ok:
            self.made.discard(operation.thing)
        return outcome

    def _judge(self, verb: str, name: str, now: float) -> None:
        if name in self.running:
            self.crimes.append(f"{verb} {name} while another operation on it runs")
        if verb == "create" and name in self.made and not self._may(verb, now):
            self.crimes.append(f"{name} is made anew")
        elif verb == "destroy" and not self._may(verb, now):
            self.crimes.append(f"{name} is destroyed without the word")
        if now - self.disturbed < 0.1 or self.orphaned:
            return  # what was seen a moment ago may not hold any more; what was let go is nobody's
        if verb == "start" and name.startswith("fs on ") and not self._is_up(name.removeprefix("fs on ")):
            self.crimes.append(f"{name} is started on a disk that is not up")
        if verb in ("stop", "destroy") and name in DISKS and self._is_up(f"fs on {name}"):
            self.crimes.append(f"{verb} {name} under a filesystem that is up")

    def _may(self, verb: str, now: float) -> bool:
        """A job that was begun may just have outlived the word."""
        return self.word(verb) or now - self.heard[verb] < 0.1

    def note(self) -> None:
        now = asyncio.get_running_loop().time()
        self.made |= {name for name, seen in self.world.things.items() if seen.provisioned}
        for verb in self.heard:
            if self.word(verb):
                self.heard[verb] = now

    def _is_up(self, name: str) -> bool:
        return self.world.state(name) is State.UP


class Day:
    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.world, self.store = World(), MemoryStore()
        for disk in DISKS:
            self.world.things[disk] = replace(UNMADE, exposes={"exposed_devs": (disk,)})
            self.world.things[f"fs on {disk}"] = UNMADE
        self.judge = Judge(self.world)
        self.deleted = False
        self.told: list[str] = []
        self.document = service(*self._resources())

    def _resources(self) -> tuple[Resource, ...]:
        dice = self.dice
        options = {"restart": dice.choice((0, 1, 3)), "disable": dice.random() < 0.05}
        everything = (
            res("ip#0", thing=dice.choice(("ip-x", "ip-y"))),
            res("disk#0", thing=dice.choice(DISKS), **options),
            res("fs#0", "disk#0", thing="fs on {disk#0.exposed_devs[0]}", provision=dice.random() < 0.9),
            res("app#0", "fs#0", optional=dice.random() < 0.2),
            res("app#1", **options),
        )
        kept = tuple(r for r in everything if r.rid.startswith(("disk", "fs")) or dice.random() < 0.85)
        return kept if dice.random() < 0.9 else kept[:1]

    async def engine(self) -> Rig:
        rig = Rig(self.world, self.store)
        rig.jobs._host = self.judge
        self.judge.word = lambda verb: self.asked_for(rig, verb)
        self.put(rig)
        return await rig.start()

    def put(self, rig: Rig) -> None:
        rig.put(self.document)
        if self.deleted:
            rig.delete()

    async def live(self) -> None:
        rig = await self.engine()
        for _ in range(60):
            rig = await self.happen(rig)
            self.judge.note()
            await asyncio.sleep(self.dice.choice((0.0003, 0.004, 0.02, 0.5, 5, 60)))
            self.judge.note()
            assert not self.judge.crimes, self.report()
        await self.heal(rig)
        await rig.crash()

    def asked_for(self, rig: Rig, verb: str) -> bool:
        """To create or to destroy: by a person's word, or by that of a document that was removed."""
        wish, record = rig.desk.asked(KEY).wish, rig.records.get(KEY)
        if verb == "create":
            return wish is not None and wish.verb == "provision"
        purged = record is not None and record.deleted and record.service.on_delete == "purge"
        return purged or (wish is not None and wish.verb in ("unprovision", "purge"))

    async def happen(self, rig: Rig) -> Rig:
        dice, world = self.dice, self.world
        what = dice.choice(
            ("edit", "delete", "ask", "ask", "damage", "damage", "fault", "cure", "crash", "clock")
        )
        self.told.append(what)
        match what:
            case "edit":
                state = dice.choice(("started", "started", "stopped"))
                ending = dice.choice(("stop", "stop", "orphan", "purge"))
                self.document = service(*self._resources(), state=state, on_delete=ending)
                self.deleted = False
                self.put(rig)
            case "delete" if KEY in rig.records:
                self.deleted = True
                self.judge.orphaned |= self.document.on_delete == "orphan"
                rig.delete()
            case "ask" if KEY in rig.records:
                await self.ask(rig)
            case "damage":
                name = dice.choice(
                    [n for n, seen in world.things.items() if seen.state is State.UP] or ["ip-x"]
                )
                self.judge.disturbed = asyncio.get_running_loop().time()
                self.told[-1] += f" {name}"
                rig.change(name, replace(world.things.get(name, DOWN), state=State.DOWN))
            case "fault":
                verb, name = (
                    dice.choice(("start", "stop", "create", "destroy")),
                    dice.choice([*world.things, "app#0"]),
                )
                kind = dice.choice(("fails", "lies", "blind", "hangs"))
                self.told[-1] += f" {kind} {verb} {name}"
                if kind == "hangs":
                    world.hangs.setdefault(f"{verb} {name}", asyncio.Event())
                else:
                    getattr(world, kind).add(name if kind == "blind" else f"{verb} {name}")
                rig.wake()
            case "cure":
                self.cure()
                rig.wake()
            case "crash":
                await rig.crash()
                return await self.engine()
            case "clock":
                rig.clock.step += dice.choice((-3600.0, 3600.0))
        return rig

    async def ask(self, rig: Rig) -> None:
        verbs = (
            "start",
            "stop",
            "restart",
            "freeze",
            "thaw",
            "provision",
            "unprovision",
            "purge",
            "clear",
            "abort",
        )
        verb, more = self.dice.choice(verbs), {}
        if verb in ("start", "stop", "restart", "unprovision", "provision") and self.dice.random() < 0.4:
            more["rids"] = [self.dice.choice(self.document.resources).rid]
        self.told[-1] += f" {verb} {more or ''}"
        with contextlib.suppress(NeedsPerson):
            await rig.ask(verb, **more)

    def cure(self) -> None:
        for kept in (self.world.fails, self.world.lies, self.world.blind):
            kept.clear()
        for event in self.world.hangs.values():
            event.set()
        self.world.hangs.clear()

    async def heal(self, rig: Rig) -> None:
        """Nothing is in the way any more, and a person clears: all is as wanted, and stays so."""
        self.cure()
        self.deleted = False
        self.document = service(
            res("disk#0", thing="disk-x"),
            res("fs#0", "disk#0", thing="fs on {disk#0.exposed_devs[0]}"),
            res("app#0", "fs#0"),
        )
        self.put(rig)
        await asyncio.sleep(1)
        for verb in ("thaw", "abort", "clear", "provision"):
            await rig.ask(verb)
        await asyncio.sleep(400)
        await rig.settled()
        record = rig.records[KEY]
        assert record.up_as_wanted(), f"{self.report()}\n{rig.waiting()} {record.decision}"
        assert self._is_up("disk-x", "fs on disk-x", "app#0"), self.report()
        assert self.judge.orphaned or not (self._is_up("ip-x") or self._is_up("ip-y")), self.report()
        before = len(self.world.done)
        assert await rig.passes(300) < 20
        assert len(self.world.done) == before, self.report()
        assert len(self.world.done) < MOST * asyncio.get_running_loop().time(), self.report()
        assert not self.judge.crimes, self.report()

    def _is_up(self, *names: str) -> bool:
        return all(self.world.state(name) is State.UP for name in names)

    def report(self) -> str:
        return f"{self.judge.crimes}\n{' | '.join(self.told)}\n{' | '.join(self.world.done[-40:])}"


@pytest.mark.parametrize("number", range(DAYS))
def test_a_random_day(number):
    seed = SEED + number
    print(f"STANDFAST_SEED={seed} STANDFAST_DAYS=1")
    loop = SimLoop()
    try:
        loop.run_until_complete(Day(seed).live())
    finally:
        loop.close()
