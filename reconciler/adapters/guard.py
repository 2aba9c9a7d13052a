"""The guard's socket → contracts.Guard; and a guard where there is none.

An agent may have several connections, one in each of its event loops: the guard knows it by its process.
"""

import asyncio
import contextlib
import json
import os
import stat
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import reconciler
from reconciler.adapters.cgroups import Groups
from reconciler.adapters.clock import SystemClock
from reconciler.contracts import Clock, GuardSeen
from reconciler.decide.undo import Places
from reconciler.errors import MayHeal, NeedsPerson
from reconciler.guard.lines import Line, Loop, Mount, decode, encode
from reconciler.settings import Settings

ANSWER = 1.0
"""Seconds. The guard answers from memory."""
BEGINS = 5.0
"""Seconds from the guard's start until it listens."""
_LONGEST = 1 << 24
_MAIN = (
    "import sys; sys.path.append(sys.argv[1]); from reconciler.guard.__main__ import main; "
    "sys.exit(main(sys.argv[2]))"
)
_SHARED_NUMBERS = frozenset(("bind", "btrfs"))
"""Mounts whose number in the mount table is not that of what was mounted."""


def directory(settings: Settings) -> Path:
    return settings.run / "guard"


def places(settings: Settings, groups: Groups) -> Places:
    return Places(str(groups.root or ""), str(settings.run / "programs"))


class GuardClient:
    """Implements contracts.Guard.

    operations  control group of operations in flight, "" for none. notes: directory that names them.
    """

    def __init__(self, path: Path, operations: str, notes: str, clock: Clock | None = None) -> None:
        self._path, self._operations, self._notes = path, operations, notes
        self._clock = clock or SystemClock()
        self.lost = asyncio.Event()
        self.deadline: float | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[Mapping[str, Any]]] = {}
        self._number = 0

    async def connect(self) -> None:
        """Raises OSError when nobody listens."""
        reader, self._writer = await asyncio.open_unix_connection(str(self._path), limit=_LONGEST)
        self._reading = asyncio.create_task(self._read(reader), name="guard")

    async def disconnect(self) -> None:
        """The guard goes on, and is gone for us."""
        self.lost.set()
        if self._writer and self._reading:
            self._reading.cancel()
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
            await asyncio.gather(self._reading, return_exceptions=True)

    # --- as contracts.Guard ----------------------------------------------------------------

    async def state(self) -> GuardSeen:
        return _seen(await self._ask("state"))

    async def arm(self, watchdog: float, margin: float) -> float:
        return float((await self._ask("arm", watchdog=watchdog, margin=margin))["granted"])

    async def open(self, epoch: int, deadline: float) -> GuardSeen:
        said = await self._ask(
            "open", epoch=epoch, deadline=deadline, operations=self._operations, notes=self._notes
        )
        self.deadline = deadline
        return _seen(said)

    async def extend(self, deadline: float) -> None:
        await self._ask("extend", deadline=deadline)
        self.deadline = deadline

    async def enter(self, lines: Sequence[Line]) -> tuple[int, ...]:
        """Refused here already past the deadline that this connection gave; the guard knows of all."""
        if self.deadline is not None and self._clock.boottime() >= self.deadline:
            raise MayHeal("past the deadline nothing is started")
        said = await self._ask("enter", lines=[encode(line) for line in lines])
        return tuple(said["numbers"])

    async def leave(self, numbers: Collection[int]) -> None:
        await self._ask("leave", numbers=list(numbers))

    async def trip(self, why: str) -> None:
        await self._ask("trip", why=why)

    async def reset(self, why: str, crash: bool = False) -> None:
        await self._ask("reset", why=why, crash=crash)

    async def close(self) -> None:
        await self._ask("close")
        self.deadline = None

    async def end(self) -> None:
        """The guard itself ends, if nothing is listed."""
        await self._ask("end")

    # --- the line --------------------------------------------------------------------------

    async def _ask(self, do: str, **words: Any) -> Mapping[str, Any]:
        if self._writer is None or self.lost.is_set():
            raise MayHeal("the guard is gone")
        self._number += 1
        number = self._number
        answer: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            self._writer.write(json.dumps({"id": number, "do": do, **words}).encode() + b"\n")
            async with asyncio.timeout(ANSWER):
                said = await answer
        except TimeoutError:
            raise MayHeal(f"the guard did not answer within {ANSWER:g} s") from None
        finally:
            self._waiting.pop(number, None)
        if not said["ok"]:
            raise MayHeal(f"the guard refuses: {said['why']}")
        return said

    async def _read(self, reader: asyncio.StreamReader) -> None:
        """Answers to who waits for them; at the end of the line everybody is told at once."""
        try:
            with contextlib.suppress(OSError, ValueError):
                while line := await reader.readline():
                    said = json.loads(line)
                    if (waiting := self._waiting.get(said["id"])) and not waiting.done():
                        waiting.set_result(said)
        finally:
            self.lost.set()
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(MayHeal("the guard is gone"))


