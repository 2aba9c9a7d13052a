"""The mount table → what lies on a mount point, what a path leads to, where a device is mounted."""

from collections.abc import Sequence
from functools import cached_property

from reconciler.asks import Mount


def tidy(path: str) -> str:
    """A path as the mount table writes it: no doubled or trailing slash."""
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))


def within(path: str, folder: str) -> bool:
    """Whether `path` is `folder` or below it."""
    return path == folder or path.startswith(folder if folder == "/" else folder + "/")


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
    def _children(self) -> dict[int, list[Mount]]:
        found: dict[int, list[Mount]] = {}
        for mount in self.mounts:
            if mount.parent != mount.id:
                found.setdefault(mount.parent, []).append(mount)
        return found

    def at(self, target: str) -> tuple[Mount, ...]:
        """What is mounted on exactly this path; of several the last one is seen."""
        return tuple(self._by_target.get(target, ()))

    def of_device(self, number: str) -> tuple[Mount, ...]:
        return tuple(self._by_device.get(number, ()))

    def leads_to(self, path: str) -> Mount | None:
        """The mount on which a path (without symlinks) ends: what the kernel would walk into."""
        known = {mount.id for mount in self.mounts}
        current = next((m for m in self.at("/") if m.parent not in known or m.parent == m.id), None)
        while current is not None:
            here = current
            inside = [
                child
                for child in self._children.get(here.id, ())
                if within(path, child.target) and within(child.target, here.target)
            ]
            if not inside:
                return here
            current = min(inside, key=lambda child: len(child.target))
        return None


_latest: list[Table] = []


def indexed(mounts: Sequence[Mount]) -> Table:
    """The table's index; made once for all who are handed the same answer."""
    if not _latest or _latest[0].mounts is not mounts:
        _latest[:] = [Table(mounts)]
    return _latest[0]
