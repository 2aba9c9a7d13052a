"""What stands in the store under this node's name → why no session can be opened yet.

Remembered between two tries: a beat that moves is that of another me, and a fence ends some time.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from reconciler.contracts import Clock
from reconciler.decide.sessions import Session, under_fence
from reconciler.engine.own_keys import Found

DUPLICATE = "another node lives under this name"
POISON = "duplicate node"
"""A token that nobody sent to renew: whoever finds it has lost the session, too."""
FENCE_ENDS = 60.0
"""Seconds that a fence takes at most, usually: after these a node no longer waits to hear how it ended."""


@dataclass(frozen=True)
class Me:
    node: str
    boot_id: str


class Opening:
    """Of one agent. `duplicate`: another node lives under this name. `lives`: that node has a session."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self.duplicate = clock, False
        self.lives: Callable[[str], bool] = lambda node: True
        self._seen_beat = 0
        self._fence_seen = (0, math.inf)  # epoch closed while this node was fenced, since when it is seen

    def why_not(self, record: Session, found: Found, own: bool) -> str:
        """ "" when nothing stands against it. `own`: of this boot and this secret."""
        if record.open and not own:
            return self._another(found)
        if under_fence(record) and self.lives(record.fencing) and not self._fence_ended(record.epoch):
            return f"{record.fencing} may still be fencing this node: waits to hear how it ended"
        return ""

    def opened(self) -> None:
        self.duplicate, self._seen_beat = False, 0

    def _another(self, found: Found) -> str:
        """An open session of this name: that of a boot before, or of another me, who moves the beat."""
        self.duplicate |= self._seen_beat not in (0, found.beat) and found.token != POISON
        self._seen_beat = found.beat
        if self.duplicate:
            return f"{DUPLICATE}: rename one of them, or end it"
        return "an earlier session of this node is open: closed once it stood for its T"

    def _fence_ended(self, epoch: int) -> bool:
        """As far as anybody would still say."""
        now = self._clock.boottime()
        if self._fence_seen[0] != epoch:
            self._fence_seen = (epoch, now)
        return now - self._fence_seen[1] >= FENCE_ENDS
