"""`standfast cluster …`: the store that several hosts share, from the first host to the last."""

from argparse import SUPPRESS
from typing import Any

from reconciler.cli import client

HELP = "several hosts with one store: init, join, witness, token, status, leave, recover, accept-store"

WORDS = {
    "init": "make a cluster, with this host as its first",
    "join": "enter a cluster by a token, as a node that votes",
    "witness": "enter a cluster by a token, as a third machine that only votes",
    "token": "print a line by which one more host can join",
    "status": "members, leader, voters, sessions, and what to worry about",
    "leave": "leave the cluster, or take a lost member out of it",
    "recover": "go on alone after the loss of most voters, with a new store",
    "accept-store": "take the store that answers for ours, after a recovery or a restore",
    "etcd": "keep this host's etcd running (what standfast-etcd.service starts)",
}


def arguments(parser: Any) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    made = {name: verbs.add_parser(name, help=text, description=text) for name, text in WORDS.items()}
    for one in made.values():
        one.add_argument("--node", metavar="FILE", help="this host's settings (/etc/standfast/node.yaml)")
        one.add_argument("--state", metavar="DIR", help="where etcd's data and certificates are")
        one.add_argument("--run", metavar="DIR", help="the agent's run directory")
        one.add_argument(
            "--name", metavar="NODE", help="the name of this host, if other than its host name"
        )
        one.add_argument("--detached", action="store_true", help=SUPPRESS)
    _listening(made)
    for name in ("join", "witness"):
        made[name].add_argument("--token", required=True, help="what `standfast cluster token` printed")
    made["join"].add_argument(
        "--accept-two-voters", action="store_true", help="without a witness: the loss of either stops both"
    )
    made["join"].add_argument(
        "--without-etcd", action="store_true", help="do not vote: use the others' etcd"
    )
    made["init"].add_argument("--failover-time", metavar="TIME", help="fast, default, conservative or 20s")
    for name in ("init", "token"):
        _valid(made[name])
    for name in ("token", "status"):
        made[name].add_argument("-o", "--output", choices=("table", "json", "yaml"), default="table")
    leave = made["leave"]
    leave.add_argument("--member", metavar="NODE", help="take this one out, whose machine is lost")
    leave.add_argument("--local", action="store_true", help="without asking the cluster, which knows")
    leave.add_argument("--keep-documents", action="store_true", help="this host may run them alone")
    made["recover"].add_argument(
        "--confirmed-off", required=True, metavar="NODE[,NODE]", help="hosts that are off, for sure"
    )
    for name in ("leave", "recover", "accept-store"):
        made[name].add_argument("--yes", action="store_true", help="do not ask")


def _listening(made: dict[str, Any]) -> None:
    for name in ("init", "join", "witness"):
        one = made[name]
        needed = name != "join"
        one.add_argument("--listen", metavar="ADDRESS", required=needed, help="this host's, for the others")
        one.add_argument("--client-port", type=int, default=2379, help="of etcd (2379)")
        one.add_argument("--peer-port", type=int, default=2380, help="of etcd, for its members (2380)")
        one.add_argument("--enrol-port", type=int, default=2381, help="for those who join (2381)")


def _valid(parser: Any) -> None:
    from reconciler.cli.output import duration

    parser.add_argument(
        "--valid", type=duration, default=3600.0, metavar="TIME", help="how long a token is good (1h)"
    )


def run(args: Any) -> int:
    from reconciler.cli import cluster_init, cluster_join, cluster_leave, cluster_recover, cluster_status
    from reconciler.cli.cluster_place import act, of
    from reconciler.decide.voters import Kind
    from reconciler.errors import NeedsPerson

    try:
        host = of(args)
    except NeedsPerson as fault:
        raise client.Failed(client.REFUSED, str(fault)) from None
    if args.verb == "etcd":
        return _etcd(host)
    if args.verb == "join":
        kind = Kind.CLIENT if args.without_etcd else Kind.NODE
        return act(cluster_join.join(host, args, kind))
    if args.verb == "witness":
        args.accept_two_voters = True
        return act(cluster_join.join(host, args, Kind.WITNESS))
    work = {
        "init": cluster_init.init,
        "token": cluster_init.token,
        "status": cluster_status.status,
        "leave": cluster_leave.leave,
        "recover": cluster_recover.recover,
        "accept-store": cluster_recover.accept_store,
    }[args.verb]
    return act(work(host, args))


def _etcd(host: Any) -> int:
    from reconciler.adapters import etcd_keeper
    from reconciler.adapters.etcd_beside import beside
    from reconciler.cli.cluster_place import act
    from reconciler.cli.foreground import start_log

    async def keep() -> int:
        await etcd_keeper.supervise(host.files, lambda: beside(host.files))
        return client.OK

    start_log(host.settings.log_format)
    return act(keep())
