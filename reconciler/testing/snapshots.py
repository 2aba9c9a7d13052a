"""Parts of the product → copies that can be put back; and what a puppet stands on."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from reconciler.contracts import Entry, Mark
from reconciler.engine.follow import Follower
from reconciler.engine.own_keys import Kept
from reconciler.guard.core import Core
from reconciler.testing.small_states import Ask, At

KNOWN = frozenset(("self", "kept", "service", "store", "wanted", "level"))
"""What a frame has in hand that is in the state of its node already, or always the same."""


class HeldClock:
    now = At(0.0)

    def wall(self) -> float:
        return 1e9 + self.now

    def boottime(self) -> float:
        return self.now


class AskingStore:
    """Every question is put to whoever moves the puppet."""

    async def read(self, prefix: str) -> Any:
        return await Ask("read", prefix)

    async def commit(self, compare: Any, puts: Any, deletes: Any = ()) -> Any:
        return await Ask("commit", "", dict(compare), dict(puts), tuple(deletes))


class SmallKeepsake:
    def __init__(self) -> None:
        self.boot, self.number = 1, 0

    def secret(self) -> str:
        return f"secret {self.boot} {self.number}"

    def new_secret(self) -> None:
        self.number += 1

    def mark(self) -> Mark:
        return Mark()

    async def keep(self, mark: Mark) -> None:
        """What was seen before a boot is not looked at here."""


def anew(value: Any) -> Any:
    if isinstance(value, Kept):
        return replace(value, sent=dict(value.sent), records=dict(value.records))
    return value


def refill(kept: dict[str, Any], wanted: Mapping[str, Any]) -> None:
    """The same dictionary: others look into it."""
    kept.clear()
    kept.update(wanted)


def followed(follower: Follower) -> tuple[Mapping[str, Entry], int, Mapping[str, int]]:
    return dict(follower.entries), follower.reached, dict(follower._gone)


def copied(core: Core) -> Core:
    made, mind = copy.copy(core), copy.copy(core.mind)
    mind.lines, mind._busy = dict(mind.lines), set(mind._busy)
    mind._retry, mind._told = dict(mind._retry), dict(mind._told)
    made.mind = mind
    return made


def frames(coroutine: Any) -> tuple[Any, ...]:
    """Where it stands, and all that it has in hand."""
    found: list[Any] = []
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None)
        if frame is None:
            break
        names = [n for n in sorted(frame.f_locals) if n not in KNOWN]
        held = tuple((name, anew(frame.f_locals[name])) for name in names)
        found.append((frame.f_code.co_name, frame.f_lasti, held))
        coroutine = coroutine.cr_await
    return tuple(found)
