"""What a session needs beside its store → Protocols: its guard, and what it keeps on disk."""

from typing import Protocol

from reconciler.contracts import Mark


class GuardSeen(Protocol):
    @property
    def phase(self) -> str:
        """`idle`: no session, nothing listed. `killing`, `stopping`: it ends what is listed."""
        ...

    @property
    def last(self) -> int:
        """No session with an epoch up to this one is ever open again here."""
        ...


class Told(Protocol):
    def is_set(self) -> bool: ...


class Guard(Protocol):
    """The process that stops what was started here when we cannot. Every call may raise MayHeal."""

    @property
    def lost(self) -> Told:
        """It is gone, or has ended the session: renewing stops at once."""
        ...

    async def state(self) -> GuardSeen: ...

    async def open(self, epoch: int, deadline: float) -> object:
        """A session until that boot-time instant; or go on with one after a restart."""
        ...

    async def extend(self, deadline: float) -> None:
        """Also to an earlier one."""
        ...

    async def trip(self, why: str) -> None:
        """End the session now."""
        ...

    async def close(self) -> None:
        """The session ends with nothing listed; MayHeal while something is."""
        ...


class Keepsake(Protocol):
    """What outlives the agent: a secret under the run directory, a mark in the state directory."""

    def secret(self) -> str:
        """Its digest; whoever has the secret, and this boot, may continue the session."""
        ...

    def new_secret(self) -> None: ...

    def mark(self) -> Mark: ...

    async def keep(self, mark: Mark) -> None: ...
