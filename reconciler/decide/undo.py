"""An operation towards up → the line with which the guard undoes it; None when nothing exclusive stays.

The guard has written the line before the operation begins, so the line may name what does not exist in
the end; undoing that is nothing.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from reconciler import operations as op
from reconciler.guard.lines import Address, Line, Loop, Mount, Program, Volumes
from reconciler.model import Owner

USERS = ("checks",)
"""What a user's own command touches: it may leave programs running, as a start script does."""


class Places(NamedTuple):
    """Where programs are found again: root of control groups ("" : none can be made), and of records."""

    groups: str
    records: str

    def group(self, owner: Owner) -> str:
        return f"{self.groups}/{owner.service.replace('/', '.')}/{owner.rid}" if self.groups else ""

    def left(self, owner: Owner) -> str:
        return f"{self.group(owner)}.left" if self.groups else ""

    def record(self, owner: Owner) -> str:
        return f"{self.records}/{owner.service}/{owner.rid}"


Spec = Mapping[str, Any]


def line(
    operation: op.Operation, owner: Owner, spec: Spec, places: Places, standby: bool = False
) -> Line | None:
    """`spec` is the owner's, with its references bound; `standby`: the thing stays when a session ends."""
    made = KINDS[type(operation)](operation, owner, spec, places)
    return made._replace(standby=True) if made and standby else made


def unmistakable(line: Line) -> bool:
    """It names what nobody else can have while its claim is held. A mere mount point may be another's."""
    return not isinstance(line, Mount) or bool(line.device)


def _spawn(operation: op.Spawn, owner: Owner, spec: Spec, places: Places) -> Line:
    return Program(
        str(owner), places.group(owner), places.record(owner), grace=float(spec.get("stop_timeout", 0.0))
    )


def _exec(operation: op.Exec, owner: Owner, spec: Spec, places: Places) -> Line | None:
    """LVM's activation, and whatever a user's command leaves running; other tools leave nothing.

    Without control groups nobody can tell what a command left: the level for programs is `none` then.
    """
    match operation.argv:
        case ("vgchange", "-a", "y", group):
            return Volumes(str(owner), group)
        case ("lvchange", "-a", "y", path):
            group, _, volume = path.partition("/")
            return Volumes(str(owner), group, volume)
    if operation.touching == USERS and places.groups:
        return Program(str(owner), places.left(owner), grace=float(spec.get("stop_timeout", 0.0)))
    return None


def _address(operation: op.AddAddress, owner: Owner, spec: Spec, places: Places) -> Line:
    return Address(str(owner), operation.address, operation.dev)


def _mount(operation: op.Mount, owner: Owner, spec: Spec, places: Places) -> Line | None:
    if "remount" in operation.options.split(","):
        return None
    return Mount(str(owner), operation.target, operation.source, operation.fstype)


def _loop(operation: op.AttachLoop, owner: Owner, spec: Spec, places: Places) -> Line:
    return Loop(str(owner), operation.file, operation.offset)


def _nothing(operation: op.Operation, owner: Owner, spec: Spec, places: Places) -> None:
    return None


KINDS: Mapping[type[op.Operation], Callable[[Any, Owner, Spec, Places], Line | None]] = {
    op.Exec: _exec,
    op.Spawn: _spawn,
    op.AddAddress: _address,
    op.Mount: _mount,
    op.AttachLoop: _loop,
    # Towards down.
    op.Terminate: _nothing,
    op.DeleteAddress: _nothing,
    op.DeleteRoute: _nothing,
    op.Unmount: _nothing,
    op.DetachLoop: _nothing,
    op.RemoveDirectory: _nothing,
    op.RemoveFile: _nothing,
    # A question, or an announcement of what has its own line.
    op.ProbeAddress: _nothing,
    op.Announce: _nothing,
    # Of this host alone: another host may have the same.
    op.SetLinkUp: _nothing,
    op.AddRoute: _nothing,
    # Data: on what is mounted or mapped, which has its own line, or of this host alone.
    op.MakeDirectory: _nothing,
    op.WriteFile: _nothing,
    op.CreateImage: _nothing,
    op.Remember: _nothing,
}
"""Every operation there is."""
