"""Sessions and beats as the store shows them → who is dead, what may be closed, whose session it is.

The clock of every rule is the observer's own: how long *I* saw a beat unchanged, never a time that
somebody wrote. All instants are CLOCK_BOOTTIME seconds of this host.
"""

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

from reconciler.decide.timing import usual

FORMAT = 1
"""Of the record; one that is not understood is never taken for dead."""


class Level(StrEnum):
    """How surely a holder has stopped when its session is closed; each is more than the one before."""

    NONE = "none"
    LEASE = "lease"
    WATCHDOG = "lease+watchdog"
    FENCED = "fenced"

    def covers(self, needed: "Level") -> bool:
        order = list(Level)
        return order.index(self) >= order.index(needed)


def level(guarded: bool, watchdog: bool, groups: bool) -> Level:
    """Of a session: its guard lives, a watchdog is armed, programs have control groups none escapes."""
    if not guarded or not groups:
        return Level.NONE
    return Level.WATCHDOG if watchdog else Level.LEASE


def outside(levels: Mapping[str, Level], fenced: Collection[str]) -> list[str]:
    """Where at most one host is not sure to have a thing, a line each with what to do.

    levels  of the open sessions, by node. fenced: nodes that this host can switch off.
    """
    found = []
    if weak := sorted(name for name, has in levels.items() if has is Level.NONE):
        found.append(
            f"{', '.join(weak)}: level none, what runs there may outlive its session: "
            "it needs a guard that lives, and control groups that it can make"
        )
    if weak := sorted(name for name, has in levels.items() if has is Level.LEASE and name not in fenced):
        found.append(
            f"{', '.join(weak)}: level lease, nobody resets a host that hangs or stops too slowly while "
            "another takes over: give it a watchdog, or the others a fence"
        )
    return found


@dataclass(frozen=True)
class Session:
    """One node's right to hold claims. Changes only when it is opened, closed, or its terms change.

    wait     T: seconds an observer must see the beat unchanged; inf is maintenance.
    secret   digest of a secret under the run directory: who has it, and this boot, may continue it.
    fencing  who has begun to fence the node, "" for nobody.
    """

    node: str
    epoch: int
    boot_id: str
    secret: str
    wait: float
    level: Level
    open: bool = True
    fencing: str = ""
    format: int = FORMAT


def written(session: Session) -> str:
    """As the store keeps it."""
    kept = asdict(session)
    kept["wait"] = None if math.isinf(session.wait) else session.wait
    return json.dumps(kept, sort_keys=True)


@lru_cache(maxsize=256)
def read(text: str) -> Session | None:
    """The reverse of `written`; None when it cannot be understood, whatever the text."""
    try:
        kept: Any = json.loads(text)
        if kept["format"] != FORMAT:
            return None
        wait = math.inf if kept["wait"] is None else float(kept["wait"])
        session = Session(**{**kept, "wait": wait, "level": Level(kept["level"])})
    except (ValueError, TypeError, KeyError):
        return None
    sound = isinstance(session.epoch, int) and isinstance(session.open, bool) and session.wait > 0
    return session if sound else None


# --- seen from outside ---------------------------------------------------------------------


@dataclass(frozen=True)
class Still:
    """A beat's revision, and since when this host has seen it unchanged."""

    revision: int
    since: float


def watched(stills: Mapping[str, Still], beats: Mapping[str, int], now: float) -> dict[str, Still]:
    """Take in the beats' revisions of a snapshot that was read, or an event that came, at `now`.

    A clock belongs to one revision: reading the same one again, after however long a silence or a
    rebuilt watch, neither restarts nor shortens it. A beat never seen before begins now.
    """
    taken: dict[str, Still] = {}
    for node, revision in beats.items():
        old = stills.get(node)
        taken[node] = old if old and old.revision == revision else Still(revision, now)
    return taken


def dead(session: Session | None, still: Still | None, now: float) -> bool:
    """Its beat stood for the T written in its own session. What is not understood is not dead."""
    if session is None or still is None or not session.open:
        return False
    return now - still.since >= session.wait


@dataclass(frozen=True)
class Answers:
    """When the store last answered me, and since when it has done so without a gap.

    A gap is more than I + 2r without any answer.
    """

    last: float
    since: float


def answered(answers: Answers | None, now: float, gap: float) -> Answers:
    """The store answered at `now`; `gap` is I + 2r."""
    if answers is None or now - answers.last > gap:
        return Answers(now, now)
    return Answers(now, answers.since)


def may_judge(answers: Answers | None, now: float, gap: float) -> bool:
    """After a silence of the store I close nobody before it has answered again for as long.

    While it was silent nobody's beat could move: the silence was not theirs.
    """
    if answers is None or now - answers.last > gap:
        return False
    return answers.last - answers.since >= gap


def suspected(
    session: Session | None, still: Still | None, answers: Answers | None, now: float, suspicion: float
) -> bool:
    """It may be fenced: silent for so long, in which the store answered me throughout.

    suspicion  seconds; at least I + E + 3r: an election of the store's leader is no silence of a peer.
               One whose T is longer may renew more rarely: then it is that of its own times.
    """
    if session is None or still is None or answers is None or not session.open:
        return False
    if math.isinf(session.wait):
        return False  # in maintenance nobody ends it
    suspicion = max(suspicion, usual(session.wait).silent)
    if now - still.since < suspicion:
        return False
    return answers.since <= still.since and now - answers.last < suspicion


def under_fence(record: Session) -> bool:
    """It was closed while somebody fenced its node, and how that ended has not been told: the node may be
    switched off at any moment, with whatever it would have begun by then.
    """
    return not record.open and bool(record.fencing) and record.level is not Level.FENCED


# --- seen from inside ----------------------------------------------------------------------


class Renewal(StrEnum):
    MINE = "mine"  # the deadline moves, from before that send
    LOST = "lost"  # another me, or closed: stop at once
    UNKNOWN = "unknown"  # the deadline stands


def renewal(committed: bool, mine: Session, sent: str, found: tuple[Session | None, str] | None) -> Renewal:
    """What the answer to a renewal means.

    committed  the store took it.
    sent       the random token of that very send.
    found      session and token read back after a refusal; None: there was no answer.
    """
    if committed:
        return Renewal.MINE
    if found is None:
        return Renewal.UNKNOWN
    session, token = found
    if session is None or not session.open or session.epoch != mine.epoch or session.secret != mine.secret:
        return Renewal.LOST
    if session.fencing:
        return Renewal.LOST  # whoever began to fence me does not look back
    # The commit got through and its reply was lost, exactly when my own token is what stands there.
    return Renewal.MINE if token == sent else Renewal.LOST


def continues(record: Session | None, boot_id: str, secret: str) -> bool:
    """Whether a new agent goes on with the session it finds under its own name.

    Anything else makes it an observer like any other, of its own name too: the record may be that of
    a clone that is alive.
    """
    if record is None or not record.open or record.fencing:
        return False
    return record.boot_id == boot_id and record.secret == secret


def deadline(sent: float, limit: float) -> float:
    """Until when a holder may go on: D after the clock was read before the acknowledged send."""
    return sent + limit


def takeover(dead_level: Level, needed: Level, confirmed: bool) -> str:
    """Why the services of a dead node may not be taken over by themselves, "" when they may."""
    if confirmed or dead_level.covers(needed):
        return ""
    return (
        f"its safety level was {dead_level}, the service requires {needed}: "
        "fence the node, or `standfast takeover --confirmed-off NODE` once it is off for sure"
    )
