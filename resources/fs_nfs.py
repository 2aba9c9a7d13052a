"""fs.nfs: a directory of an NFS server → mounted; a server that does not answer makes it unknown.

While the server hangs nothing is started on it; on the way down it is unmounted by force. Nothing
is provisioned here: the export is the server's.
"""

from typing import Any

from reconciler.asks import Ask, Facts, Mount
from reconciler.model import Goal, Observed, State
from reconciler.operations import Mount as DoMount
from reconciler.operations import Operation
from resources import mounting
from resources.mount_table import indexed, tidy
from resources.mounting import MountSpec

KIND = "fs.nfs"
MOUNT_TIMEOUT = 130.0  # mount.nfs itself tries for two minutes


class Spec(MountSpec):
    dev: str  # server:/path


def asks(spec: Spec) -> tuple[Ask[Any], ...]:
    return mounting.asks(spec)


def observe(spec: Spec, facts: Facts) -> Observed:
    """Up when the export is mounted on mnt and its server answers in time."""
    mounts = facts.of(mounting.MOUNTS)
    table = indexed(mounts)
    where = mounting.place(spec, table, facts)
    shell = Observed(State.DOWN, label=f"nfs {spec['dev']}@{tidy(spec['mnt'])}")
    ours = [mount for mount in where.stack if _is_ours(spec, mount)]
    if not ours:
        return mounting.vacant(shell, where)
    return mounting.judged(spec, shell, where, ours, table, facts)


def operations(spec: Spec, seen: Observed, goal: Goal) -> tuple[Operation, ...]:
    mount = DoMount(spec["dev"], tidy(spec["mnt"]), "nfs", spec["mnt_opt"], timeout=MOUNT_TIMEOUT)
    return mounting.operations(spec, seen, goal, mounting.Recipe(mount, force=True))


def exclusive(spec: Spec) -> tuple[str, ...]:
    return mounting.exclusive(spec)


def _is_ours(spec: Spec, mount: Mount) -> bool:
    return mount.fstype in ("nfs", "nfs4") and _export(mount.source) == _export(spec["dev"])


def _export(source: str) -> str:
    """server:/path, without a trailing slash."""
    server, _, path = source.rpartition(":")
    return f"{server.lower()}:{tidy(path)}"
