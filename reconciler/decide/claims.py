"""A service, the sessions, what is claimed → the commit that claims or releases it, or why it has to wait.

A claim is the right to run one slot of a service: failover has one, flex as many as its target. It names
a node and the epoch of its session; once that epoch is over it is free, though it still stands there.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from reconciler.contracts import Driver, Entry
from reconciler.decide import keys
from reconciler.decide import things as t
from reconciler.decide.sessions import Level, Session, takeover
from reconciler.decide.sessions import read as read_session
from reconciler.decide.things import Hold, Thing
from reconciler.model import Service, nothing

MOST_THINGS = 100
"""A commit holds no more than 128 keys; the rest is for the slot and for things of an earlier claim."""


@dataclass(frozen=True)
class Claim:
    """`things`: by name, addresses as the claimant resolved them: the holder uses those."""

    slot: int
    node: str
    epoch: int
    things: tuple[str, ...] = ()


@dataclass(frozen=True)
class Commit:
    """What the store is asked: all of it at once if each of `compare` is at its revision."""

    compare: Mapping[str, int]
    puts: Mapping[str, str] = field(default_factory=nothing)
    deletes: tuple[str, ...] = ()
    claim: Claim | None = None  # held once it is done


@dataclass(frozen=True)
class Holder:
    """My session of now, and the revision of its record: no other commit of mine can be taken."""

    session: Session
    revision: int

    def claims(self, slot: int, things: tuple[str, ...]) -> Claim:
        return Claim(slot, self.session.node, self.session.epoch, things)

    @property
    def compared(self) -> Mapping[str, int]:
        return {keys.session(self.session.node): self.revision}


@dataclass(frozen=True)
class View:
    """The store as far as it was read.

    sessions  by node; None for one that is not understood
    claims    by service and slot, free or not; None likewise
    """

    entries: Mapping[str, Entry]
    sessions: Mapping[str, Session | None]
    claims: Mapping[str, Mapping[int, Claim | None]]

    def revision(self, key: str) -> int:
        entry = self.entries.get(key)
        return entry.revision if entry else 0


def written(claim: Claim) -> str:
    return json.dumps(asdict(claim), sort_keys=True)


def read(text: str) -> Claim | None:
    """The reverse of `written`; None when it cannot be understood: nobody takes that."""
    try:
        kept: Any = json.loads(text)
        claim = Claim(**{**kept, "things": tuple(kept["things"])})
    except (ValueError, TypeError, KeyError):
        return None
    return claim if isinstance(claim.epoch, int) and isinstance(claim.node, str) else None


def slots(service: Service) -> int:
    return max(service.flex.target, 0) if service.topology == "flex" else 1


def free(claim: Claim | Hold, sessions: Mapping[str, Session | None]) -> bool:
    """Its session is over. One of which there is no record, or none that is understood, is not."""
    session = sessions.get(claim.node)
    if session is None:
        return False
    return session.epoch > claim.epoch or (session.epoch == claim.epoch and not session.open)


def left_behind(claims: Mapping[int, Claim | None], sessions: Mapping[str, Session | None]) -> list[str]:
    """Nodes whose session ended over their claim: they did not give it back."""
    return [claim.node for claim in claims.values() if claim and free(claim, sessions)]


def kept_from(claim: Claim | Hold, needed: Level, sessions: Mapping[str, Session | None]) -> str:
    """Why nobody may take what this claim has, "" when anybody may.

    One who opened a session again has stopped before. One who was closed has stopped as surely as its
    level says.
    """
    session = sessions.get(claim.node)
    if not free(claim, sessions):
        return f"held by {claim.node}"
    if session is None or session.open:
        return ""
    why = takeover(session.level, needed, confirmed=False)
    return f"was held by {claim.node}, which is dead: {why}" if why else ""


def needed(service: Service, drivers: Mapping[str, Driver]) -> Level:
    """The level that its holder must have had to be succeeded without a person or a fence."""
    if service.requires_safety:
        return Level(service.requires_safety)
    return Level.WATCHDOG if t.on_shared(service, drivers) else Level.LEASE


def seen(entries: Mapping[str, Entry]) -> View:
    """All that is read of them, made anew."""
    sessions: dict[str, Session | None] = {}
    claims: dict[str, dict[int, Claim | None]] = {}
    for key, entry in entries.items():
        if key.startswith(keys.SESSIONS):
            sessions[key.removeprefix(keys.SESSIONS)] = read_session(entry.value)
        elif place := keys.slot_of(key):
            claims.setdefault(place[0], {})[place[1]] = read(entry.value)
    return View(entries, sessions, claims)


def mine(service: str, me: Session, view: View) -> Claim | None:
    """The claim that my session of now has."""
    for claim in view.claims.get(service, {}).values():
        if claim and (claim.node, claim.epoch) == (me.node, me.epoch) and me.open:
            return claim
    return None


def anothers(service: str, names: Iterable[str], me: Session, view: View) -> str:
    """Another service that has one of these things here, by a claim of my session of now; "" for none."""
    for name in names:
        entry = view.entries.get(keys.thing(name))
        for hold in (t.read(entry.value) or ()) if entry else ():
            if hold.service != service and (hold.node, hold.epoch) == (me.node, me.epoch):
                return hold.service
    return ""


# --- to have it ----------------------------------------------------------------------------


def take(service: Service, wanted: tuple[Thing, ...], level: Level, me: Holder, view: View) -> Commit | str:
    """The commit that claims its first free slot for my session, or why I have to wait.

    level  what its holder before must have had (`needed`).
    """
    key = service.key
    if mine(key, me.session, view):
        return "it is held here already"
    if not view.revision(keys.document(key)):
        return "its document is not in the store yet"
    if len(wanted) > MOST_THINGS:
        return f"it names {len(wanted)} exclusive things, of {MOST_THINGS} that can be claimed: split it"
    slot = _free_slot(service, level, view)
    if isinstance(slot, str):
        return slot
    claim = me.claims(slot, tuple(thing.name for thing in wanted))
    made = _holds(key, claim, wanted, level, view)
    if isinstance(made, str):
        return made
    before = view.claims.get(key, {}).get(slot)
    earlier = set(before.things if before else ()) - set(claim.things)
    dropped = _without(key, slot, sorted(earlier), view)
    slot_key = keys.claim(key, slot)
    # All slots: an attempt for another one, whose answer was lost, may land after this one.
    every = [keys.claim(key, each) for each in range(slots(service))]
    compared = (*every, keys.document(key), *made, *dropped.compare)
    return Commit(
        {**me.compared, **{name: view.revision(name) for name in compared}},
        {slot_key: written(claim), **made, **dropped.puts},
        dropped.deletes,
        claim,
    )


def extend(
    service: Service, claim: Claim, wanted: tuple[Thing, ...], level: Level, me: Holder, view: View
) -> Commit | str:
    """The commit that adds things to my claim, or why it has to wait. What it had stays: it may be up."""
    more = me.claims(claim.slot, tuple(sorted({*claim.things, *(thing.name for thing in wanted)})))
    if len(more.things) > MOST_THINGS:
        return (
            f"it names {len(more.things)} exclusive things, of {MOST_THINGS} that can be claimed: split it"
        )
    made = _holds(service.key, more, wanted, level, view)
    if isinstance(made, str):
        return made
    slot_key = keys.claim(service.key, claim.slot)
    compared = (slot_key, keys.document(service.key), *made)
    return Commit(
        {**me.compared, **{name: view.revision(name) for name in compared}},
        {slot_key: written(more), **made},
        claim=more,
    )


def give(service: str, claim: Claim, view: View) -> Commit:
    """The commit that releases it, whoever looks at it: the slot and each thing's hold go together."""
    slot_key = keys.claim(service, claim.slot)
    dropped = _without(service, claim.slot, claim.things, view)
    compare = {slot_key: view.revision(slot_key), **dropped.compare}
    return Commit(compare, dropped.puts, (slot_key, *dropped.deletes))


