"""Paths of one made-up filesystem → directories and files, as far as there is room for them."""

import errno
import os
from dataclasses import dataclass, field

from reconciler.testing.disks import Content

PAGE = 4096


@dataclass(eq=False)
class Node:
    """`content`: of a file that is the image of a disk."""

    kind: str = "directory"
    mode: int = 0o755
    user: str = "root"
    group: str = "root"
    data: bytes = b""
    content: Content | None = None

    @property
    def size(self) -> int:
        return self.content.size if self.content else len(self.data)


@dataclass(eq=False)
class Tree:
    """By path without a slash at its begin, "" for the root. `limit`: bytes, None for no end of them.

    Raises OSError as system calls do.
    """

    limit: int | None = None
    nodes: dict[str, Node] = field(default_factory=lambda: {"": Node()})

    def find(self, path: str) -> Node | None:
        return self.nodes.get(path)

    def below(self, path: str) -> list[str]:
        prefix = f"{path}/" if path else ""
        return sorted(name for name in self.nodes if name.startswith(prefix) and name != path)

    def make_directory(self, path: str) -> Node:
        """With its parents; one that is there is fine."""
        parts = path.split("/") if path else []
        for number in range(len(parts)):
            name = "/".join(parts[: number + 1])
            node = self.nodes.setdefault(name, Node())
            if node.kind != "directory":
                last = number == len(parts) - 1
                raise _error(errno.EEXIST if last else errno.ENOTDIR, f"/{name}")
        return self.nodes[path]

    def write(self, path: str, data: bytes) -> None:
        """By rename: for a moment there are both, the old one and the new."""
        node = self.nodes.get(path)
        if node and node.kind == "directory":
            raise _error(errno.EISDIR, f"/{path}")
        self.make_directory(path.rpartition("/")[0])
        if not data:
            self.nodes.setdefault(path, Node("file", 0o644))
            return
        if node and node.data == data:
            return
        if self.limit is not None and self.used + _pages(data) > self.limit:
            raise _error(errno.ENOSPC, f"/{path}")
        self.nodes[path] = Node("file", 0o644, data=data)

    def remove_file(self, path: str) -> None:
        node = self.nodes.get(path)
        if node and node.kind == "directory":
            raise _error(errno.EISDIR, f"/{path}")
        self.nodes.pop(path, None)

    def remove_directory(self, path: str, contents: bool) -> None:
        node = self.nodes.get(path)
        if node is None:
            return
        if node.kind != "directory":
            raise _error(errno.ENOTDIR, f"/{path}")
        inside = self.below(path)
        if inside and not contents:
            raise _error(errno.ENOTEMPTY, f"/{path}")
        for name in (*inside, path):
            del self.nodes[name]

    @property
    def used(self) -> int:
        return sum(_pages(node.data) for node in self.nodes.values())


def _pages(data: bytes) -> int:
    return -(-len(data) // PAGE) * PAGE


def _error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)
