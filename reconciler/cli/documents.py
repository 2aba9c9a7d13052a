"""Files and directories named on a command line → documents checked, as the agent here would.

Shared by the commands that need no agent: validate, lint, convert.
"""

import argparse
import os
import socket
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reconciler.cli.client import FAILED, USAGE, Failed
from reconciler.decide.documents import Checked, Home, check, identity
from reconciler.decide.documents.node import read_node
from reconciler.errors import Fault

NODE_FILE = Path("/etc/standfast/node.yaml")


@dataclass(frozen=True)
class Read:
    """A file and what was found in it. `key` is "" when its name is no document's."""

    path: Path
    key: str
    checked: Checked


def options(parser: argparse.ArgumentParser) -> None:
    """Where documents are, and whose eyes to read them with."""
    parser.add_argument("--node", metavar="FILE", type=Path, help=f"the node's settings ({NODE_FILE})")
    parser.add_argument("--as", metavar="NAME", dest="node_name", help="read them as this node would")


def home(args: argparse.Namespace) -> Home:
    """The node as its node.yaml says; without one, this host. Raises Failed on faults in it."""
    path = args.node or NODE_FILE
    settings: dict[str, Any] = {}
    if args.node or path.exists():
        settings, faults = read_node(_content(path), str(path))
        if faults:
            raise Failed(FAILED, "\n".join(map(str, faults)))
    named = args.node_name or settings.get("node") or socket.gethostname()
    fields = ("env", "labels", "cluster_nodes", "services", "state", "run")
    return Home(
        named, root=os.geteuid() == 0, **{name: settings[name] for name in fields if name in settings}
    )


def documents(paths: Iterable[Path], where: Home) -> Iterator[Read]:
    """Every document named, those of a directory in natural order of their paths."""
    for path in paths:
        if path.is_dir():
            yield from _directory(path, where)
        elif not path.exists():
            raise Failed(USAGE, f"{path}: no such file")
        else:
            yield _file(path, where)


def tell(faults: Iterable[Fault]) -> None:
    """One fault after the other, on standard output."""
    for fault in faults:
        print(fault)


def summary(text: str) -> None:
    """What is for people only goes to standard error, so that the faults can be piped."""
    print(text, file=sys.stderr)


def counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _directory(root: Path, where: Home) -> Iterator[Read]:
    """Two files of one key are both refused."""
    found = [(path, identity(path.relative_to(root).as_posix())) for path in sorted(root.rglob("*"))]
    keys = [named[0] for _, named in found if isinstance(named, tuple)]
    for path, named in found:
        if named is None or not path.is_file():
            continue
        if isinstance(named, Fault):
            yield Read(path, "", Checked(None, faults=(replace(named, file=str(path)),)))
            continue
        key, flavour = named
        checked = check(_content(path), str(path), key, flavour, where)
        if keys.count(key) > 1:
            twice = Fault(
                str(path), 0, "", f"is not the only file for {key}.", "Remove all of them but one."
            )
            checked = replace(checked, service=None, faults=(twice, *checked.faults))
        yield Read(path, key, checked)


def _file(path: Path, where: Home) -> Read:
    """A file by itself may be meant for any namespace."""
    named = identity(path.name)
    if isinstance(named, tuple):
        key, flavour = named
        return Read(
            path, key, check(_content(path), str(path), f"/{key.partition('/')[2]}", flavour, where)
        )
    fault = named or Fault("", 0, "", "is not named like a document.", "Documents end in .yaml or .conf.")
    return Read(path, "", Checked(None, faults=(replace(fault, file=str(path)),)))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Failed(USAGE, f"{path}: {error.strerror}") from None
