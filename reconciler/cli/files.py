"""A document → its file in the watched directory, whole or not at all."""

import contextlib
import os
from pathlib import Path
from typing import Any

from reconciler.cli import client

MODE = 0o644


def home(node: dict[str, Any]) -> Any:
    """What documents may refer to, from the agent's node object."""
    from reconciler.decide.documents import Home

    return Home(
        node["name"],
        node["env"],
        node["labels"],
        tuple(node["cluster_nodes"]),
        node["hosts"],
        node["paths"]["services"],
        node["paths"]["state"],
        node["paths"]["run"],
        os.geteuid() == 0,
    )


def place(directory: Path, relative: str, content: bytes) -> None:
    """Put it in place by rename, mode 0644, so that nobody ever reads a half. Raises Failed."""
    target = directory / relative
    fresh = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(exist_ok=True)
        try:
            with open(fresh, "wb", opener=_opener) as file:
                os.fchmod(file.fileno(), MODE)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.rename(fresh, target)
        except BaseException:
            with contextlib.suppress(OSError):
                fresh.unlink()
            raise
        descriptor = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as fault:
        raise client.Failed(
            client.FAILED, f"cannot write {target}: {fault.strerror}{_todo(fault)}"
        ) from None


def remove(path: Path) -> None:
    try:
        path.unlink()
    except OSError as fault:
        raise client.Failed(
            client.FAILED, f"cannot remove {path}: {fault.strerror}{_todo(fault)}"
        ) from None


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as fault:
        raise client.Failed(client.FAILED, f"cannot read {path}: {fault.strerror}{_todo(fault)}") from None


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_EXCL | os.O_NOFOLLOW, MODE)


def _todo(fault: OSError) -> str:
    return ": use sudo" if isinstance(fault, PermissionError) else ""
