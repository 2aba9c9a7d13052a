"""`standfast node maintenance` → this host's session is kept open whatever happens, until that is ended."""

from typing import Any

from reconciler.cli import client, output

HELP = "maintenance of this host: nobody takes over its services meanwhile"


def arguments(parser: Any) -> None:
    parser.add_argument("what", choices=("maintenance",), help="nobody closes this host's session")
    parser.add_argument("--off", action="store_true", help="end it")
    parser.add_argument("--reason", default="", help="shown to others")
    client.options(parser)


def run(args: Any) -> int:
    to = "off" if args.off else "on"
    told = client.post(args, "/v1/node/wish", {"verb": args.what, "to": to, "reason": args.reason})
    said = (
        "maintenance is over: this host's session is closed again when it is not renewed"
        if args.off
        else "in maintenance: nobody takes over from this host, and nothing stops it, until --off"
    )
    output.show(args, told, lambda: said)
    return client.OK
