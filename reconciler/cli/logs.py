"""`standfast logs` → the events of a service, and what its programs wrote."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reconciler.cli import client, events, output, tree

HELP = "show the events of a service and the output of its programs"
LOOK = 0.5  # seconds between two looks at the files


def arguments(parser: Any) -> None:
    parser.add_argument("selector", metavar="SELECTOR", help="name or namespace/name")
    parser.add_argument("--rid", default="", help="only this resource (app#web)")
    parser.add_argument("-n", "--lines", type=int, default=50, help="of each at most so many (default 50)")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what is written")
    parser.add_argument("--since", type=output.duration, default=86400.0, metavar="2h", help="default: 1d")
    client.options(parser)


def run(args: Any) -> int:
    key = events.key(args, args.selector)
    state = client.get(args, "/v1/node")["paths"]["state"]
    # The output of programs is in files of the agent's host; its events come by the API.
    found = {} if client.is_remote(args) else output_files(Path(state), key, args.rid)
    past = client.get(args, "/v1/events", {"seconds": args.since, "service": key, "limit": 10 * args.lines})
    happened = [one for one in past["items"] if args.rid in ("", one["rid"])][-args.lines :]
    sizes = {rid: _size(path) for rid, path in found.items()}
    written = {rid: tail(path, sizes[rid], args.lines) for rid, path in found.items()}
    value = {"events": happened, "output": written}
    output.show(args, value, lambda: text(value))
    if args.follow:
        follow(args, key, found, sizes, happened[-1]["number"] if happened else 0)
    return client.OK


def output_files(state: Path, key: str, rid: str = "") -> dict[str, Path]:
    """Where the programs of a service write, by rid."""
    start = key.replace("/", ".") + "."
    found = sorted((state / "log").glob(f"{start}*#*.log"))
    rids = {path.name.removeprefix(start).removesuffix(".log"): path for path in found}
    # A service called a.b has files that begin like those of a.
    own = {one: path for one, path in rids.items() if "." not in one.partition("#")[0]}
    return {one: path for one, path in own.items() if rid in ("", one)}


def tail(path: Path, size: int, lines: int) -> list[str]:
    """The last lines of the first `size` bytes; an unreadable file says so in one."""
    start = max(0, size - 400 * lines)
    try:
        with path.open("rb") as file:
            file.seek(start)
            content = file.read(size - start)
    except OSError as fault:
        return [f"cannot read {path}: {fault.strerror}"]
    return content.decode(errors="replace").splitlines()[-lines:]


def text(value: Mapping[str, Any]) -> str:
    parts = [events.line(event) for event in value["events"]]
    for rid, lines in value["output"].items():
        parts += [f"--- output of {rid}", *map(tree.clean, lines)]
    return "\n".join(parts)


def follow(args: Any, key: str, found: Mapping[str, Path], sizes: dict[str, int], last: int) -> None:
    """Events and what the files grow by beyond `sizes`, until interrupted."""
    query = {"service": key, "heartbeat": LOOK, "after": last}
    while True:
        try:
            for kind, event in client.stream(args, "/v1/events", query):
                if kind == "event":
                    query["after"] = event["number"]
                if kind == "event" and args.rid in ("", event["rid"]):
                    output.say(events.line(event))
                for rid, path in found.items():
                    sizes[rid] = _grown(rid, path, sizes[rid])
        except client.Failed as failure:
            if failure.code != client.NO_AGENT:
                raise
            time.sleep(LOOK)


def _grown(rid: str, path: Path, size: int) -> int:
    """Print what came; a file that shrank was rotated and is read from its start."""
    now = _size(path)
    if now == size:
        return size
    start = size if now > size else 0
    try:
        with path.open("rb") as file:
            file.seek(start)
            content = file.read(now - start)
    except OSError:
        return size
    for line in content.decode(errors="replace").splitlines():
        output.say(f"{rid} | {tree.clean(line)}")
    return now


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
