"""Two small files → what outlives the agent: the secret of its session, and which store was ours."""

import asyncio
import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from reconciler.contracts import Identity, Mark
from reconciler.errors import MayHeal, NeedsPerson


class FileKeepsake:
    """engine.keepers.Keepsake. The secret goes with the boot, the mark stays."""

    def __init__(self, run: Path, state: Path) -> None:
        self._secret, self._mark = run / "session.secret", state / "store.json"

    def secret(self) -> str:
        """Made when there is none yet. The store is shown its digest only."""
        try:
            text = self._secret.read_text(encoding="ascii")
        except FileNotFoundError:
            self.new_secret()
            text = self._secret.read_text(encoding="ascii")
        return hashlib.sha256(text.encode()).hexdigest()

    def new_secret(self) -> None:
        with _may_heal():
            replace_file(self._secret, secrets.token_hex(32), 0o600)

    def mark(self) -> Mark:
        """Raises NeedsPerson for one that cannot be read: it may have named another store."""
        try:
            kept = json.loads(self._mark.read_text(encoding="utf-8"))
            identity = Identity(**kept["identity"]) if kept["identity"] else None
            return Mark(identity, int(kept["epoch"]))
        except FileNotFoundError:
            return Mark()
        except (OSError, ValueError, TypeError, KeyError) as fault:
            raise NeedsPerson(
                f"{self._mark} cannot be read ({fault}), so nobody knows which store was ours: "
                "look at `standfast cluster status`, then `standfast cluster accept-store`"
            ) from fault

    async def keep(self, mark: Mark) -> None:
        """Durably; a disk that hangs holds up its thread only."""
        text = json.dumps(asdict(mark), sort_keys=True)
        with _may_heal():
            await asyncio.to_thread(replace_file, self._mark, text, 0o644)


@contextlib.contextmanager
def _may_heal() -> Iterator[None]:
    """A disk that is full, or read-only: it must not end the agent."""
    try:
        yield
    except OSError as fault:
        raise MayHeal(str(fault)) from fault


def replace_file(path: Path, text: str, mode: int) -> None:
    """By rename: whoever reads sees the old text or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)
