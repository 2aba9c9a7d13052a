"""`standfast why` → the chain of decisions behind the state of a service."""

from typing import Any

from reconciler.cli import client, judge, output

HELP = "explain why a service is as it is: what is wanted, by whom, what blocks it"


def arguments(parser: Any) -> None:
    parser.add_argument("selectors", nargs="+", metavar="SELECTOR", help="name, namespace/name, globs")
    client.options(parser)


def run(args: Any) -> int:
    found = client.get(args, "/v1/services", {"selector": args.selectors})["items"]
    chains = [client.get(args, client.service_path(service, "/why"))["lines"] for service in found]
    names = [judge.name_of(service) for service in found]
    value = {"items": [{"service": n, "lines": lines} for n, lines in zip(names, chains, strict=True)]}
    output.show(args, value, lambda: "\n\n".join(_text(lines) for lines in chains))
    return client.OK


def _text(lines: list[dict[str, Any]]) -> str:
    return "\n".join("  " * line["indent"] + line["text"] for line in lines)
