"""What passes decided on → the last of it, within bounds, so that a decision can be taken again."""

from collections import Counter
from dataclasses import dataclass
from itertools import count

from reconciler.decide.inputs import Inputs

MOST, MOST_PARTS = 64, 2000
"""Decisions that are kept, and resources in all of them: a few hundred bytes each."""


@dataclass(frozen=True, slots=True)
class Kept:
    number: int
    given: Inputs

    @property
    def key(self) -> str:
        return self.given.service.key

    @property
    def parts(self) -> int:
        return len(self.given.look.seen) + 1


class Decisions:
    """The values themselves, as they were decided on; a pass pays for no more than keeping them."""

    def __init__(self, most: int = MOST, parts: int = MOST_PARTS) -> None:
        self._most, self._most_parts = most, parts
        self._kept: dict[int, Kept] = {}
        self._numbers = count(1)
        self._parts = 0
        self._of: Counter[str] = Counter()

    def keep(self, given: Inputs) -> None:
        """To be told of what differs from the pass before."""
        if given.near:
            len(given.near.peers)  # as they are now, where nothing was decided by them
        kept = Kept(next(self._numbers), given)
        self._kept[kept.number] = kept
        self._parts += kept.parts
        self._of[kept.key] += 1
        while len(self._kept) > self._most or (self._parts > self._most_parts and len(self._kept) > 1):
            self._drop()

    def _drop(self) -> None:
        """The oldest of the service that has most: one that goes up and down leaves room for the others."""
        key, _ = self._of.most_common(1)[0]
        number = next(number for number, kept in self._kept.items() if kept.key == key)
        self._parts -= self._kept.pop(number).parts
        self._of[key] -= 1
        self._of += Counter()

    def all(self, service: str = "") -> list[Kept]:
        """Oldest first; of one service (a key), or of all."""
        return [kept for kept in self._kept.values() if service in ("", kept.key)]
