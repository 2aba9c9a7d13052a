"""The two keys of a node in the store → what its own agent knows of them, and what it finds there."""

from dataclasses import dataclass, field

from reconciler.contracts import Entry, Store
from reconciler.decide import keys
from reconciler.decide.sessions import Session, read, written


@dataclass
class Kept:
    """The keys of this node as last known.

    sent  by token, the clock before each send that may stand there now; records: what it wrote of
          the session, if anything.
    """

    session: Session
    revision: int
    beat: int
    sent: dict[str, float]
    records: dict[str, Session] = field(default_factory=dict)

    def drop(self, token: str) -> None:
        del self.sent[token]
        self.records.pop(token, None)


@dataclass(frozen=True)
class Found:
    """The same keys as read. `text`: of the record, "" when there is none."""

    session: Session | None
    text: str
    revision: int
    token: str
    beat: int


async def entry(store: Store, key: str) -> Entry | None:
    """One key. Raises MayHeal."""
    return (await store.read(key)).entries.get(key)


async def found_keys(store: Store, node: str) -> Found:
    """One after the other: a beat that is read is no older than the record. Raises MayHeal."""
    record, mark = await entry(store, keys.session(node)), await entry(store, keys.beat(node))
    return Found(
        read(record.value) if record else None,
        record.value if record else "",
        record.revision if record else 0,
        mark.value if mark else "",
        mark.revision if mark else 0,
    )


async def rewritten(store: Store, found: Found, session: Session, token: str) -> bool:
    """Whether both keys are these now; not if either moved since it was found."""
    own, beat = keys.session(session.node), keys.beat(session.node)
    compare = {own: found.revision, beat: found.beat}
    return await store.commit(compare, {own: written(session), beat: token}) is not None
