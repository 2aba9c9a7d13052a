"""`standfast status` → the tree of each service; 0 when all of them are as wanted."""

from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.cli import client, judge, output, tree

HELP = "show services and their resources as a tree; exit 0 only if all are as wanted"
AGAIN = 1.0  # seconds before a lost agent is looked for again
CLEAR = "\x1b[H\x1b[J"


def arguments(parser: Any) -> None:
    parser.add_argument("selectors", nargs="*", metavar="SELECTOR", help="name, namespace/name, globs")
    parser.add_argument("-w", "--watch", action="store_true", help="go on showing what changes")
    client.options(parser)


def run(args: Any) -> int:
    if args.watch:
        return watch(args)
    found = client.get(args, "/v1/services", {"selector": args.selectors})
    refused: list[Any] = []
    if not args.selectors and args.output == "table":
        refused = client.get(args, "/v1/documents", {"faulty": "true"})["items"]
    output.show(args, found, lambda: page(found["items"], refused))
    good = all(judge.as_wanted(service) for service in found["items"]) and not refused
    return client.OK if good else client.FAILED


def page(services: Iterable[Mapping[str, Any]], refused: Iterable[Mapping[str, Any]] = ()) -> str:
    """All trees, and below them the documents that are not fit to be in force."""
    colour, width = output.colour(), output.width()
    parts = [tree.render(service, colour, width) for service in services]
    for document in refused:
        head = f"{document['path']}: refused; `standfast validate` says this:"
        parts.append("\n".join([head, *map(fault_text, document["faults"])]))
    return (
        "\n\n".join(parts) or "no services: put a document into the watched directory, or `standfast apply`"
    )


def fault_text(fault: Mapping[str, Any]) -> str:
    """As `reconciler.errors.Fault` prints."""
    where = f"{fault['file']}:{fault['line']}" if fault["line"] else fault["file"]
    place = f"{fault['path']}: " if fault["path"] else ""
    todo = f"\n    {fault['todo']}" if fault["todo"] else ""
    return f"{where}: {place}{fault['what']}{todo}"


def watch(args: Any) -> int:
    """Draw again at every change, until interrupted; a lost agent is waited for."""
    import time

    while True:
        try:
            _follow(args)
        except client.Failed as failure:
            if failure.code != client.NO_AGENT:
                raise
            output.say(f"{_clear()}{failure}\nwaiting for it…")
            time.sleep(AGAIN)


def _follow(args: Any) -> None:
    known: dict[str, Any] = {}
    complete = False
    for kind, thing in client.stream(args, "/v1/watch", {"selector": args.selectors}):
        if kind == "service":
            known[judge.name_of(thing)] = thing
        elif kind == "deleted":
            known.pop(judge.name_of(thing), None)
        elif kind == "ready":
            complete = True
        if complete and kind in ("service", "deleted", "ready"):
            services = [known[key] for key in sorted(known)]
            output.show(args, {"items": services}, lambda: _clear() + page(services))  # noqa: B023  # used at once


def _clear() -> str:
    return CLEAR if output.width() else ""
