"""`standfast status` → the tree of each service; 0 when all of them are as wanted."""

from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.cli import client, judge, output, tree

HELP = "show services and their resources as a tree; exit 0 only if all are as wanted"


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
    """Draw again at every change."""
    from reconciler.cli import live  # only who watches waits for it

    return live.live(
        args,
        lambda _node, services: output.show(
            args, {"items": services}, lambda: live.clear() + page(services)
        ),
    )
