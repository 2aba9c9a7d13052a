"""start, stop, freeze and the like → wishes that the agent keeps, and their fulfilment awaited."""

from typing import Any

from reconciler.cli import client, judge, output, wait

HELP = {
    "start": "start services and keep them up, until `stop` or `clear`",
    "stop": "stop services and keep them down, until `start` or `clear`",
    "restart": "stop services, then start them",
    "freeze": "have nothing done to services, or with --node to this host, of its own accord",
    "thaw": "end a freeze",
    "provision": "create what is missing: volumes, filesystems, directories",
    "unprovision": "destroy what was created, with all data on it",
    "purge": "unprovision, and remove the document: nothing is left",
    "clear": "forget failures, spent restarts and what was asked before",
    "abort": "give up what was asked for and is not done yet",
    "switch": "move services to another node, or --to the one that is named",
    "takeover": "have services run on this node",
    "giveback": "move services to the node that comes first for them",
    "drain": "have this node give away all it runs, and take nothing on until `thaw --node`",
}
PARTS = ("start", "stop", "restart", "provision", "unprovision", "clear")
DESTROY = ("unprovision", "purge")
NODE = ("freeze", "thaw", "drain")
OPTIONS = ("upto", "downto", "force", "local", "to", "until_reboot")


def arguments(parser: Any) -> None:
    verb = parser.get_default("command")
    many = "*" if verb in NODE else "+"
    parser.add_argument("selectors", nargs=many, metavar="SELECTOR", help="name, namespace/name, globs")
    if verb in NODE:
        parser.add_argument("--node", action="store_true", help="this whole host")
    if verb in ("freeze", "thaw"):
        parser.add_argument("--cluster", action="store_true", help="all hosts")
    if verb == "drain":
        parser.add_argument("--until-reboot", action="store_true", help="the next boot ends it")
    if verb == "switch":
        parser.add_argument("--to", default="", metavar="NODE", help="to this node")
    if verb == "takeover":
        parser.add_argument(
            "--confirmed-off",
            default="",
            metavar="NODE",
            help="you have seen that this node is off: its services may be taken at once",
        )
        parser.add_argument("--yes", action="store_true", help="do not ask")
    if verb in PARTS:
        parser.add_argument(
            "--rid",
            action="append",
            default=[],
            help="only this resource (fs#app), group (fs), kind (fs.ext4) or tag (tag:web)",
        )
    if verb in ("start", "restart"):
        parser.add_argument("--upto", default="", metavar="GROUP", help="no group after this one (disk)")
    if verb in ("stop", "restart"):
        parser.add_argument("--downto", default="", metavar="GROUP", help="no group before this one")
    if verb in ("start", "stop", "freeze"):
        parser.add_argument(
            "--for", type=output.duration, dest="seconds", metavar="2h", help="end by itself"
        )
    if verb in ("start", "stop", "restart"):
        parser.add_argument("--force", action="store_true", help="override a mark, or what a stop awaits")
    if verb in (*PARTS, "purge"):
        parser.add_argument("--local", action="store_true", help="on this host, once, even while frozen")
    if verb in DESTROY:
        parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--reason", default="", help="shown to others")
    wait_options(parser)
    client.options(parser)


def wait_options(parser: Any) -> None:
    parser.add_argument("--no-wait", action="store_false", dest="wait", help="return at once")
    parser.add_argument("--wait", action="store_true", default=True, help="until it is done (the default)")
    parser.add_argument(
        "--time", type=output.duration, default=wait.LIMIT, metavar="5m", help="wait no longer (5m)"
    )


