"""`standfast doctor` → what is well, what is not, and what to do about it, a line each."""

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from typing import Any

from reconciler.cli import client, judge, output, tree

HELP = "check the agent, its store, its sources, the clock and the tools it needs"

PROBE = ("blkid", "util-linux")
FSCK = ("e2fsck", "e2fsprogs")
LVM = (("lvm", "lvm2"), PROBE)
PROGRAM = (("sh", "dash"), ("setpriv", "util-linux"))
TOOLS = {
    "fs.ext2": (FSCK, ("mkfs.ext2", "e2fsprogs"), PROBE),
    "fs.ext3": (FSCK, ("mkfs.ext3", "e2fsprogs"), PROBE),
    "fs.ext4": (FSCK, ("mkfs.ext4", "e2fsprogs"), PROBE),
    "fs.xfs": (("mkfs.xfs", "xfsprogs"), PROBE),
    "fs.btrfs": (("btrfs", "btrfs-progs"), ("mkfs.btrfs", "btrfs-progs"), PROBE),
    "fs.nfs": (("mount.nfs", "nfs-common"),),
    "disk.vg": LVM,
    "disk.lv": LVM,
    "app.forking": PROGRAM,
    "app.simple": PROGRAM,
}
"""Kind of resource → the commands it needs and the packages they come in."""

NODE_FILE = "/etc/standfast/node.yaml"
COLOURS = {"ok": "green", "warn": "yellow", "error": "red"}
LITTLE_ROOM = 0.05  # of a filesystem
FIRST_DAY = 1_704_067_200.0  # 2024: a clock before it was never set
TIME_ERROR = 5  # of adjtimex(2): nobody keeps the clock right

Finding = tuple[str, str, str]
"""ok, warn or error; what; what to do."""


def arguments(parser: Any) -> None:
    client.options(parser)
    parser.add_argument("--node", metavar="FILE", help=f"this host's settings ({NODE_FILE})")


def run(args: Any) -> int:
    found = list(findings(args))
    value = {"items": [{"level": level, "what": what, "todo": todo} for level, what, todo in found]}
    output.show(args, value, lambda: "\n".join(map(_line, found)))
    return client.FAILED if any(level == "error" for level, _, _ in found) else client.OK


def findings(args: Any) -> Iterator[Finding]:
    there = client.is_remote(args)
    if not there:
        yield from _clock()
    try:
        node = client.get(args, "/v1/node")
        services = client.get(args, "/v1/services")["items"]
        refused = client.get(args, "/v1/documents", {"faulty": "true"})["items"]
    except client.Failed as failure:
        what, _, todo = str(failure).partition(": ")
        yield "error", what, todo
        return
    up = tree.ago(time.time() - node["started"])
    yield "ok", f"the agent {node['version']} on {node['name']} answers, up {up}", ""
    yield from _agent(node)
    if seen := node.get("cluster"):
        yield from _member(node, seen)
    if not there:  # all of this is looked at on this host
        yield from _room(node)
        yield from _cluster(args, node)
        yield from _tools(services)
    for document in refused:
        yield "error", f"{document['path']} is not in force: {_first(document)}", _todo(document)
    for service in services:
        stalled = judge.condition(service, "Stalled")
        if stalled.get("status") == "True":
            name = tree.full_name(service)
            why = " ".join(stalled["message"].split())
            yield "error", f"{name} is stalled: {why}", f"standfast why {name}"


def _agent(node: dict[str, Any]) -> Iterator[Finding]:
    store, journal = node["store"], node["journal"]
    if store["trouble"]:
        yield "error", f"store: {store['trouble']}", "until then nothing that is asked can be kept"
    elif store["kind"] == "memory":
        yield "error", "the store is in memory only", "what is asked is lost with the agent"
    else:
        yield "ok", f"the store ({store['kind']}) is written", ""
    for notice in node["notices"]:
        yield "warn", notice, "a restart of the agent, once this is put right, ends this notice"
    if journal["trouble"] or journal["dropped"]:
        what = f"events: {journal['dropped']} were dropped. {journal['trouble']}".strip()
        yield "warn", what, f"look at {node['paths']['state']}"
    failing = {name: source["why"] for name, source in node["sources"].items() if not source["ok"]}
    for name, why in failing.items():
        yield (
            "error",
            f"the source {name} fails: {why}",
            "what depends on it is unknown, and is not started",
        )
    if not failing:
        yield "ok", f"{len(node['sources'])} sources of facts answer", ""
    if frozen := node["frozen"]:
        why = f" ({frozen['reason']})" if frozen["reason"] else ""
        yield "warn", f"this host is frozen by {frozen['who']}{why}", "standfast thaw --node"
    if held := node["prune_held"]:
        yield "warn", f"removal is held back of {', '.join(held)}", "standfast prune --confirm"


