"""What a start left running in its control group, though a check says down → who it is, and its end."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from reconciler.adapters import cgroups, ending
from reconciler.adapters.proc import Process
from reconciler.guard.lines import Program

SHOWN = 5
GRACE = 2.0


async def living(line: Program) -> str:
    """ "sh (4711), sleep (4712)"; "" for nobody."""
    if not line.group:
        return ""
    found = await asyncio.to_thread(cgroups.members, Path(line.group))
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(map(str, found[:SHOWN])) + more


async def end(line: Program) -> str:
    """Its signal, its time, then SIGKILL; "" when all are gone, else who is not."""
    group = Path(line.group)

    async def find() -> Sequence[Process]:
        return await asyncio.to_thread(cgroups.members, group)

    made = await ending.end(find, line.signal, max(line.grace, GRACE), lambda _: cgroups.kill(group))
    cgroups.remove(group)
    return f"not even SIGKILL ends {', '.join(map(str, made.survivors))}" if made.survivors else ""
