"""A node and its fence → the agent is run, its options on standard input, as all of them take them."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from reconciler.asks import Check, CheckResult
from reconciler.model import Owner
from reconciler.settings import Fence

RunCheck = Callable[[Owner, Check], Awaitable[CheckResult]]


async def fence(node: str, how: Fence, run: Path, run_check: RunCheck) -> str:
    """ "" when the agent says that the node is off; else what it said. `run`: our run directory."""
    options = {"action": "off", "plug": node, **how.options}
    path = run / "fences" / node
    await asyncio.to_thread(_write, path, "".join(f"{name}={value}\n" for name, value in options.items()))
    command = Check(("sh", "-c", 'exec "$0" < "$1"', how.agent, str(path)), timeout=how.timeout)
    ended = await run_check(Owner(f"fence/{node}"), command)
    if ended.code == 0:
        return ""
    last = (ended.output or "").strip().splitlines()[-1:] or ["it said nothing"]
    return f"{how.agent} ended with {ended.code}: {last[0]}" if ended.code is not None else last[0]


def _write(path: Path, text: str) -> None:
    """Passwords may be in it: for our own user alone."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