def _member(node: dict[str, Any], seen: dict[str, Any]) -> Iterator[Finding]:
    """Of a host that shares a store with others, as its agent sees it."""
    session = seen["session"]
    if session["duplicate"]:
        yield "error", "another node lives under this name", "rename one of them (--name), or end it"
    elif not session["open"]:
        why = session["why"] or "its time is over"
        yield "error", f"this node has no session: {why}", "it may hold no service until it has one"
    else:
        yield "ok", f"its session is open: epoch {session['epoch']}, {session['level']}", ""
    if seen["trouble"]:
        yield (
            "error",
            f"what the hosts share is not followed: {seen['trouble']}",
            "standfast cluster status",
        )
    others = {n: one["version"] for n, one in seen["nodes"].items() if one["alive"] and one["version"]}
    if strange := [f"{n} runs {v}" for n, v in others.items() if v != node["version"]]:
        what = f"agents of several versions: {', '.join(strange)}, this one {node['version']}"
        yield "warn", what, "bring them to one version, one host after another"


def _first(document: dict[str, Any]) -> str:
    return str(next((fault["what"] for fault in document["faults"]), "refused"))


def _todo(document: dict[str, Any]) -> str:
    """What the first fault says; else where all of them are said."""
    todo = next((fault["todo"] for fault in document["faults"]), "")
    return todo or f"standfast validate {document['path']}"


def _room(node: dict[str, Any]) -> Iterator[Finding]:
    for name in ("state", "run"):
        path = node["paths"][name]
        try:
            seen = os.statvfs(path)
        except OSError as fault:
            yield "error", f"{path}: {fault.strerror}", "the agent keeps what it must not forget there"
            continue
        if seen.f_flag & os.ST_RDONLY:
            yield "error", f"{path} is read-only", "check its mount"
        elif seen.f_blocks and seen.f_bavail < LITTLE_ROOM * seen.f_blocks:
            yield "warn", f"{path} is nearly full", "make room there"
        else:
            yield "ok", f"{path} has room", ""


def _cluster(args: Any, node: dict[str, Any]) -> Iterator[Finding]:
    """Of a host whose node.yaml names a store of several."""
    file, named = args.node or NODE_FILE, False
    with contextlib.suppress(OSError), open(file, "rb") as content:
        named = b"etcd" in content.read()
    if not named:
        if node.get("cluster"):
            what = f"{file} names no store, and the agent has one: its members were not looked at"
            yield "warn", what, "standfast doctor --node FILE, with the file that the agent runs by"
        return
    from reconciler.cli import cluster_status

    place = {name: node["paths"][name] for name in ("state", "run")}
    try:
        found = cluster_status.of(file, node["name"], place)
    except client.Failed as failure:
        yield "error", f"the cluster cannot be looked at: {failure}", ""
        return
    for text in found["warnings"]:
        what, _, todo = text.rpartition(": ")
        yield ("warn" if found["well"] else "error"), what or todo, todo if what else ""
    if found["well"]:
        count = f"{found['voters']} voters, of which {found['may_be_lost']} may be lost"
        yield "ok", f"the store of the cluster serves: {count}", ""


def _clock() -> Iterator[Finding]:
    """Order does not depend on it, but every time that people read does."""
    import ctypes

    if time.time() < FIRST_DAY:
        yield "error", "the clock was never set", "start chrony or systemd-timesyncd"
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "adjtimex"):
        return
    if libc.adjtimex(ctypes.create_string_buffer(512)) == TIME_ERROR:  # larger than any struct timex
        yield "warn", "nothing keeps the clock right", "start chrony or systemd-timesyncd"
    else:
        yield "ok", "the clock is kept right", ""


def _tools(services: list[dict[str, Any]]) -> Iterator[Finding]:
    kinds = {resource["kind"] for service in services for _, resource in judge.resources(service)}
    needed: dict[tuple[str, str], list[str]] = {}
    for kind in sorted(kinds):
        for tool in TOOLS.get(kind, ()):
            needed.setdefault(tool, []).append(kind)
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = {tool: users for tool, users in needed.items() if shutil.which(tool[0], path=path) is None}
    for (command, package), users in missing.items():
        yield "error", f"{command} is missing, {', '.join(users)} needs it", f"apt install {package}"
    if not missing:
        yield "ok", f"all {len(needed)} commands that the {len(kinds)} kinds in use need are there", ""


def _line(finding: Finding) -> str:
    level, what, todo = finding
    text = f"{tree.painted(f'{level:<5}', COLOURS[level], output.colour())} {tree.clean(what)}"
    return f"{text}\n      {todo}" if todo else text
