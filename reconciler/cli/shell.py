"""`standfast shell`: a shell inside the namespaces of the sandbox that is running."""

import argparse
import os

from reconciler.cli import client

HELP = "a shell inside the running sandbox"


def arguments(parser: argparse.ArgumentParser) -> None:
    client.options(parser)
    parser.add_argument("words", nargs="*", metavar="COMMAND", help="a command instead of a shell")


def run(args: argparse.Namespace) -> int:
    from reconciler.adapters import sandbox

    run_dir = args.run or os.environ.get("STANDFAST_RUN") or str(sandbox.base() / "run")
    pid_file = os.path.join(run_dir, "sandbox.pid")
    try:
        with open(pid_file, encoding="ascii") as file:
            pid = int(file.read())
        os.kill(pid, 0)
    except (OSError, ValueError):
        raise client.Failed(
            client.NO_AGENT, f"no sandbox runs ({pid_file}): start one with `make run`"
        ) from None
    os.environ["STANDFAST_RUN"] = run_dir
    os.environ.pop("STANDFAST_SERVER", None)  # the agent in there is meant
    os.environ["PS1"] = "sandbox# "
    words = sandbox.enter(pid, args.words or [os.environ.get("SHELL", "/bin/sh")])
    os.execvp(words[0], words)
