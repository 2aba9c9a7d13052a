"""`om svc1 start --local` → the same in our words: OpenSVC's order, selector first.

What has no counterpart on one host says so, and what to do instead.
"""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from reconciler.cli import client, output
from reconciler.cli.main import dispatch, guarded

USAGE = """usage: om SELECTOR VERB [OPTIONS] | om mon | om node freeze|thaw | om SELECTOR print status

verbs: {verbs}
       print status, print config, edit config, validate config, set provisioned, create, delete

Selectors are OpenSVC's (svc1, prod/svc/web, '*/svc/*') or ours (prod/web, 'prod/*')."""

SAME = (
    "start",
    "stop",
    "restart",
    "freeze",
    "thaw",
    "provision",
    "unprovision",
    "purge",
    "clear",
    "abort",
    "switch",
    "takeover",
    "giveback",
    "status",
    "logs",
    "why",
    "plan",
)
RENAMED = {"unfreeze": "thaw", "list": "ls", "monitor": "mon", "deploy": "provision"}
ALONE = {
    "get": "`om SELECTOR print config` shows the document",
    "set": "`om SELECTOR edit config` changes the document",
    "unset": "`om SELECTOR edit config` changes the document",
    "sync": "replicate with a task of your own",
    "run": "tasks are not supported yet",
}
SEEN = 5.0
"""Seconds in which an agent sees a new document."""
NOTHING_TO_SET = """nothing to set: what exists is seen as provisioned without being told.
`standfast status` marks with P what is missing; `standfast provision` creates it"""


def main(argv: Sequence[str] | None = None) -> int:
    """The `om` command; the exit codes are those of `standfast`."""
    words = list(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: _dispatch(words))


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(USAGE.format(verbs=", ".join(SAME)))
        return client.OK if words else client.USAGE
    first, *rest = words
    if first in ("mon", "monitor"):
        return dispatch(["mon", *rest])
    if first in ("node", "daemon", "cluster"):
        return _node(first, rest)
    if not rest:
        return dispatch(["status", selector(first)])
    verb, *rest = rest
    verb = RENAMED.get(verb, verb)
    if verb in ("print", "edit", "validate", "set") and rest and not rest[0].startswith("-"):
        verb, rest = f"{verb} {rest[0]}", rest[1:]
    return _verb(selector(first), verb, rest)


def _verb(name: str, verb: str, rest: list[str]) -> int:
    actions: dict[str, Callable[[], int]] = {
        "print status": lambda: dispatch(["status", name, *_without(rest, "-r", "--refresh")]),
        "ls": lambda: dispatch(["ls", "--names", name, *rest]),
        "mon": lambda: dispatch(["mon", name, *rest]),
        "print config": lambda: _on_document(name, rest, _print_config),
        "validate config": lambda: _on_document(name, rest, _validate),
        "edit config": lambda: _on_document(name, rest, _edit),
        "delete": lambda: _on_document(name, rest, _delete),
        "create": lambda: _create(name, rest),
        "set provisioned": lambda: _say(NOTHING_TO_SET),
    }
    if verb in actions:
        return actions[verb]()
    if verb in SAME:
        # The guide also names a resource without an option: om svc1 stop --local app#web
        rids = [part for word in rest for part in (("--rid", word) if _is_rid(word) else (word,))]
        return dispatch([verb, name, *_once(rids)])
    if (why := ALONE.get(verb.partition(" ")[0])) is not None:
        raise client.Failed(client.USAGE, f"om {verb}: {why}")
    raise client.Failed(client.USAGE, f"there is no {verb!r}: `om --help` lists what there is")


def selector(word: str) -> str:
    """`ns/kind/name` in our words; the kind is always svc."""
    parts = word.split("/")
    if len(parts) == 3:
        if parts[1] not in ("svc", "*"):
            raise client.Failed(client.USAGE, f"{word}: only objects of the kind svc are known")
        return f"{parts[0]}/{parts[2]}"
    if len(parts) == 2 and parts[0] == "svc":
        return parts[1]
    return "*/*" if word in ("*", "**") else word


def _node(first: str, rest: list[str]) -> int:
    verb = RENAMED.get(rest[0], rest[0]) if rest else ""
    if verb in ("freeze", "thaw"):
        return dispatch([verb, "--cluster" if first == "cluster" else "--node", *rest[1:]])
    if first == "node" and verb == "drain":
        return dispatch([verb, *rest[1:]])
    if first == "daemon" and verb == "status":
        return dispatch(["mon", *rest[1:]])
    raise client.Failed(
        client.USAGE, f"om {first} {verb}: has no counterpart here; `standfast --help` lists all"
    )


