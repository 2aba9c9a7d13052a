"""`standfast support-bundle` → one file with all that somebody else needs to understand what was decided.

With `--case` it makes a golden case of a single decision instead, for `tests/golden`.
"""

import io
import json
import os
import re
import tarfile
import time
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.cli import client, output
from reconciler.cli.doctor import NODE_FILE

HELP = "write what others need to help: decisions with all they were taken on, documents, events, status"
EVENTS = 5000
LARGEST = 1 << 20  # bytes of one document
SECRET = re.compile(r"pass(word|wd|phrase)?|secret|token|credential|community|(^|_)key", re.IGNORECASE)
LEFT_OUT = "(left out)"


def arguments(parser: Any) -> None:
    parser.add_argument(
        "--run", metavar="DIR", help="the agent's run directory (STANDFAST_RUN, /run/standfast)"
    )
    parser.add_argument("--service", metavar="NAME", help="only of this service")
    parser.add_argument("-o", "--output", metavar="FILE", help="default: standfast-NODE-TIME.tar.gz here")
    parser.add_argument("--node", metavar="FILE", help=f"this host's settings ({NODE_FILE})")
    parser.add_argument(
        "--case", metavar="DIR", help="make a golden case of one decision there, and no bundle"
    )
    parser.add_argument(
        "--number", type=int, metavar="N", help="of --case: which decision (default: the last)"
    )


def run(args: Any) -> int:
    client.here_only(args, "a bundle has files of the agent's host")
    key = "" if not args.service else args.service if "/" in args.service else f"root/{args.service}"
    kept = client.get(args, "/v1/decisions", {"service": key} if key else {})["items"]
    if args.case:
        return _case(args, kept, key)
    node = client.get(args, "/v1/node")
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    base = f"standfast-{node['name']}-{stamp}"
    path = args.output or f"{base}.tar.gz"
    told = _written(path, base, _files(args, key, kept, node))
    output.say("\n".join([f"{path}: readable by you alone; it has", *(f"  {line}" for line in told)]))
    output.say(
        "Documents, and output of commands, are in it as they are: look through it before you give it away."
    )
    return client.OK


def _case(args: Any, kept: list[Any], key: str) -> int:
    from reconciler.cli import kept_case

    if args.number is not None:
        kept = [one for one in kept if one["number"] == args.number]
    if not kept:
        which = f"decision {args.number}" if args.number is not None else "decision"
        raise client.Failed(client.FAILED, f"the agent has kept no {which} about {key or 'any service'}")
    for path in kept_case.make(args.case, kept[-1]):
        output.say(path)
    return client.OK


def _written(path: str, base: str, files: Iterator[tuple[str, str, str]]) -> list[str]:
    """What was put in, a line each."""
    told: dict[str, int] = {}
    try:
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as fault:
        raise client.Failed(client.FAILED, f"{path} cannot be written: {fault.strerror}") from None
    with os.fdopen(opened, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as bundle:
        for name, text, what in files:
            content = text.encode()
            entry = tarfile.TarInfo(f"{base}/{name}")
            entry.size, entry.mode, entry.mtime = len(content), 0o600, int(time.time())
            bundle.addfile(entry, io.BytesIO(content))
            told[what] = told.get(what, 0) + 1
    return [what if number == 1 else f"{what} ({number} files)" for what, number in told.items()]


def _files(args: Any, key: str, kept: list[Any], node: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Name in the bundle, text, and what it is."""
    from importlib.metadata import version

    from reconciler.cli import kept_case

    version_text = f"standfast {version('standfast')}; the agent: {node['version']}\n"
    yield "version.txt", version_text, "version.txt: of the command and of the agent"
    yield "node.json", _json(node), "node.json: the agent and its host, as it tells of them"
    services = client.get(args, "/v1/services", {"selector": [key]} if key else {})["items"]
    yield "status.json", _json({"items": services}), "status.json: services, as `status -o json`"
    for service in services:
        name = client.service_path(service).removeprefix("/v1/services/").replace("/", "-")
        lines = client.get(args, client.service_path(service, "/why"))["lines"]
        text = "".join(f"{'  ' * line['indent']}{line['text']}\n" for line in lines)
        yield f"why/{name}.txt", text, "why/: as `standfast why` says it now"
    events = client.get(args, "/v1/events", {"limit": EVENTS, **({"service": key} if key else {})})
    yield "events.json", _json(events), f"events.json: of the last day, {EVENTS} at most"
    yield from _documents(args, key)
    for one in kept:
        for name, text in kept_case.files(one).items():
            yield f"cases/{kept_case.name_of(one)}/{name}", text, "cases/: decisions, as in tests/golden"
    yield from _settings(args.node or NODE_FILE)


def _documents(args: Any, key: str) -> Iterator[tuple[str, str, str]]:
    listed = client.get(args, "/v1/documents")["items"]
    listed = [one for one in listed if key in ("", one["key"])]
    yield "documents.json", _json({"items": listed}), "documents.json: files in the directory, with faults"
    for one in listed:
        try:
            with open(one["path"], encoding="utf-8", errors="replace") as file:
                text = file.read(LARGEST)
        except OSError as fault:
            text = f"could not be read by {os.geteuid()}: {fault.strerror}\n"
        name = one["path"].lstrip("/").replace("/", "-")
        yield f"documents/{name}", text, "documents/: those files as they are"


def _settings(path: str) -> Iterator[tuple[str, str, str]]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        with open(path, encoding="utf-8") as file:
            tree = YAML(typ="safe").load(file)
    except (OSError, UnicodeDecodeError, YAMLError) as fault:
        what = fault.strerror if isinstance(fault, OSError) else "is no YAML"
        yield "node.yaml", f"# {path}: {what}\n", "node.yaml: could not be read"
        return
    yield "node.yaml", output.yaml_text(without_secrets(tree)) + "\n", "node.yaml: without secrets"


def without_secrets(tree: Any, inside: str = "") -> Any:
    """What looks secret by its name is left out, and of fence agents all options but where they lead."""
    if isinstance(tree, dict):
        return {name: _kept(str(name), one, inside) for name, one in tree.items()}
    return [without_secrets(one, inside) for one in tree] if isinstance(tree, list) else tree


def _kept(name: str, value: Any, inside: str) -> Any:
    if isinstance(value, dict | list):
        return without_secrets(value, name)
    secret = SECRET.search(name) or (inside == "options" and name not in ("ip", "ipport", "plug", "port"))
    # Where a key lies is no secret: etcd.key is a path.
    path = isinstance(value, str) and value.startswith("/")
    return LEFT_OUT if secret and not path else value


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
