"""etcd.json → an etcd that runs: kept by a small process of its own, under systemd or detached from us."""

import asyncio
import contextlib
import ctypes
import fcntl
import logging
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from reconciler.adapters import etcd_unit
from reconciler.adapters.etcd_unit import Files
from reconciler.adapters.keepsake import replace_file
from reconciler.errors import MayHeal, NeedsPerson

SYSTEMD = Path("/run/systemd/system")
UNITS = Path("/etc/systemd/system")
SOONEST, LATEST, STABLE = 0.2, 30.0, 60.0  # pauses before another start; up so long: all is forgotten
ENDS = 10.0  # seconds that etcd has to end by itself
log = logging.getLogger("standfast")


# --- the process that keeps it ------------------------------------------------------------------


async def supervise(files: Files, beside: Callable[[], Awaitable[None]]) -> None:
    """Until SIGTERM or SIGINT, which etcd gets as well. `beside` goes on meanwhile.

    Raises NeedsPerson when another one does so already, or there is nothing to keep.
    """
    with _locked(files):
        ending = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, ending.set)
        tasks = [asyncio.create_task(_kept(files, ending)), asyncio.create_task(_tolerant(beside))]
        try:
            await tasks[0]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _kept(files: Files, ending: asyncio.Event) -> None:
    pause = SOONEST
    while not ending.is_set():
        unit = etcd_unit.load(files)
        if unit is None:
            raise NeedsPerson(f"{files.unit} is not there: `standfast cluster init` or `join` makes it")
        began = time.monotonic()
        code = await _one_life(etcd_unit.argv(unit, files, program()), ending)
        if ending.is_set():
            return
        pause = SOONEST if time.monotonic() - began > STABLE else min(2 * pause, LATEST)
        log.warning("etcd ended with %s; again in %.1f s", code, pause)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ending.wait(), pause)


async def _one_life(words: list[str], ending: asyncio.Event) -> int | str:
    try:
        process = await asyncio.create_subprocess_exec(*words, preexec_fn=_ends_with_us, env=environment())
    except OSError as fault:
        return str(fault)
    ended, told = asyncio.create_task(process.wait()), asyncio.create_task(ending.wait())
    try:
        await asyncio.wait((ended, told), return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            process.terminate()
            await asyncio.wait((ended,), timeout=ENDS)
    finally:
        told.cancel()
        if not ended.done():
            process.kill()
    return await ended


async def _tolerant(beside: Callable[[], Awaitable[None]]) -> None:
    """What goes on beside it ends nothing when it fails."""
    pause = SOONEST
    while True:
        try:
            await beside()
        except (MayHeal, NeedsPerson, OSError) as fault:
            pause = min(2 * pause, LATEST)
            log.warning("%s; again in %.1f s", fault, pause)
        await asyncio.sleep(pause)


@contextlib.contextmanager
def _locked(files: Files) -> Iterator[None]:
    files.run.mkdir(parents=True, exist_ok=True)
    with files.lock.open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise NeedsPerson(f"etcd of {files.state} is kept by another process already") from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _ends_with_us() -> None:
    """In the child: its parent's death is its own, else its ports and data are in the way of the next."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


# --- from outside -----------------------------------------------------------------------------


def program() -> str:
    """Raises NeedsPerson when there is none."""
    path = shutil.which("etcd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/bin")
    if path is None:
        raise NeedsPerson("etcd is not installed: apt install etcd-server")
    return path


def environment() -> dict[str, str]:
    """At `warn`, 3.4 writes a line for each request that comes by its gateway, as all of ours do."""
    return {"ETCD_LOG_LEVEL": "error", **os.environ}


def version() -> str:
    """Of the etcd that would be started."""
    said = subprocess.run([program(), "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"etcd Version: (\S+)", said)
    return found[1] if found else ""


def keeper(files: Files) -> int:
    """The process that keeps it; 0 for none."""
    try:
        with files.lock.open("r", encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return int(file.read() or 0)
    except (FileNotFoundError, ValueError):
        return 0
    return 0


def start(files: Files, detached: bool) -> None:
    """Kept from now on, also after a boot where systemd runs. Raises NeedsPerson."""
    if SYSTEMD.is_dir() and not detached:
        unit = UNITS / etcd_unit.SERVICE
        replace_file(unit, etcd_unit.service(files), 0o644)
        _systemctl("daemon-reload")
        _systemctl("enable", "--now", unit.name)
        return
    files.run.mkdir(parents=True, exist_ok=True)
    with files.log.open("ab") as out:
        made = subprocess.Popen(
            etcd_unit.command(files),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    _wait(lambda: keeper(files) == made.pid or made.poll() is not None, ENDS)  # so that `stop` finds it


def stop(files: Files, forget: bool = False) -> None:
    """It has ended when this returns. `forget`: not to be started at the next boot either."""
    unit = UNITS / etcd_unit.SERVICE
    if SYSTEMD.is_dir() and unit.exists() and str(files.state) in unit.read_text(encoding="utf-8"):
        _systemctl(*(("disable", "--now") if forget else ("stop",)), unit.name)
        if forget:
            unit.unlink()
            _systemctl("daemon-reload")
    until = time.monotonic() + ENDS + 5
    while pid := keeper(files):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM if time.monotonic() < until else signal.SIGKILL)
        if time.monotonic() > until + 5:
            raise NeedsPerson(f"etcd does not end: look at process {pid}")
        _wait(lambda: not keeper(files), 1.0)


@contextlib.contextmanager
def alone(files: Files) -> Iterator[None]:
    """Within the block etcd runs as the only member of its cluster, whoever was in it before."""
    unit = etcd_unit.load(files)
    assert unit is not None
    with _locked(files), files.log.open("ab") as out:
        words = etcd_unit.argv(unit, files, program(), force=True)
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment()
        )
        try:
            yield
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(ENDS)
            process.kill()
            process.wait()


def _systemctl(*words: str) -> None:
    done = subprocess.run(["systemctl", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NeedsPerson(f"systemctl {' '.join(words)}: {done.stderr.strip() or done.returncode}")


def _wait(true: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not true() and time.monotonic() < until:
        time.sleep(0.02)
