"""Files and directories named on a command line → documents checked, as the agent here would.

Shared by the commands that need no agent: validate, lint, convert.
"""

import argparse
import os
import socket
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.cli.client import USAGE, Failed
from reconciler.decide.documents import Checked, Flavour, Home, check, identity
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
            raise Failed(1, "\n".join(map(str, faults)))
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
        else:
            yield _file(path, where)


def tell(faults: Iterable[Fault]) -> None:
    """One fault after the other, on standard output."""
    for fault in faults:
        print(fault)


def summary(text: str) -> None:
    """What is for people only goes to standard error, so that the faults can be piped."""
    print(text, file=sys.stderr)


def _directory(root: Path, where: Home) -> Iterator[Read]:
    found = sorted(path for path in root.rglob("*") if path.is_file())
    holders: dict[str, Path] = {}
    for path in found:
        named = identity(path.relative_to(root).as_posix())
        if named is None:
            continue
        if isinstance(named, Fault):
            fault = Fault(str(path), 0, named.path, named.what, named.todo)
            yield Read(path, "", Checked(None, faults=(fault,)))
            continue
        key, flavour = named
        read = Read(path, key, check(_content(path), str(path), key, flavour, where))
        if other := holders.setdefault(key, path) if holders.get(key) != path else None:
            if other != path:
                todo = f"Remove one: {other} or {path}"
                fault = Fault(str(path), 0, "", f"is a second file for {key}.", todo)
                read = Read(path, key, Checked(None, read.checked.document, (*read.checked.faults, fault)))
        yield read


def _file(path: Path, where: Home) -> Read:
    """A file by itself may be meant for any namespace."""
    named = identity(path.name)
    if named is None or isinstance(named, Fault):
        what = named or Fault(
            str(path), 0, "", "is no document's name.", "Documents end in .yaml or .conf."
        )
        return Read(path, "", Checked(None, faults=(Fault(str(path), 0, "", what.what, what.todo),)))
    key, flavour = named
    return Read(path, key, alone(path, key.partition("/")[2], flavour, where))


def alone(path: Path, name: str, flavour: Flavour, where: Home) -> Checked:
    """Check one file whose directory says nothing about its namespace."""
    return check(_content(path), str(path), f"/{name}", flavour, where)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Failed(USAGE, f"{path}: {error.strerror}") from None
