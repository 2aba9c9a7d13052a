"""The sandbox on a terminal: a live tree, the commands as they run, and keys that break things.

Without a terminal, or when asked to, the same tour plays by itself: it starts everything, breaks
what can be broken, and ends with 0 only if all of it was repaired.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import sys
import termios
import time
import tty
from collections import deque
from collections.abc import Callable

from reconciler.cli import damage, tree
from reconciler.cli.damage import DAMAGES, Damage, Target
from reconciler.contracts import Event
from reconciler.daemon import running
from reconciler.model import Goal, settled
from reconciler.running import Running
from reconciler.settings import Settings

KEYS = "d address  k kill  u unmount  e edit  x break document  w why  s shell  q quit"
PATIENCE = 20.0


class Repairs:
    """Follows what the agent does: commands as they run, and how long a repair took."""

    def __init__(self, agent: Running, say: Callable[[str], None]) -> None:
        self._agent, self._say = agent, say
        self._waiting: dict[tuple[str, str], list[str]] = {}  # commands that repair it, by service and rid
        agent.tell.listeners.append(self._told)
        self._news = asyncio.Event()

    def _told(self, event: Event) -> None:
        self._news.set()
        if event.kind == "operation":
            where = f"{event.service.removeprefix('root/')} {event.rid}"
            self._say(f"  {where:<22} {'' if event.ok else 'FAILED '}{event.text}")
            if event.ok and (event.service, event.rid) in self._waiting:
                self._waiting[event.service, event.rid].append(event.text)
        elif event.kind == "document" or (event.kind in ("job", "wish") and not event.ok):
            self._say(f"  {event.service.removeprefix('root/'):<22} {event.text}")

    async def strike(self, way: Damage, target: Target) -> bool:
        """Break it, wait until it is whole again, say how long that took, the damage included."""
        commands = self._waiting[target.service, target.rid] = []
        # From before: the repair may be done before the command that made it necessary has returned.
        struck = time.perf_counter()
        try:
            self._say(f"$ {await damage.strike(self._agent, way, target)}")
            whole = await self._whole(target, commands)
        finally:
            del self._waiting[target.service, target.rid]
        seconds = time.perf_counter() - struck
        verdict = f"repaired in {seconds * 1000:.0f} ms: {'; '.join(commands)}"
        self._say(verdict if whole else f"NOT repaired within {PATIENCE:.0f} s")
        return whole

    async def _whole(self, target: Target, commands: list[str]) -> bool:
        """It was mended, and everything of its service is up again."""
        record = self._agent.records[target.service]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while not (commands and not self._agent.jobs.of(target.service) and record.up_as_wanted()):
                    self._news.clear()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(0.002):
                            await self._news.wait()
                return True
        return False


async def play(settings: Settings, by_itself: bool) -> int:
    """The whole visit, from nothing to nothing. Returns the exit code."""
    # The screen tells it all; what goes wrong besides is kept in a file.
    log = logging.getLogger("standfast")
    log.propagate = False
    settings.state.mkdir(parents=True, exist_ok=True)
    log.addHandler(logging.FileHandler(settings.state / "agent.log"))
    started = time.perf_counter()
    async with running(settings) as agent:
        try:
            return await (_by_itself(agent, started) if by_itself else Screen(agent).show())
        finally:
            await agent.stop_all(30.0)


# --- by itself -----------------------------------------------------------------------------


async def _by_itself(agent: Running, started: float) -> int:
    repairs = Repairs(agent, print)
    good = await agent.converged(asyncio.Event(), 60.0) and _all_up(agent)
    seconds = time.perf_counter() - started
    # A program killed in its first half second has failed to start, and is tried again a little later.
    await _until(agent, lambda: not any(record.started for record in agent.records.values()))
    print(f"\nup after {seconds:.1f} s" if good else "\nNOT everything came up\n")
    _print_trees(agent)
    for way in DAMAGES:
        if found := damage.targets(agent, way):
            print(f"\n— {way.title}")
            good = await repairs.strike(way, found[0]) and good
    print("\n— edit a document")
    good = await _edited(agent, print) and good
    good = await _document_broken(agent) and good
    print("\nAll of it was repaired." if good else "\nNOT all of it was repaired.")
    return 0 if good else 1


async def _edited(agent: Running, say: Callable[[str], None]) -> bool:
    """A changed document is in force at once: what depends on the change is started anew."""
    struck, done = time.perf_counter(), damage.edit(agent)
    if done is None:
        say("no example has a port to edit")
        return True
    key, typed = done
    record, before = agent.records[key], agent.records[key].service.generation
    say(f"$ {typed}")

    def up() -> bool:
        now = record.service.generation
        return now != before and record.attempt.up_as == now and not agent.jobs.of(key)

    taken = await _until(agent, up)
    milliseconds = (time.perf_counter() - struck) * 1000
    say(f"in force and up again in {milliseconds:.0f} ms" if taken else "NOT in force within 5 s")
    return taken


async def _document_broken(agent: Running) -> bool:
    """A broken document changes nothing; its faults are told with file and line."""
    done = damage.spoil(agent)
    if done is None:
        return True
    path, typed, mend = done
    print(f"\n— break a document\n$ {typed}")
    refused = await _until(agent, lambda: str(path) in agent.library.troubles)
    for fault in agent.library.troubles[str(path)].faults[:2] if refused else ():
        print(f"  {fault}")
    unhurt = refused and _all_up(agent)
    print("nothing was touched: the last good version stays in force" if unhurt else "NOT as it should be")
    mend()
    return await _until(agent, lambda: not agent.library.troubles) and unhurt


async def _until(agent: Running, true: Callable[[], bool], patience: float = 5.0) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience):
            while not true():
                await agent.stirred()
            return True
    return False


def _all_up(agent: Running) -> bool:
    return bool(agent.records) and all(
        settled(goal, record.seen[rid])
        for record in agent.records.values()
        for rid, goal in record.goals.items()
        if goal is not Goal.NONE
    )


def _print_trees(agent: Running) -> None:
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    for service in agent.agent.services():
        print(tree.render(service, colour, 100, agent.settings.node))


# --- on a terminal -------------------------------------------------------------------------


class Screen:
    """Tree above, commands below, keys in the last line; drawn anew when something changes."""

    def __init__(self, agent: Running) -> None:
        self._agent = agent
        self._lines: deque[str] = deque(maxlen=200)
        self._dirty = asyncio.Event()
        self._keys: asyncio.Queue[str] = asyncio.Queue()
        self._repairs = Repairs(agent, self._say)
        self._paused = False
        self._terminal: Attributes = []
        self._turn = dict.fromkeys((way.key for way in DAMAGES), 0)

    def _say(self, text: str) -> None:
        self._lines.extend(text.splitlines())
        self._dirty.set()

    async def show(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._keys.put_nowait, "q")
        loop.add_signal_handler(signal.SIGWINCH, self._dirty.set)
        painter = asyncio.create_task(self._paint())
        try:
            self._terminal = _enter()
            loop.add_reader(sys.stdin.fileno(), self._typed)
            while await self._one_key(await self._keys.get()):
                pass
        finally:
            loop.remove_reader(sys.stdin.fileno())
            painter.cancel()
            _leave(self._terminal)
            _written("stopping what runs here …\n")
        return 0

    def _typed(self) -> None:
        try:
            typed = os.read(sys.stdin.fileno(), 16).decode(errors="ignore") or "q"
        except OSError:  # the terminal is gone
            typed = "q"
        for key in typed:
            self._keys.put_nowait("q" if key in "\x03\x04" else key)

    async def _one_key(self, key: str) -> bool:
        """Do what the key says; False: it was the last."""
        if way := next((w for w in DAMAGES if w.key == key), None):
            await self._strike(way)
        match key:
            case "q":
                return False
            case "e":
                await _edited(self._agent, self._say)
            case "x":
                await self._spoil()
            case "w":
                await self._why()
            case "s":
                await self._shell()
        return True

    async def _strike(self, way: Damage) -> None:
        found = damage.targets(self._agent, way)
        if not found:
            self._say(f"nothing here to {way.title.split()[0]}")
            return
        self._turn[way.key] += 1
        await self._repairs.strike(way, found[(self._turn[way.key] - 1) % len(found)])

    async def _spoil(self) -> None:
        done = damage.spoil(self._agent)
        if done is None:
            return
        path, typed, mend = done
        self._say(f"$ {typed}")
        if await _until(self._agent, lambda: str(path) in self._agent.library.troubles):
            for fault in self._agent.library.troubles[str(path)].faults[:3]:
                self._say(str(fault))
        self._say("the last good version stays in force; mended in 5 s")
        asyncio.get_running_loop().call_later(5.0, mend)

    async def _why(self) -> None:
        for key in sorted(self._agent.records):
            for line in (await self._agent.agent.why(key))["lines"]:
                self._say("  " * int(line["indent"]) + str(line["text"]))

    async def _shell(self) -> None:
        """A shell in here, while the agent goes on; `exit` comes back."""
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        self._paused = True
        _leave(self._terminal)
        print("STANDFAST_RUN is set: try `standfast status`. The agent goes on; `exit` comes back.")
        environment = {**os.environ, "STANDFAST_RUN": str(self._agent.settings.run), "PS1": "sandbox# "}
        shell = await asyncio.create_subprocess_exec(os.environ.get("SHELL", "/bin/sh"), env=environment)
        await shell.wait()
        _enter()  # a shell takes the terminal for itself and does not give it back
        self._paused = False
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), self._typed)

    async def _paint(self) -> None:
        while True:
            await asyncio.sleep(0.03)
            if self._paused:
                continue
            width, height = shutil.get_terminal_size()
            colour = "NO_COLOR" not in os.environ
            top: list[str] = []
            for service in self._agent.agent.services():
                top += tree.render(service, colour, width - 1, self._agent.settings.node).splitlines()
            top = top[: max(height - 6, 4)]
            room = max(height - len(top) - 3, 1)
            low = [line[: width - 1] for line in list(self._lines)[-room:]]
            body = [*top, "─" * (width - 1), *low]
            body += [""] * (height - 1 - len(body))
            text = "\r\n".join(f"{line}\x1b[K" for line in body[: height - 1])
            if not _written(f"\x1b[H{text}\r\n\x1b[7m {KEYS} \x1b[0m\x1b[K"):
                self._keys.put_nowait("q")
                return
            self._dirty.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await self._dirty.wait()


Attributes = list[int | list[bytes | int]]


def _enter() -> Attributes:
    """Keys as they are pressed, on a screen of our own; returns the terminal as it was."""
    terminal = sys.stdin.fileno()
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    os.tcsetpgrp(terminal, os.getpgrp())
    before = termios.tcgetattr(terminal)
    sys.stdout.write("\x1b[?1049h\x1b[?25l\x1b[2J")
    tty.setcbreak(terminal)
    return before


def _written(text: str) -> bool:
    """False when nobody is left to read it."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError:
        return False
    return True


def _leave(before: Attributes) -> None:
    with contextlib.suppress(termios.error, OSError):  # a terminal that is gone needs nothing
        termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, before)
        sys.stdout.write("\x1b[?25h\x1b[?1049l")
        sys.stdout.flush()
