"""`standfast run`: the agent itself, in the foreground; and the sandbox to try it in."""

import argparse
import os
import sys

from reconciler.cli import client

HELP = "the agent: watch a directory of documents and keep their services as wanted"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--services", metavar="DIR", help="watched directory (/etc/standfast/services)")
    parser.add_argument("--state", metavar="DIR", help="what survives a reboot (/var/lib/standfast)")
    parser.add_argument("--run", metavar="DIR", help="socket, lock, records of programs (/run/standfast)")
    parser.add_argument("--node", metavar="FILE", help="settings of this host (/etc/standfast/node.yaml)")
    parser.add_argument("--name", metavar="NODE", help="name of this node (the host name)")
    parser.add_argument(
        "--once", action="store_true", help="converge, print, leave services up, exit 0 or 1"
    )
    parser.add_argument(
        "--time", type=float, default=300.0, metavar="S", help="with --once: at most so long"
    )
    parser.add_argument("--stop-on-exit", action="store_true", help="stop all services before leaving")
    parser.add_argument("--metrics", metavar="ADDRESS", help='HOST:PORT of the metrics, "" for none')
    parser.add_argument("--log", choices=("text", "json"), help="form of the log on stderr")
    parser.add_argument("--no-events", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--look-every", type=float, metavar="S", help="seconds between periodic looks (30)")
    parser.add_argument(
        "--sandbox",
        action="store_true",
        help="in namespaces of its own, on copies, with directories of its own; always stops everything",
    )
    parser.add_argument(
        "--tour", action="store_true", help="with --sandbox: play the tour by itself, then exit"
    )
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    if args.sandbox and not args.inside:
        return _enter_sandbox(args)
    import asyncio

    from reconciler.cli import foreground
    from reconciler.engine import watch

    settings = foreground.settings_of(args)
    watch.load()
    if args.sandbox and args.once:
        args.stop_on_exit = True
    elif args.sandbox:
        from reconciler.cli import tour

        return asyncio.run(tour.play(settings, by_itself=args.tour or not sys.stdin.isatty()))
    return asyncio.run(foreground.keep(settings, args))


def _enter_sandbox(args: argparse.Namespace) -> int:
    from pathlib import Path

    from reconciler.adapters import sandbox

    if given := [f"--{name}" for name in ("state", "run", "node") if getattr(args, name)]:
        raise client.Failed(client.USAGE, f"a sandbox has directories of its own: leave {given[0]} out")
    examples = Path(args.services or "examples/services")
    if not examples.is_dir():
        raise client.Failed(client.USAGE, f"{examples} is no directory: name one with --services DIR")
    try:
        root = sandbox.prepare(examples)
    except OSError as fault:
        raise client.Failed(client.FAILED, f"no sandbox: {fault}") from None
    (root / "run").mkdir()
    words = [sys.executable, "-m", "reconciler.cli.main", "run", "--inside", "--sandbox"]
    words += [
        "--services",
        str(root / "services"),
        "--state",
        str(root / "state"),
        "--run",
        str(root / "run"),
    ]
    words += ["--once", "--time", str(args.time)] if args.once else []
    words += ["--tour"] if args.tour or os.environ.get("ONCE") == "1" else []
    if why := sandbox.trial():
        print(f"This machine does not let us make a bridge and a mount in namespaces: {why}")
        print("Playing the part that needs none: files and programs of your own.\n")
        _leave_out(root / "services", ("host", "route", "tmpfs", "bind", "loop"))
        os.execv(words[0], words)
    if os.geteuid():
        _leave_out(root / "services", ("loop",))
    return sandbox.run(words, root / "run" / "sandbox.pid")


def _leave_out(services: "os.PathLike[str]", types: tuple[str, ...]) -> None:
    """Take away the copies of examples that cannot work here."""
    for entry in os.scandir(services):
        with open(entry.path, encoding="utf-8") as file:
            text = file.read()
        if any(f"type: {word}" in text for word in types):
            print(f"left out, it needs more rights: {entry.name}")
            os.unlink(entry.path)
