"""`standfast what-if --node X down` → where each of its services would go, by the decisions of now."""

from typing import Any

from reconciler.cli import client, output

HELP = "show where the services of a node would go if it went down, were drained or frozen"


def arguments(parser: Any) -> None:
    parser.add_argument("change", choices=("down", "drain", "freeze"), help="what becomes of the node")
    parser.add_argument("--node", required=True, dest="which", metavar="NODE", help="which node")
    client.options(parser)


def run(args: Any) -> int:
    found = client.get(args, "/v1/what-if", {"node": args.which, "change": args.change})
    output.show(args, found, lambda: _text(found))
    return client.OK


def _text(found: Any) -> str:
    if not found["items"]:
        return f"{found['node']} holds nothing: nothing would move"
    names = [one["service"].removeprefix("root/") for one in found["items"]]
    width = max(map(len, names))
    lines = [
        f"{name:<{width}}  {found['node']} → {one['to'] or 'nowhere'}: {one['why']}"
        for name, one in zip(names, found["items"], strict=True)
    ]
    return "\n".join(lines)
