"""Changes as the agent tells them → a page drawn again at each, until interrupted."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from reconciler.cli import client, judge, output

AGAIN = 1.0  # seconds before a lost agent is looked for again
CLEAR = "\x1b[H\x1b[J"

Draw = Callable[[Mapping[str, Any], Sequence[Any]], None]
"""Shows the agent's node object and the services, by name."""


def live(args: Any, draw: Draw) -> int:
    """A lost agent is waited for. Raises client.Failed for anything else."""
    while True:
        try:
            _follow(args, draw)
        except client.Failed as failure:
            if failure.code != client.NO_AGENT:
                raise
            output.say(f"{clear()}{failure}\nwaiting for it…")
            time.sleep(AGAIN)


def clear() -> str:
    """What empties the screen, "" where there is none."""
    return CLEAR if output.width() else ""


def _follow(args: Any, draw: Draw) -> None:
    node = client.get(args, "/v1/node")
    known: dict[str, Any] = {}
    complete = False
    for kind, thing in client.stream(args, "/v1/watch", {"selector": args.selectors}):
        if kind == "service":
            known[judge.name_of(thing)] = thing
        elif kind == "deleted":
            known.pop(judge.name_of(thing), None)
        elif kind == "node":
            node = thing
        complete = complete or kind == "ready"
        if complete and kind in ("service", "deleted", "node", "ready"):
            draw(node, [known[key] for key in sorted(known)])
