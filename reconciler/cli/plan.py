"""`standfast plan` → what would be done now, what would follow, and what waits for what."""

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.cli import client, output

HELP = "show what would be done now and then, command by command, and what waits"


def arguments(parser: Any) -> None:
    parser.add_argument("selectors", nargs="*", metavar="SELECTOR", help="name, namespace/name, globs")
    parser.add_argument(
        "--offline", action="store_true", help="of document files, without an agent: plan --offline FILE…"
    )
    client.options(parser)


def run(args: Any) -> int:
    if args.offline:
        return _offline(args)
    found = client.get(args, "/v1/services", {"selector": args.selectors})["items"]
    plans = {_name(service): client.get(args, client.service_path(service, "/plan")) for service in found}
    value = {"items": [{"service": name, **plan} for name, plan in plans.items()]}
    output.show(args, value, lambda: "\n\n".join(text(name, plan) for name, plan in plans.items()))
    return client.OK


def _offline(args: Any) -> int:
    """Plans of files as they are, from what this user can see of the host."""
    import asyncio
    from pathlib import Path

    from reconciler.cli import foreground
    from reconciler.errors import Refused

    if not args.selectors:
        raise client.Failed(client.USAGE, "name the files: standfast plan --offline FILE…")
    from reconciler.daemon import foretell

    try:
        documents = {Path(path).name: Path(path).read_text(encoding="utf-8") for path in args.selectors}
        plans = asyncio.run(foretell(foreground.node_settings(args.run), documents))
    except OSError as fault:
        raise client.Failed(client.FAILED, f"{fault.filename}: {fault.strerror}") from None
    except Refused as refused:
        raise client.Failed(client.FAILED, str(refused)) from None
    value = {"items": [{"service": name, **plan} for name, plan in plans.items()]}
    output.show(args, value, lambda: "\n\n".join(text(name, plan) for name, plan in plans.items()))
    return client.OK


def text(name: str, plan: Mapping[str, Any]) -> str:
    """A plan as a person reads it; one that is empty says so."""
    empty = not any(plan[part] for part in ("now", "then", "waiting"))
    return "\n".join([f"{name}: nothing to do" if empty else f"{name}:", *_lines(plan)])


def _lines(plan: Mapping[str, Any]) -> Iterator[str]:
    for note in plan.get("notes", ()):
        yield f"  {note}"
    for when in ("now", "then"):
        if plan[when]:
            yield f"  {when}"
        for step in plan[when]:
            yield f"    {step['rid']} {step['act']}" + (f" ({step['why']})" if step["why"] else "")
            for operation in step["operations"]:
                yield f"      {operation}"
    if plan["waiting"]:
        yield "  waiting"
    for one in plan["waiting"]:
        yield f"    {one['rid']} {one['why']}"


def _name(service: Mapping[str, Any]) -> str:
    return f"{service['metadata']['namespace']}/{service['metadata']['name']}"
