"""A command with its user, limits and place → the words and environment to start it with.

What may hang or fail before the program runs (entering a directory on a dead server, finding the
file there) happens in a small constant shell script in the new process, never in the daemon. It
tells the daemon by file descriptor 3: "ready", or why not.
"""

import grp
import os
import pwd
import resource
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from reconciler.errors import MayHeal

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
READY = "ready"
_BYTES = ("as", "core", "data", "fsize", "memlock", "msgqueue", "rss", "stack")
_NUMBERS = ("cpu", "locks", "nice", "nofile", "nproc", "rtprio", "rttime", "sigpending")
LIMITS = frozenset((*_BYTES, *_NUMBERS))
"""Names that prlimit(1) has."""
# As we found it ourselves: the daemon raises its own, which some programs could not bear.
_DESCRIPTORS = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
_SYSTEM = tuple(f"{directory}/" for directory in PATH.split(":"))

# $1 record file, $2 control group, $3 umask, $4 directory, $5 the program, $6 how many descriptors;
# then what to exec.
# The record is one small write by a process that is the program itself a moment later: whoever
# dies at whatever instant, there is either no program or a record of it.
SCRIPT = r"""
fail() { printf '%s\n' "$*" >&3; exit 125; }
if [ -n "$1" ]; then
    read -r stat </proc/$$/stat && read -r boot </proc/sys/kernel/random/boot_id || fail "cannot read /proc"
    start() { shift 19; start=$1; }
    start ${stat##*) }
    echo "$$ $start $boot $2" 2>/dev/null >"$1" || fail "cannot write $1"
fi
if [ -n "$2" ]; then
    echo 0 2>/dev/null >"$2/cgroup.procs" || fail "cannot enter the control group $2"
fi
[ -z "$3" ] || umask "$3"
[ -z "$4" ] || cd "$4" 2>/dev/null || fail "cannot enter the directory $4"
case $5 in
*/*)
    [ -e "$5" ] || fail "$5: not found"
    [ -f "$5" ] && [ -x "$5" ] || fail "$5: not executable"
    ;;
*)
    command -v "$5" >/dev/null || fail "$5: not found in $PATH"
    ;;
esac
[ "$6" -lt 0 ] || ulimit -S -n "$6"
shift 6
trap '' PIPE  # the daemon may have died meanwhile: the program starts all the same
echo ready 2>/dev/null >&3
trap - PIPE
exec "$@" 3>&-
"""


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
        """A system tool, nothing special about it: started without the script, at half the cost."""
        special = self.user or self.group or self.cwd or self.umask or self.limits or self.shell
        return not special and ("/" not in self.argv[0] or os.path.dirname(self.argv[0]) + "/" in _SYSTEM)


class Account(NamedTuple):
    """Ids to run under. `known`: the user has an entry, so its further groups can be looked up."""

    uid: int
    gid: int
    known: bool
    env: Mapping[str, str]


class Words(NamedTuple):
    file: str
    argv: list[str]
    env: dict[str, str]


def account(user: str, group: str) -> Account:
    """Blocking: a name service may be asked. Raises MayHeal for a name that is not known."""
    uid, gid, env, known = os.geteuid(), os.getegid(), {}, False
    if user:
        try:
            entry = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
        except KeyError:
            if not user.isdigit():
                raise MayHeal(f"no user {user!r} on this host") from None
            uid = gid = int(user)
        else:
            uid, gid, known = entry.pw_uid, entry.pw_gid, True
            env = {"HOME": entry.pw_dir, "USER": entry.pw_name, "LOGNAME": entry.pw_name}
            env["SHELL"] = entry.pw_shell or "/bin/sh"
    if group:
        try:
            gid = int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
        except KeyError:
            raise MayHeal(f"no group {group!r} on this host") from None
    return Account(uid, gid, known, env)


def plain(command: Command) -> Words:
    """A simple command as it is; raises MayHeal when there is no such program."""
    file = shutil.which(command.argv[0], path=command.env.get("PATH", PATH))
    if file is None:
        raise MayHeal(f"{command.argv[0]}: not found, or not executable: is its package installed?")
    return Words(file, list(command.argv), {**_base(), **command.env})


def scripted(command: Command, who: Account | None, record: Path | None, group: Path | None) -> Words:
    """Any command, by way of the script."""
    env = {**_base(), **(who.env if who else {}), **command.env}
    argv = ("/bin/sh", "-c", command.argv[0]) if command.shell else command.argv
    words = ["sh", "-c", SCRIPT, "standfast", str(record or ""), str(group or "")]
    words += [_octal(command.umask), command.cwd, argv[0], str(_DESCRIPTORS)]
    return Words("/bin/sh", [*words, *_limits(command.limits), *_drop(who), *argv], env)


def _base() -> dict[str, str]:
    # LVM complains on stderr about every descriptor it inherits, to whoever reads its output.
    return {"PATH": PATH, "LANG": "C.UTF-8", "LVM_SUPPRESS_FD_WARNINGS": "1"}


def _octal(umask: str) -> str:
    if umask.strip("01234567"):
        raise MayHeal(f"umask {umask!r} is not an octal number")
    return umask


def _limits(limits: tuple[tuple[str, str], ...]) -> list[str]:
    if wrong := [name for name, _ in limits if name not in LIMITS]:
        raise MayHeal(f"no limit of the name {wrong[0]!r}: {', '.join(sorted(LIMITS))}")
    return ["prlimit", *(f"--{name}={value}" for name, value in limits), "--"] if limits else []


def _drop(who: Account | None) -> list[str]:
    if who is None or (who.uid, who.gid) == (os.geteuid(), os.getegid()):
        return []
    groups = "--init-groups" if who.known else "--clear-groups"
    return ["setpriv", f"--reuid={who.uid}", f"--regid={who.gid}", groups, "--"]