def _seen(said: Mapping[str, Any]) -> GuardSeen:
    names = ("phase", "epoch", "last", "deadline", "kappa", "watchdog", "real", "doomed", "why")
    lines = {number: decode(line) for number, line in said["lines"]}
    return GuardSeen(**{name: said[name] for name in names}, lines=lines)


# --- a guard ------------------------------------------------------------------------------


async def at_hand(
    settings: Settings, groups: Groups, watchdog: str = "", softdog: bool = False, sysrq: str = ""
) -> GuardClient:
    """Connected to the guard of this run directory, which is started if there is none.

    Raises NeedsPerson when it cannot be.
    """
    here = directory(settings)
    operations = str(groups.root / "operations") if groups.root else ""
    client = GuardClient(here / "socket", operations, str(settings.run / "operations"))
    with contextlib.suppress(OSError):
        await client.connect()
        return client
    wanted = {"directory": str(here), "watchdog": watchdog, "softdog": softdog, "sysrq": sysrq}
    await asyncio.to_thread(start({**wanted, "group": _group(groups), "detach": True}, here).wait)
    loop = asyncio.get_running_loop()
    until, pause = loop.time() + BEGINS, 0.005
    while loop.time() < until:
        with contextlib.suppress(OSError):
            await client.connect()
            return client
        if said := (here / "errors").read_text(errors="replace").strip().splitlines():
            raise NeedsPerson(f"the guard of {settings.run} does not begin: {said[-1]}")
        await asyncio.sleep(pause)
        pause = min(2 * pause, 0.1)
    raise NeedsPerson(f"the guard of {settings.run} does not listen after {BEGINS:g} s")


def start(wanted: Mapping[str, object], here: Path) -> subprocess.Popen[bytes]:
    """With the standard library alone, in a session of its own; what it dies of is in `errors`."""
    here.mkdir(parents=True, mode=0o700, exist_ok=True)
    home = str(Path(reconciler.__file__).resolve().parent.parent)
    argv = [sys.executable, "-I", "-S", "-c", _MAIN, home, json.dumps(wanted)]
    with open(here / "errors", "wb") as errors:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            cwd="/",
            env={"PATH": os.defpath, "LANG": "C.UTF-8"},
            start_new_session=True,
        )


def _group(groups: Groups) -> str:
    """Beside the node's own, so that nobody who ends all of those ends the guard."""
    return str(groups.root.with_name(f"{groups.root.name}.guard")) if groups.root else ""


def bound(line: Line) -> Line:
    """The line with what only this moment tells. Blocking, as far as looking at its source may block."""
    match line:
        case Loop():
            return line._replace(file=os.path.realpath(line.file))
        case Mount() if line.fstype not in _SHARED_NUMBERS and line.source.startswith("/"):
            with contextlib.suppress(OSError):
                seen = os.stat(line.source)
                if stat.S_ISBLK(seen.st_mode):
                    number = f"{os.major(seen.st_rdev)}:{os.minor(seen.st_rdev)}"
                    return line._replace(device=number, source=os.path.realpath(line.source))
    return line
