"""`standfast prune` → what removal is held back, and with --confirm its end."""

from typing import Any

from reconciler.cli import client, output

HELP = "show services whose removal is held back; --confirm removes them"


def arguments(parser: Any) -> None:
    parser.add_argument("--confirm", action="store_true", help="yes, their documents are gone on purpose")
    client.options(parser)


def run(args: Any) -> int:
    held = client.get(args, "/v1/node")["prune_held"]
    if args.confirm and held:
        removed = client.post(args, "/v1/prune", {})
        output.show(args, removed, lambda: f"removed: {', '.join(removed['pruned']) or 'nothing'}")
        return client.OK
    names = ", ".join(held)
    hint = f"held back: {names}\ntheir documents are gone: `standfast prune --confirm` removes them"
    output.show(args, {"prune_held": held}, lambda: hint if held else "nothing is held back")
    return client.FAILED if held else client.OK
