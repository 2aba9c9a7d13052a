"""`standfast events` → what happened, and with -f what happens."""

import json
import time
from collections.abc import Mapping
from typing import Any

from reconciler.cli import client, output, tree

HELP = "show what happened, the newest last; -f goes on"


def arguments(parser: Any) -> None:
    parser.add_argument("selector", nargs="?", metavar="SELECTOR", help="of one service")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what happens")
    parser.add_argument("-n", "--lines", type=int, default=100, help="at most so many (default 100)")
    parser.add_argument("--since", type=output.duration, default=86400.0, metavar="2h", help="default: 1d")
    client.options(parser)


def run(args: Any) -> int:
    service = key(args, args.selector) if args.selector else ""
    query = {"seconds": args.since, "service": service, "limit": args.lines}
    if args.follow:
        return follow(args, query)
    found = client.get(args, "/v1/events", query)
    output.show(args, found, lambda: "\n".join(map(line, found["items"])))
    return client.OK


def key(args: Any, selector: str) -> str:
    """The one service that it means; one that is gone is still named by its key."""
    try:
        found = client.get(args, "/v1/services", {"selector": [selector]})["items"]
    except client.Failed as failure:
        if failure.code != client.FAILED or "*" in selector:
            raise
        return selector if "/" in selector else f"root/{selector}"
    if len(found) > 1:
        raise client.Failed(client.USAGE, f"{selector!r} means {len(found)} services: name one")
    meta = found[0]["metadata"]
    return f"{meta['namespace']}/{meta['name']}"


def follow(args: Any, query: Mapping[str, object]) -> int:
    """Until interrupted. A lost agent is waited for, and no event is left out or told twice."""
    last = 0
    while True:
        try:
            for kind, event in client.stream(args, "/v1/events", {**query, "after": last}):
                if kind == "event":
                    last = event["number"]
                    output.say(json.dumps(event) if args.output == "json" else line(event))
        except client.Failed as failure:
            if failure.code != client.NO_AGENT:
                raise
            output.complain(f"{failure}; waiting for it")
            time.sleep(1.0)


def line(event: Mapping[str, Any]) -> str:
    """When, of what, what, how long and why; the output of what failed below it."""
    then = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event["at"]))
    whose = " ".join(part for part in (event["service"].removeprefix("root/"), event["rid"]) if part)
    took = f" [{_took(event['seconds'])}]" if event["seconds"] else ""
    why = f" ({event['reason']})" if event["reason"] else ""
    failed = "" if event["ok"] else "FAILED: "
    text = f"{then} {whose or event['kind']}: {failed}{tree.clean(event['text'])}{took}{why}"
    said = [] if event["ok"] else event["output"].splitlines()
    return "\n".join([text, *(f"    | {tree.clean(one)}" for one in said[-20:])])


def _took(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
