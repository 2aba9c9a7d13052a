"""Ways to break a running service from outside, as a person would type them; for the sandbox's keys."""

import asyncio
import os
import re
import shlex
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from reconciler.model import Goal, State
from reconciler.running import Running


@dataclass(frozen=True)
class Damage:
    """One way: the key that does it, what it does, and to which resources it can be done."""

    key: str
    title: str
    kinds: tuple[str, ...]


DAMAGES = (
    Damage("d", "delete the address", ("ip.host",)),
    Damage("k", "kill the program", ("app.simple",)),
    Damage("u", "unmount", ("fs.tmpfs", "fs.bind", "fs.ext4")),
)


@dataclass(frozen=True)
class Target:
    service: str
    rid: str
    kind: str


def targets(agent: Running, damage: Damage) -> list[Target]:
    """Resources that are up and can be broken this way; nothing stands on them but programs."""
    found = []
    for key, record in sorted(agent.records.items()):
        for rid, resource in record.whole.items():
            up = record.goals.get(rid) is Goal.UP and record.seen[rid].state is State.UP
            if up and resource.kind in damage.kinds and not _carries_mount(agent, key, rid):
                found.append(Target(key, rid, resource.kind))
    return found


def _carries_mount(agent: Running, key: str, rid: str) -> bool:
    """A mount below or over it would keep it from being unmounted."""
    record = agent.records[key]
    needed_by = record.last_order.needed_by.get(rid, frozenset())
    return any(rid in record.last_order.stands_on[o] and o.startswith("fs#") for o in needed_by)


async def strike(agent: Running, damage: Damage, target: Target) -> str:
    """Do it, return the command line. It has happened when this returns."""
    record = agent.records[target.service]
    seen, spec = record.seen[target.rid], record.whole[target.rid].spec
    match damage.key:
        case "d":
            return await _typed("ip", "addr", "del", str(seen.data["address"]), "dev", str(spec["dev"]))
        case "u":
            return await _typed("umount", str(spec["mnt"]))
        case _:
            pid = int(re.split(r"\D", seen.identity)[0])
            os.kill(pid, signal.SIGKILL)
            return f"kill -9 {pid}"


async def _typed(*words: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    failed = f"   # {said.decode(errors='replace').strip()}" if process.returncode else ""
    return shlex.join(words) + failed


def edit(agent: Running) -> tuple[str, str] | None:
    """Change a port in a document; returns the service's key and what was done."""
    for path, text in _documents(agent.settings.services):
        if found := re.search(r"^(\s*port:\s*)(\d+)", text, re.M):
            port = 8080 + (int(found[2]) - 8079) % 20
            _replace(path, text.replace(found[0], f"{found[1]}{port}", 1))
            return f"root/{path.stem}", f"sed -i 's/port: {found[2]}/port: {port}/' {path}"
    return None


def spoil(agent: Running) -> tuple[Path, str, Callable[[], None]] | None:
    """Break a document; returns the file, what was done and how to mend it."""
    for path, text in _documents(agent.settings.services):
        if "  resources:" in text:
            _replace(path, text.replace("  resources:", "  resorces:", 1))
            return path, f"sed -i 's/resources:/resorces:/' {path}", partial(_replace, path, text)
    return None


def _documents(root: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted(root.glob("*.yaml")):
        yield path, path.read_text(encoding="utf-8")


def _replace(path: Path, text: str) -> None:
    """As editors do: by rename."""
    fresh = path.with_suffix(".tmp")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