def affirm(service: str, claim: Claim, me: Holder, view: View) -> Commit:
    """The commit that writes my claim again: after it, a release of mine that is still under way fails."""
    slot_key = keys.claim(service, claim.slot)
    return Commit(
        {slot_key: view.revision(slot_key), **me.compared}, {slot_key: written(claim)}, claim=claim
    )


def _free_slot(service: Service, level: Level, view: View) -> int | str:
    claims, whys = view.claims.get(service.key, {}), list[str]()
    count = slots(service)
    for slot in range(count):
        if not view.revision(keys.claim(service.key, slot)):
            return slot
        claim = claims.get(slot)
        why = kept_from(claim, level, view.sessions) if claim else "its claim is not understood here"
        if not why:
            return slot
        whys.append(why if count == 1 else f"slot {slot} {why}")
    return "; ".join(whys) or "its target is 0"


def _holds(
    service: str, claim: Claim, wanted: tuple[Thing, ...], level: Level, view: View
) -> dict[str, str] | str:
    """Each thing's key with my hold beside those that stay; or who has one of them."""
    puts: dict[str, str] = {}
    for thing in wanted:
        key = keys.thing(thing.name)
        entry = view.entries.get(key)
        holds = t.read(entry.value) if entry else ()
        if holds is None:
            return f"waits for {thing.name}: who has it is not understood here"
        stay = [hold for hold in holds if (hold.service, hold.slot) != (service, claim.slot)]
        stay = [hold for hold in stay if kept_from(hold, level, view.sessions)]
        for hold in stay:
            if hold.excludes(thing, service, claim.slot, claim.node):
                who = kept_from(hold, level, view.sessions)
                return f"waits for {thing.name}: {hold.service} has it, {who}"
        puts[key] = t.written((*stay, Hold(service, claim.slot, claim.node, claim.epoch, thing.everywhere)))
    return puts


def _without(service: str, slot: int, names: Iterable[str], view: View) -> Commit:
    """What takes that slot's holds away from these things."""
    compare, puts, deletes = dict[str, int](), dict[str, str](), list[str]()
    for name in names:
        key = keys.thing(name)
        entry = view.entries.get(key)
        holds = t.read(entry.value) if entry else None
        if not entry or holds is None:
            continue
        stay = [hold for hold in holds if (hold.service, hold.slot) != (service, slot)]
        compare[key] = entry.revision
        if stay:
            puts[key] = t.written(stay)
        else:
            deletes.append(key)
    return Commit(compare, puts, tuple(deletes))
