"""`standfast apply FILE…` → checked, shown, asked about, put in place by rename, and awaited."""

import difflib
from pathlib import Path
from typing import Any

from reconciler.cli import client, files, output, plan, wait, wishes

HELP = "check documents, show what they would do, and put them into the watched directory"


class Candidate:
    """One file on its way. `relative` is its place below the watched directory."""

    def __init__(self, path: str, relative: str, key: str, content: bytes, generation: str) -> None:
        self.path, self.relative, self.key = path, relative, key
        self.content, self.generation = content, generation


def arguments(parser: Any) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="NAME.yaml or NAME.conf")
    parser.add_argument("--namespace", default="", help="default: as the document says, or root")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    wishes.wait_options(parser)
    client.options(parser)


def run(args: Any) -> int:
    client.here_only(args, "apply puts files into the watched directory")
    node = client.get(args, "/v1/node")
    candidates, faults = check(args, files.home(node))
    if faults:
        for fault in faults:
            output.complain(fault)
        return client.FAILED
    directory = Path(node["paths"]["services"])
    known = client.get(args, "/v1/documents")["items"]
    for candidate in candidates:
        output.say(_preview(args, candidate, directory, _rivals(candidate, directory, known)))
    if not args.yes and not output.confirmed("Apply? [y/N] "):
        raise client.Failed(client.REFUSED, "not confirmed, nothing was done (--yes confirms)")
    for candidate in candidates:
        files.place(directory, candidate.relative, candidate.content)
        for rival in _rivals(candidate, directory, known):
            files.remove(rival)
    if not args.wait:
        return client.OK
    asked = [wait.document(candidate.key, candidate.generation) for candidate in candidates]
    return wait.until_done(args, asked, args.time)


def check(args: Any, home: Any) -> tuple[list[Candidate], list[str]]:
    """All files checked here, without the agent: all are fit, or nothing is put in place."""
    from reconciler.decide.documents import check as check_document
    from reconciler.decide.documents import identity
    from reconciler.errors import Fault

    candidates: list[Candidate] = []
    faults: list[str] = []
    for path in args.files:
        name = f"{args.namespace}/{Path(path).name}" if args.namespace else Path(path).name
        found = identity(name)
        if found is None or isinstance(found, Fault):
            why = (
                f"{found.what} {found.todo}" if found else "is no document: name it NAME.yaml or NAME.conf"
            )
            faults.append(f"{path}: {why}")
            continue
        key, flavour = found
        content = files.read(Path(path))
        asks_itself = flavour == "yaml" and not args.namespace
        checked = check_document(
            content, path, f"/{Path(path).stem}" if asks_itself else key, flavour, home
        )
        faults += map(str, checked.faults)
        for lint in checked.lints:
            output.complain(f"warning: {lint}")
        if (service := checked.service) is not None:
            relative = (
                Path(path).name if service.namespace == "root" else f"{service.namespace}/{Path(path).name}"
            )
            candidates.append(Candidate(path, relative, service.key, content, checked.generation))
    keys = [candidate.key for candidate in candidates]
    faults += [
        f"{key}: two of these files are this service: apply one" for key in set(keys) if keys.count(key) > 1
    ]
    return candidates, faults


def _rivals(candidate: Candidate, directory: Path, known: list[dict[str, Any]]) -> list[Path]:
    """Other files of the same service, which this one replaces: two of one key are both refused."""
    own = (directory / candidate.relative).resolve()
    paths = [directory / one["path"] for one in known if one["key"] == candidate.key]
    return [path for path in paths if path.exists() and path.resolve() != own]


def _preview(args: Any, candidate: Candidate, directory: Path, rivals: list[Path]) -> str:
    old = rivals[0] if rivals else directory / candidate.relative
    before = files.read(old).decode(errors="replace") if old.exists() else ""
    after = candidate.content.decode(errors="replace")
    lines = [f"{candidate.key}: {directory / candidate.relative}"]
    lines += [f"replaces {rival.name}" for rival in rivals]
    changes = difflib.unified_diff(
        before.splitlines(), after.splitlines(), "in place", candidate.path, n=2, lineterm=""
    )
    lines += list(changes) or ["the file is there already"]
    try:
        shape = {"path": candidate.relative, "content": after}
        lines.append(plan.text(candidate.key, client.post(args, "/v1/preview", shape)))
    except client.Failed as failure:
        if failure.code == client.NO_AGENT:
            raise
        lines.append(f"no plan: {failure}")
    return "\n".join(lines) + "\n"
