"""node.yaml and a new block of it → the same file with that block, by rename; comments and order stay."""

import io
import os
import stat
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from reconciler.decide.documents.node import read_node
from reconciler.errors import NeedsPerson
from reconciler.settings import Etcd

NEW = "apiVersion: standfast/v1\nkind: Node\nspec: {}\n"


class NodeFile:
    """One node.yaml. Everything raises NeedsPerson when it cannot be read, understood or written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._before: bytes | None = None
        self._changed = False

    def name_store(self, etcd: Etcd, failover_time: str = "") -> None:
        """Made if it is not there. A failover time that stands there already stays."""
        said = {field: value for field, value in vars(etcd).items() if value}
        said["endpoints"] = list(etcd.endpoints)
        changes: dict[str, Any] = {"etcd": said}
        tree = self._tree()
        if failover_time and "failover_time" not in (tree.get("spec") or {}):
            changes["failover_time"] = failover_time
        self._put(tree, changes)

    def unname_store(self) -> bool:
        """Whether it named one."""
        if not self.path.exists():
            return False
        tree = self._tree()
        if "etcd" not in (tree.get("spec") or {}):
            return False
        self._put(tree, {}, "etcd")
        return True

    def undo(self) -> bool:
        """As it was before the first change; whether there was one."""
        if not self._changed:
            return False
        if self._before is None:
            self._real().unlink(missing_ok=True)
        else:
            self._write(self._before)
        self._changed = False
        return True

    def _tree(self) -> Any:
        content = NEW.encode()
        try:
            content = self.path.read_bytes()
            if not self._changed:
                self._before = content
        except FileNotFoundError:
            pass
        except OSError as fault:
            raise NeedsPerson(f"{self.path} cannot be read: {fault.strerror}") from fault
        _, faults = read_node(content, str(self.path))
        if faults:
            raise NeedsPerson("\n".join(map(str, faults)))
        try:
            return _yaml().load(content.decode("utf-8-sig"))
        except YAMLError as fault:
            raise NeedsPerson(f"{self.path}: {fault}") from fault

    def _put(self, tree: Any, changes: dict[str, Any], gone: str = "") -> None:
        if tree.get("spec") is None:
            tree["spec"] = {}
        spec = tree["spec"]
        if not spec and hasattr(spec, "fa"):
            spec.fa.set_block_style()
        for name, value in changes.items():
            spec[name] = value
        spec.pop(gone, None)
        out = io.StringIO()
        _yaml().dump(tree, out)
        content = out.getvalue().encode()
        _, faults = read_node(content, str(self.path))
        if faults:
            raise NeedsPerson("\n".join(map(str, faults)))
        self._write(content)
        self._changed = True

    def _real(self) -> Path:
        """Behind symbolic links, which stay what they are."""
        return Path(os.path.realpath(self.path))

    def _write(self, content: bytes) -> None:
        path = self._real()
        new = path.with_name(f".{path.name}.new")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            before = path.stat() if path.exists() else None
            with new.open("wb") as file:
                file.write(content)
                file.flush()
                os.fchmod(file.fileno(), stat.S_IMODE(before.st_mode) if before else 0o644)
                if before and os.geteuid() == 0:
                    os.fchown(file.fileno(), before.st_uid, before.st_gid)
                os.fsync(file.fileno())
            new.rename(path)
        except OSError as fault:
            new.unlink(missing_ok=True)
            raise NeedsPerson(f"{self.path} cannot be written: {fault.strerror}") from fault


def _yaml() -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml
