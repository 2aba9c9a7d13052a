"""A command with its user, limits and place → the request to the starter that it is."""

import grp
import os
import pwd
import resource
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from reconciler.adapters import proc
from reconciler.adapters.starter_main import Request
from reconciler.errors import MayHeal

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BYTES = ("as", "core", "data", "fsize", "memlock", "msgqueue", "rss", "stack")
_NUMBERS = ("cpu", "locks", "nice", "nofile", "nproc", "rtprio", "rttime", "sigpending")
_LOCKS = 10  # of no use since Linux 2.4, and not named by Python
LIMITS = {name: getattr(resource, f"RLIMIT_{name.upper()}", _LOCKS) for name in (*_BYTES, *_NUMBERS)}
"""Names that prlimit(1) has → their numbers."""
# As we found it ourselves: the daemon raises its own, which some programs could not bear.
_DESCRIPTORS = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
_SYSTEM = tuple(f"{directory}/" for directory in PATH.split(":"))


@dataclass(frozen=True)
class Command:
    """What to run. `env` is all of its environment but HOME, USER, LOGNAME and SHELL of `user`."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    group: str = ""
    cwd: str = ""
    umask: str = ""
    limits: tuple[tuple[str, str], ...] = ()
    shell: bool = False

    @property
    def simple(self) -> bool:
        """A system tool, nothing special about it: it leaves nothing behind, and needs no control group."""
        special = self.user or self.group or self.cwd or self.umask or self.limits or self.shell
        return not special and ("/" not in self.argv[0] or os.path.dirname(self.argv[0]) + "/" in _SYSTEM)


class Account(NamedTuple):
    """Ids to run under. `name`: whose further groups are taken, "" when the user has no entry."""

    uid: int
    gid: int
    name: str
    env: Mapping[str, str]


def account(user: str, group: str) -> Account:
    """Blocking: a name service may be asked. Raises MayHeal for a name that is not known."""
    uid, gid, env, name = os.geteuid(), os.getegid(), {}, ""
    if user:
        try:
            entry = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
        except KeyError:
            if not user.isdigit():
                raise MayHeal(f"no user {user!r} on this host") from None
            uid = gid = int(user)
        else:
            uid, gid, name = entry.pw_uid, entry.pw_gid, entry.pw_name
            env = {"HOME": entry.pw_dir, "USER": entry.pw_name, "LOGNAME": entry.pw_name}
            env["SHELL"] = entry.pw_shell or "/bin/sh"
    if group:
        try:
            gid = int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
        except KeyError:
            raise MayHeal(f"no group {group!r} on this host") from None
    return Account(uid, gid, name, env)


def request(
    command: Command,
    who: Account | None,
    group: Path | None,
    record: Path | None = None,
    log: Path | None = None,
    must: bool = False,
) -> Request:
    """For the starter. `log`: where it writes, and whether it must. Raises MayHeal."""
    ids = None
    if who is not None and (who.uid, who.gid) != (os.geteuid(), os.getegid()):
        ids = (who.uid, who.gid, who.name)
    inside = str(group or "")
    return Request(
        argv=("/bin/sh", "-c", command.argv[0]) if command.shell else command.argv,
        env={**_base(), **(who.env if who else {}), **command.env},
        record=(str(record), proc.boot_id(), inside) if record else None,
        group=inside,
        umask=_octal(command.umask),
        cwd=command.cwd,
        ids=ids,
        log=(str(log), must) if log else None,
        descriptors=_DESCRIPTORS,
        limits=_limits(command.limits),
    )


def _base() -> dict[str, str]:
    # LVM complains on stderr about every descriptor it inherits, to whoever reads its output.
    return {"PATH": PATH, "LANG": "C.UTF-8", "LVM_SUPPRESS_FD_WARNINGS": "1"}


def _octal(umask: str) -> str:
    if umask.strip("01234567"):
        raise MayHeal(f"umask {umask!r} is not an octal number")
    return umask


def _limits(limits: tuple[tuple[str, str], ...]) -> tuple[tuple[int, int], ...]:
    if wrong := [name for name, _ in limits if name not in LIMITS]:
        raise MayHeal(f"no limit of the name {wrong[0]!r}: {', '.join(sorted(LIMITS))}")
    return tuple((LIMITS[name], int(value)) for name, value in limits)