def run(args: Any) -> int:
    if args.command in NODE and (args.node or _cluster(args) or not args.selectors):
        return _ask_node(args)
    services = client.get(args, "/v1/services", {"selector": args.selectors})["items"]
    if getattr(args, "confirmed_off", ""):
        _confirmed_off(args)
    if args.command in DESTROY and not args.yes:
        _confirm(args, [judge.name_of(service) for service in services])
    asked: list[wait.Asked] = []
    told: list[dict[str, str]] = []
    worst = client.OK
    for service in services:
        key = judge.name_of(service)
        try:
            number = client.post(args, client.service_path(service, "/wish"), body(args))["id"]
        except client.Failed as failure:
            if getattr(args, "confirmed_off", "") and _held_here(args, service):
                asked.append(wait.up(key, args.command))
                continue
            if len(services) == 1 or failure.code == client.NO_AGENT:
                raise
            output.complain(f"{key}: {failure}")
            worst = max(worst, failure.code)
            continue
        told.append({"service": key, "id": number})
        asked.append(wait.wish(key, args.command, number, rids(args), _whole(args)))
    if not args.wait:
        lines = [f"{one['service'].removeprefix('root/')}: {args.command} asked" for one in told]
        output.show(args, {"items": told}, lambda: "\n".join(lines))
        return worst
    return max(worst, wait.until_done(args, asked, args.time))


def body(args: Any) -> dict[str, object]:
    """The wish as the API takes it; options that a verb does not have are left out."""
    made: dict[str, object] = {"verb": args.command}
    given = {"reason": args.reason, "rids": rids(args), "for": getattr(args, "seconds", None)}
    given |= {name: getattr(args, name, None) for name in OPTIONS}
    return made | {name: value for name, value in given.items() if value}


def rids(args: Any) -> list[str]:
    """`--rid a --rid b` and `--rid a,b`."""
    return [rid for word in getattr(args, "rid", []) for rid in word.split(",") if rid]


def _whole(args: Any) -> bool:
    return not (getattr(args, "upto", "") or getattr(args, "downto", ""))


def _cluster(args: Any) -> bool:
    return bool(getattr(args, "cluster", False))


def _ask_node(args: Any) -> int:
    whole = _cluster(args)
    if args.selectors:
        raise client.Failed(client.USAGE, "name services or --node, not both")
    if not (args.node or whole or args.command == "drain"):
        raise client.Failed(client.USAGE, "name services, or --node for this whole host")
    told = client.post(args, "/v1/node/wish", body(args) | ({"scope": "cluster"} if whole else {}))
    if not args.wait:
        output.show(args, told, lambda: f"{'cluster' if whole else 'node'}: {args.command} asked")
        return client.OK
    services = client.get(args, "/v1/services")["items"]
    return wait.until_done(
        args, [wait.node(judge.name_of(s), args.command, whole) for s in services], args.time
    )


def _confirmed_off(args: Any) -> None:
    """If it is not true, two hosts may write to one disk: the name is typed."""
    node = args.confirmed_off
    question = (
        f"If {node} is not off, two hosts may run the same and destroy its data. Type {node} to go on: "
    )
    if not args.yes and not output.confirmed(question, node):
        raise client.Failed(client.REFUSED, f"{node}: not confirmed, nothing was done (--yes confirms)")
    client.post(args, "/v1/node/wish", {"verb": "confirmed-off", "to": node, "reason": args.reason})


def _held_here(args: Any, service: Any) -> bool:
    """Once the session of who had it was closed, this node may have claimed it before it was asked to."""
    status = client.get(args, client.service_path(service))["status"]
    held = [claim["node"] for claim in status.get("claims", ()) if not claim["free"]]
    return status["node"] in held


def _confirm(args: Any, keys: list[str]) -> None:
    """A destroyer of data is asked for by word: the name, typed."""
    for key in keys:
        name = key.removeprefix("root/")
        part = f" ({', '.join(rids(args))})" if rids(args) else ""
        question = f"{args.command} destroys the data of {name}{part} for ever. Type {name} to go on: "
        if not output.confirmed(question, name):
            raise client.Failed(client.REFUSED, f"{name}: not confirmed, nothing was done (--yes confirms)")
