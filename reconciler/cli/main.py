"""A command line → the module of its command, imported alone, and an exit code.

A command module has `HELP` (one line, or one for each command it serves), `arguments(parser)` and
`run(args) -> exit code`; `args.command` is the name it was called by. Modules are imported only
when their command is used: a person waits for every import.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from reconciler.cli import client

COMMANDS = {
    "run": "run",
    "validate": "validate",
    "lint": "lint",
    "apply": "apply",
    "plan": "plan",
    "ls": "ls",
    "status": "status",
    "mon": "mon",
    "why": "why",
    "what-if": "what_if",
    "start": "wishes",
    "stop": "wishes",
    "restart": "wishes",
    "freeze": "wishes",
    "thaw": "wishes",
    "provision": "wishes",
    "unprovision": "wishes",
    "purge": "wishes",
    "clear": "wishes",
    "abort": "wishes",
    "switch": "wishes",
    "takeover": "wishes",
    "giveback": "wishes",
    "drain": "wishes",
    "node": "node",
    "prune": "prune",
    "events": "events",
    "logs": "logs",
    "explain": "explain",
    "convert": "convert",
    "doctor": "doctor",
    "timings": "timings",
    "support-bundle": "support_bundle",
    "cluster": "cluster",
    "shell": "shell",
    "completion": "completion",
}

AHEAD = ("--run", *(f"--{name}" for name, _, _ in client.REMOTE))

EPILOG = """exit codes:
  0  done, or as wanted
  1  failed, or not as wanted
  2  wrong usage
  3  no agent answers
  4  the agent refused (not allowed, or a person must change something first)

`standfast COMMAND --help` explains one command. STANDFAST_RUN names the agent's run directory,
STANDFAST_SERVER, _CERTIFICATE, _KEY and _CA the agent of another host."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code, and tells of failures in one line on stderr."""
    words = list(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: dispatch(words))


def guarded(command: Callable[[], int]) -> int:
    """Its exit code; a failure becomes one line on stderr and its code."""
    try:
        return command()
    except client.Failed as failure:
        print(f"standfast: {failure}", file=sys.stderr)
        return failure.code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader (`head`) has left. Keep the interpreter's own flush at exit from complaining.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return client.FAILED


def parser_of(name: str) -> argparse.ArgumentParser:
    """The parser of one command, its module imported."""
    module = _module(name)
    parser = argparse.ArgumentParser(prog=f"standfast {name}", description=_help(module, name))
    parser.set_defaults(command=name)
    module.arguments(parser)
    return parser


def dispatch(words: list[str]) -> int:
    """Run one command; failures are raised."""
    ahead: list[str] = []
    while words and words[0].partition("=")[0] in AHEAD:  # allowed before the verb, too
        ahead += words[: 1 if "=" in words[0] else 2]
        words = words[1 if "=" in words[0] else 2 :]
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview(), file=sys.stdout if words else sys.stderr)
        return client.OK if words else client.USAGE
    name, *rest = words
    if name in ("-V", "--version", "version"):
        from importlib.metadata import version

        print(f"standfast {version('standfast')}")
        return client.OK
    if name not in COMMANDS:
        raise client.Failed(client.USAGE, f"there is no command {name!r}{_hint(name)}")
    try:
        args = parser_of(name).parse_args(ahead + rest)
    except SystemExit as end:  # argparse has said what is wrong
        return int(end.code or 0)
    return int(_module(name).run(args))


def overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {_help(_module(name), name)}" for name in COMMANDS]
    return "\n".join(["usage: standfast COMMAND [ARGUMENTS]", "", "commands:", *lines, "", EPILOG])


def _module(name: str) -> Any:
    return import_module(f"reconciler.cli.{COMMANDS[name]}")


def _help(module: Any, name: str) -> str:
    text = module.HELP
    return str(text if isinstance(text, str) else text[name])


def _hint(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, COMMANDS, 1)
    return f": did you mean {near[0]!r}?" if near else ": `standfast --help` lists them"


if __name__ == "__main__":
    sys.exit(main())
