"""The guard's own mind → a made-up process: it hears agents, pets a watchdog, stops what it lists."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reconciler.adapters.guard import ANSWER, GuardClient
from reconciler.errors import MayHeal
from reconciler.guard.core import Core
from reconciler.guard.lines import Command, Line
from reconciler.guard.records import loaded
from reconciler.guard.words import (
    Action,
    Arm,
    Armed,
    Disarm,
    End,
    Event,
    Gone,
    Keep,
    Kill,
    Killed,
    Peer,
    Pet,
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
from reconciler.model import Owner
from reconciler.testing.machines import SimHost
from reconciler.testing.processes import Process
from reconciler.testing.simloop import true_time

BEGINS = 0.05
WIRE = 0.0005
LONGEST_SLEEP = 1.0
FACTS = {"pid": 1, "locked": True, "real_time": True, "kappa": 1, "device": "simulated", "sysrq": False}


def line(thing: str, owner: str, standby: bool) -> Line:
    """What undoes the start of a made-up thing."""
    return Command(owner, ("stop", thing), standby=standby)


class SimGuard:
    """One process of it. `kill_agent`: ends whoever holds the session."""

    def __init__(self, host: SimHost) -> None:
        self.host, self.process = host, Process(f"guard of {host.name}", host.whole)
        self.clients: list[SimGuardClient] = []
        self.kill_agent: Callable[[Peer], None] = lambda peer: None
        self.lives: Callable[[Peer], bool] = lambda peer: False
        self._core: Core | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.process.call(BEGINS, self._begin)

    @property
    def alive(self) -> bool:
        return self.process.alive

    @property
    def core(self) -> Core | None:
        return self._core

    @property
    def phase(self) -> str:
        return str(self._core.mind.phase) if self._core else "not begun"

    def die(self) -> None:
        """kill -9; its agents find their line at its end."""
        self.process.kill()
        for client in self.clients:
            client.process.call(WIRE, client.ended)

    def hear(self, event: Event) -> None:
        """From beyond the socket."""
        self.process.call(WIRE, self._take, event)

    def forget(self, client: "SimGuardClient") -> None:
        if client in self.clients:
            self.clients.remove(client)
            if not any(other.peer == client.peer for other in self.clients):
                self.hear(Gone(client.peer))

    def _begin(self) -> None:
        run = self.host.run
        self._core = Core(loaded(run.ledger, run.deadline), self.host.clock.boottime())
        self._take(Tick())

    # --- as guard/process.py does it -------------------------------------------------------

    def _take(self, event: Event) -> None:
        if self._core is None:  # it listens when it has begun
            self.process.call(BEGINS, self._take, event)
            return
        self._handle(event)
        now = self.host.clock.boottime()
        due = min(self._core.wake(now), now + LONGEST_SLEEP)
        if self._timer:
            self._timer.cancel()
        self._timer = self.process.wake(self.host.clock.until(due) + 1e-6, self._take, Tick())

    def _handle(self, event: Event) -> None:
        assert self._core
        actions = self._core.handle(event, self.host.clock.boottime())
        for at, action in enumerate(actions):
            failed = self._do(action)
            if failed is not None:
                self._handle(failed)
                for other in actions[at + 1 :]:
                    if not isinstance(other, Reply | Keep):
                        self._do(other)
                return

    def _do(self, action: Action) -> Event | None:
        match action:
            case Pet():
                self.host.pet()
            case Arm(seconds, request):
                self.host.arm(seconds)
                self._handle(Armed(request, seconds, real=True, closes=True))
            case Disarm():
                self.host.disarm()
            case Write(record, request):
                if self.host.run.full and request:
                    return Unwritten(request, record, "No space left on device")
                self.host.run.ledger.append(record)
                if "trip" in record and self._core and self._core.mind.session:
                    soon = true_time() + 2 * WIRE
                    self.host.over = self._core.mind.session.epoch, soon
            case Keep(deadline):
                self.host.run.deadline = deadline
                self.host.judge_deadline(deadline)
            case Reply():
                self._reply(action)
            case Kill() | Stop():
                self.process.begin(self._hands(action))
            case Sysrq():
                self.host.reset("sysrq")
            case Say(text):
                self.host.oracle.say(self.host.name, f"guard: {text}")
            case End():
                self.process.kill()
        return None

    async def _hands(self, action: Kill | Stop) -> None:
        match action:
            case Kill(session, by):
                if session:
                    self.kill_agent(session.agent)
                left = await self.host.end_operations(by)
                self._take(Killed(left))
            case Stop(number, undone, by, late):
                thing, real = self._thing(undone), None if isinstance(undone, Command) else undone
                session = self._core.mind.session if self._core else None
                if session and not late and self.lives(session.agent):
                    self.host.oracle.wrong(
                        self.host.name, "first", f"the guard stops {thing}, its agent lives"
                    )
                self._take(Stopped(number, await self.host.undo(thing, by, late, real)))

    def _thing(self, line: Line) -> str:
        if isinstance(line, Command):
            return line.argv[1]
        service, _, rid = line.owner.partition(":")
        return self.host.parts.thing(Owner(service, rid))

    def _reply(self, reply: Reply) -> None:
        for client in self.clients:
            if client.number == reply.connection:
                words = {
                    **FACTS,
                    **reply.words,
                    "ok": not reply.why,
                    "why": reply.why or reply.words.get("why", ""),
                }
                client.process.call(WIRE, client.answered, reply.id, words)


class SimGuardClient(GuardClient):
    """The agent's end of the line, as it is, but for the socket."""

    def __init__(self, guard: SimGuard, process: Process, peer: Peer, number: int) -> None:
        super().__init__(Path("/run"), "", "", guard.host.clock)
        self.guard, self.process, self.peer, self.number = guard, process, peer, number
        self._asked = 0
        self._futures: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def connect(self) -> None:
        await asyncio.sleep(WIRE)
        if not self.guard.alive:
            raise OSError("nobody listens")
        self.guard.clients.append(self)

    async def disconnect(self) -> None:
        self.guard.forget(self)
        self.ended()

    async def _ask(self, do: str, **words: Any) -> dict[str, Any]:
        if self.lost.is_set():
            raise MayHeal("the guard is gone")
        self._asked += 1
        number, answer = self._asked, asyncio.get_running_loop().create_future()
        self._futures[number] = answer
        self.guard.hear(Request(self.number, self.peer, number, do, words))
        try:
            async with asyncio.timeout(ANSWER):
                said: dict[str, Any] = await answer
        except TimeoutError:
            raise MayHeal(f"the guard did not answer within {ANSWER:g} s") from None
        finally:
            self._futures.pop(number, None)
        if not said["ok"]:
            raise MayHeal(f"the guard refuses: {said['why']}")
        return said

    def answered(self, number: int, words: dict[str, Any]) -> None:
        if (answer := self._futures.get(number)) and not answer.done():
            answer.set_result(words)

    def ended(self) -> None:
        self.lost.set()
        for answer in self._futures.values():
            if not answer.done():
                answer.set_exception(MayHeal("the guard is gone"))
