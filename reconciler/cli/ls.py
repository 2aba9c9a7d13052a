"""`standfast ls` → one line for each service."""

from typing import Any

from reconciler.cli import client, output, tree

HELP = "list services: state, what is wanted, where, and why not"


def arguments(parser: Any) -> None:
    parser.add_argument("selectors", nargs="*", metavar="SELECTOR", help="name, namespace/name, globs")
    parser.add_argument("--names", action="store_true", help="names alone, one a line")
    client.options(parser)


def run(args: Any) -> int:
    found = client.get(args, "/v1/services", {"selector": args.selectors})
    if args.names:
        output.say("\n".join(tree.full_name(service) for service in found["items"]))
    else:
        items = found["items"]
        output.show(
            args, found, lambda: tree.table(items, output.colour(), output.width()) if items else ""
        )
    return client.OK
