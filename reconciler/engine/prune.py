"""Documents in force and files present → which services are removed, or why nothing is.

A directory that is gone, emptied or more than halved at once looks like an accident (an unmounted
disk, a wrong checkout): nothing is removed then until a person confirms.
"""

from collections.abc import Collection
from dataclasses import dataclass

TOGETHER = 10.0
"""Removals within so many seconds count as one act."""


@dataclass(frozen=True)
class Verdict:
    removed: frozenset[str] = frozenset()
    held: str = ""


def judge(
    in_force: Collection[str],
    missing: Collection[str],
    lately: int,
    directory: bool,
    held: bool = False,
) -> Verdict:
    """`missing`: keys in force whose file is gone for long enough. `lately`: removed just before.

    `directory`: it exists and could be read. `held`: what was missing before was held back. It stays
    so until the last of it is back or a person confirms: files that are restored one by one must not
    let go of those that are still to come.
    """
    if not missing:
        return Verdict()
    count, before = len(missing) + lately, len(in_force) + lately
    todo = "`standfast prune --confirm` removes them"
    if not directory:
        return Verdict(held=f"the directory is gone or unreadable; {todo}")
    if count == before:
        return Verdict(held=f"the directory was emptied ({count} of {before} documents gone); {todo}")
    if before >= 2 and count * 2 > before:
        return Verdict(held=f"{count} of {before} documents went at once; {todo}")
    if held:
        return Verdict(held=f"{len(missing)} documents of those that went at once are not back; {todo}")
    return Verdict(frozenset(missing))
