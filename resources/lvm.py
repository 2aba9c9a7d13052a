"""LVM's report → who holds a volume group; words of LVM's commands → operations.

LVM keeps a tag without the `@` it is typed with: `vgchange --addtag @demo1` is reported as `demo1`.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from reconciler.asks import LvmReport, VolumeGroup
from reconciler.operations import Exec

TIMEOUT = 120.0
TOUCHES = ("lvm", "block", "signatures")

_SIZE = re.compile(r"(\d+(?:\.\d+)?)(?:([KMGTPkmgtp])(iB|B)?|B)?")


@dataclass(frozen=True)
class Marks:
    """What a volume group itself says about its user.

    tagged    it carries this host's tag.
    tags      host tags of others, sorted.
    own_id    its system id is this host's.
    other_id  its system id, when it is another host's.
    """

    tagged: bool
    tags: tuple[str, ...] = ()
    own_id: bool = False
    other_id: str = ""

    @property
    def holder(self) -> str:
        """The other host that it names; "" when it names none. Several: all of them, which is no host."""
        return ", ".join(dict.fromkeys((*self.tags, *([self.other_id] if self.other_id else []))))


def marks(group: VolumeGroup, report: LvmReport, node: str, ignored: Collection[str] = ()) -> Marks:
    """Any tag but our own and the ignored ones is taken for a host's: better safe than shared."""
    others = tuple(sorted(group.tags - {node} - set(ignored)))
    own_id = bool(group.system_id) and group.system_id == report.system_id
    return Marks(node in group.tags, others, own_id, "" if own_id else group.system_id)


def command(*argv: str, blank: str = "") -> Exec:
    """A command that changes what LVM reports. Never interrupted: half of it may be on disk."""
    return Exec(argv, timeout=TIMEOUT, touching=TOUCHES, blank=blank)


def size_words(size: str) -> tuple[str, str]:
    """The words of lvcreate for `10GiB`, `10g`, `10GB` (decimal), bytes, or `100%FREE`."""
    if "%" in size:
        return "-l", size
    found = _SIZE.fullmatch(size)
    if not found:  # the schema lets nothing else through; lvcreate will say what it is
        return "-L", size
    number, letter, rest = found.groups()
    if not letter:
        return "-L", f"{number}b"
    if rest == "B":
        power = "kmgtp".index(letter.lower()) + 1
        return "-L", f"{round(float(number) * 1000**power)}b"
    return "-L", f"{number}{letter.lower()}"