def _is_rid(word: str) -> bool:
    return "#" in word and not word.startswith("-")


def _once(words: list[str]) -> list[str]:
    """`--rid --rid app#web`, made of `--rid app#web`, is one."""
    return [
        word for n, word in enumerate(words) if not (word == "--rid" and words[n + 1 : n + 2] == ["--rid"])
    ]


def _without(words: list[str], *dropped: str) -> list[str]:
    return [word for word in words if word not in dropped]


def _say(text: str) -> int:
    output.say(text)
    return client.OK


# --- documents -----------------------------------------------------------------------------------


class Document:
    """The file of one service, and the agent's own view of the host."""

    def __init__(self, args: Any, node: dict[str, Any], key: str, relative: str) -> None:
        self.args, self.node, self.key, self.relative = args, node, key, relative
        self.directory = Path(node["paths"]["services"])
        self.path = self.directory / relative


def _args(rest: list[str]) -> Any:
    import argparse

    parser = argparse.ArgumentParser(prog="om")
    client.options(parser)
    args = parser.parse_args(rest)
    client.here_only(args, "documents are files of the agent's host")
    return args


def _on_document(name: str, rest: list[str], act: Callable[[Document], int]) -> int:
    args = _args(rest)
    node = client.get(args, "/v1/node")
    key = name if "/" in name else f"root/{name}"
    found = [one for one in client.get(args, "/v1/documents")["items"] if one["key"] == key]
    if not found:
        raise client.Failed(client.FAILED, f"there is no document of {key}: `om {name} create` begins one")
    return act(Document(args, node, key, found[0]["path"]))


def _print_config(document: Document) -> int:
    from reconciler.cli import files

    return _say(files.read(document.path).decode(errors="replace").rstrip("\n"))


def _validate(document: Document) -> int:
    from reconciler.cli import files

    faults = _faults(document, files.read(document.path))
    return _say("\n".join(faults)) or client.FAILED if faults else client.OK


def _edit(document: Document) -> int:
    """A copy is edited, and put in place by rename once it is fit to be in force."""
    import subprocess
    import tempfile

    from reconciler.cli import files

    before = files.read(document.path)
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with tempfile.TemporaryDirectory(prefix="standfast-") as directory:
        copy = Path(directory) / document.path.name
        copy.write_bytes(before)
        while True:
            if subprocess.run(["sh", "-c", f'{editor} "$1"', "sh", copy], check=False).returncode:
                raise client.Failed(client.FAILED, f"{editor} failed: nothing was changed")
            after = copy.read_bytes()
            if after == before:
                return _say("nothing was changed")
            faults = _faults(document, after)
            if not faults:
                break
            for fault in faults:
                output.complain(fault)
            if not output.confirmed("Edit again? [y/N] "):
                raise client.Failed(client.FAILED, "nothing was changed")
    if files.read(document.path) != before:
        raise client.Failed(client.FAILED, f"{document.path} was changed meanwhile: edit it again")
    files.place(document.directory, document.relative, after)
    return client.OK


def _delete(document: Document) -> int:
    from reconciler.cli import files

    files.remove(document.path)
    return _say(f"{document.relative} removed: what follows is its `on_delete`")


def _create(name: str, rest: list[str]) -> int:
    from reconciler.cli import files

    args = _args(rest)
    node = client.get(args, "/v1/node")
    namespace, _, base = f"root/{name}".rpartition("/")
    namespace = namespace.removeprefix("root/")
    relative = f"{base}.conf" if namespace == "root" else f"{namespace}/{base}.conf"
    known = client.get(args, "/v1/documents")["items"]
    directory = Path(node["paths"]["services"])
    if (directory / relative).exists() or any(one["key"] == f"{namespace}/{base}" for one in known):
        raise client.Failed(client.FAILED, f"{namespace}/{base} exists: `om {name} edit config`")
    files.place(directory, relative, b"[DEFAULT]\n")
    _until_seen(args, f"{namespace}/{base}")
    return client.OK


def _until_seen(args: Any, key: str) -> None:
    """What comes next is said to an agent that knows of it; one that does not look is not waited for."""
    import time

    end = time.monotonic() + SEEN
    while time.monotonic() < end:
        if any(one["key"] == key for one in client.get(args, "/v1/documents")["items"]):
            return
        time.sleep(0.05)


def _faults(document: Document, content: bytes) -> list[str]:
    from reconciler.cli import files
    from reconciler.decide.documents import check

    flavour: Any = "conf" if document.path.suffix == ".conf" else "yaml"
    home = files.home(document.node)
    checked = check(content, str(document.path), document.key, flavour, home)
    return [str(fault) for fault in checked.faults]
