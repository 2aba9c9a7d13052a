"""The mount table → what lies on a mount point, what a path leads to, where a device is mounted."""

from collections.abc import Iterator, Sequence
from functools import cached_property

from reconciler.asks import Mount


def tidy(path: str) -> str:
    """A path as the mount table writes it: no doubled or trailing slash."""
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))


class Table:
    """One answer to `Mounts()`, indexed."""

    def __init__(self, mounts: Sequence[Mount]) -> None:
        self.mounts = mounts

    @cached_property
    def _by_target(self) -> dict[str, list[Mount]]:
        found: dict[str, list[Mount]] = {}
        for mount in self.mounts:
            found.setdefault(mount.target, []).append(mount)
        return found

    @cached_property
    def _by_device(self) -> dict[str, list[Mount]]:
        found: dict[str, list[Mount]] = {}
        for mount in self.mounts:
            found.setdefault(mount.device, []).append(mount)
        return found

    @cached_property
    def _root(self) -> Mount | None:
        known = {mount.id for mount in self.mounts}
        return next((m for m in self.at("/") if m.parent not in known or m.parent == m.id), None)

    def at(self, target: str) -> tuple[Mount, ...]:
        """What is mounted on exactly this path; of several the last one is seen."""
        return tuple(self._by_target.get(target, ()))

    def of_device(self, number: str) -> tuple[Mount, ...]:
        return tuple(self._by_device.get(number, ()))

    def leads_to(self, path: str) -> Mount | None:
        """The mount on which a path (without symlinks) ends: what the kernel would walk into."""
        current = self._root
        if current is None:
            return None
        for step in steps(path):
            while above := self._upon(current, step):
                current = above
        return current

    def _upon(self, mount: Mount, target: str) -> Mount | None:
        return next((m for m in self.at(target) if m.parent == mount.id and m.id != mount.id), None)


def steps(path: str) -> Iterator[str]:
    """Every directory on the way: "/", "/a", "/a/b" for "/a/b"."""
    yield "/"
    walked = ""
    for part in path.split("/"):
        if part:
            walked = f"{walked}/{part}"
            yield walked


_latest: list[Table] = []


def indexed(mounts: Sequence[Mount]) -> Table:
    """The table's index; made once for all who are handed the same answer."""
    if not _latest or _latest[0].mounts is not mounts:
        _latest[:] = [Table(mounts)]
    return _latest[0]
