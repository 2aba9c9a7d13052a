"""What operators asked for, as values that are kept in the store, and how they are read and written."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

VERBS = (
    "start",
    "stop",
    "restart",
    "freeze",
    "thaw",
    "provision",
    "unprovision",
    "purge",
    "clear",
    "abort",
    "switch",
    "takeover",
    "giveback",
    "drain",
)

HOUR, MOST_MOVES = 3600.0, 3
"""More moves of a service by itself would be a trouble of its own."""
DEADLINE = 300.0
"""Seconds a one-off wish lives by default."""
APART = 7200.0
"""Seconds that the wall clocks of two hosts may differ before a wish of one is nothing to the other."""


@dataclass(frozen=True)
class Wish:
    """One thing an operator asked for. Instants are wall-clock seconds: a person's time.

    until  a standing wish ends then by itself (`--for`), 0: never. A one-off wish expires when a host
           has known it for as long: the clock of who asked may be another than that of who acts.
    phase  of a restart: "down", then "up".
    node   of a local one: the only node that it is about.
    to     of a switch: where to. away: without that, from where.
    left   of a restart, nodes whose instance is still to be restarted: the first one acts.
    """

    verb: str
    who: str
    at: float
    id: str = ""
    reason: str = ""
    until: float = 0.0
    rids: tuple[str, ...] = ()
    upto: str = ""
    downto: str = ""
    force: bool = False
    local: bool = False
    phase: str = ""
    node: str = ""
    to: str = ""
    away: str = ""
    left: tuple[str, ...] = ()

    def over(self, now: float) -> bool:
        return bool(self.until) and now >= self.until

    def __str__(self) -> str:
        part = "".join(f" --rid {rid}" for rid in self.rids)
        part += f" --upto {self.upto}" if self.upto else ""
        part += f" --downto {self.downto}" if self.downto else ""
        part += f" --to {self.to}" if self.to else ""
        part += f" --local on {self.node}" if self.node else ""
        return f"asked by {self.who}: {self.verb}{part}" + (f" ({self.reason})" if self.reason else "")


@dataclass(frozen=True)
class Frozen:
    who: str
    at: float
    reason: str = ""
    until: float = 0.0
    scope: str = "service"

    def over(self, now: float) -> bool:
        return bool(self.until) and now >= self.until

    def __str__(self) -> str:
        what = "" if self.scope == "service" else f"{self.scope} "
        return f"{what}frozen by {self.who}" + (f" ({self.reason})" if self.reason else "")


@dataclass(frozen=True)
class Ended:
    """How the last one-off wish ended: fulfilled, expired or failed."""

    wish: Wish
    state: str
    message: str = ""


@dataclass(frozen=True)
class Asked:
    """All that operators asked of one service; and when it was moved without being asked.

    stopped  rids stopped on purpose (flag X). moves: of the last hour.
    fresh    the last word after which old failures count no more, on every host; None on one alone.
    """

    standing: Wish | None = None
    wish: Wish | None = None
    frozen: Frozen | None = None
    stopped: frozenset[str] = field(default_factory=frozenset)
    ended: Ended | None = None
    moves: tuple[float, ...] = ()
    fresh: Wish | None = None

    def ended_as(self, state: str, message: str = "") -> "Asked":
        """The one-off wish has ended so."""
        return replace(self, wish=None, ended=Ended(self.wish, state, message) if self.wish else self.ended)

    def current(self, now: float, known: float = 0.0) -> "Asked":
        """Without what has run out. `known`: the seconds that this host has known the one-off wish.

        An agent that was away hears it anew: one that is over by any clock is not begun then.
        """
        wish = self.wish
        late = wish is not None and (wish.over(wish.at + known) or wish.over(now - APART))
        if not late and not any(word and word.over(now) for word in (self.standing, self.frozen)):
            return self
        return replace(
            self,
            standing=None if self.standing and self.standing.over(now) else self.standing,
            wish=None if late else wish,
            frozen=None if self.frozen and self.frozen.over(now) else self.frozen,
        )

    def moved(self, now: float) -> "Asked | None":
        """With one more move; None when there were as many as may be in an hour."""
        lately = tuple(at for at in self.moves if 0 <= now - at < HOUR)
        return None if len(lately) >= MOST_MOVES else replace(self, moves=(*lately, now))

    def on(self, node: str) -> "Asked":
        """Without what is about another node alone; where a start is to be is no matter of one node."""
        standing, wish = self.standing, self.wish
        elsewhere = standing and standing.verb == "stop" and standing.node not in ("", node)
        if wish is None and not elsewhere:
            return self
        return replace(
            self,
            standing=None if elsewhere else standing,
            wish=wish if wish and wish.node in ("", node) and wish.left[:1] in ((), (node,)) else None,
        )

    def next_end(self, now: float, known: float = 0.0) -> float | None:
        """Seconds until something runs out; `known` as above."""
        ends = [w.until - now for w in (self.standing, self.frozen) if w and w.until > now]
        if (wish := self.wish) and wish.until > wish.at + known:
            ends.append(wish.until - wish.at - known)
        return min(ends, default=None)


NOBODY = Asked()
"""Nothing was asked."""


def written(asked: Asked) -> dict[str, Any]:
    """As JSON for the store."""
    return {
        "standing": asdict(asked.standing) if asked.standing else None,
        "wish": asdict(asked.wish) if asked.wish else None,
        "frozen": asdict(asked.frozen) if asked.frozen else None,
        "stopped": sorted(asked.stopped),
        "ended": asdict(asked.ended) if asked.ended else None,
        "moves": list(asked.moves),
        "fresh": asdict(asked.fresh) if asked.fresh else None,
    }


def read(stored: Mapping[str, Any]) -> Asked:
    """The reverse of `written`."""
    return Asked(
        _wish(stored.get("standing")),
        _wish(stored.get("wish")),
        Frozen(**stored["frozen"]) if stored.get("frozen") else None,
        frozenset(stored.get("stopped", ())),
        _ended(stored.get("ended")),
        tuple(stored.get("moves", ())),
        _wish(stored.get("fresh")),
    )


def _ended(stored: Mapping[str, Any] | None) -> Ended | None:
    wish = _wish(stored["wish"]) if stored else None
    return Ended(wish, stored["state"], stored["message"]) if stored and wish else None


def frozen(text: str) -> Frozen | None:
    """Of the whole cluster, as the store has it; what is not understood counts as frozen."""
    try:
        kept = json.loads(text)
        return Frozen(**kept) if kept else None
    except (ValueError, TypeError):
        return Frozen("a later version", 0.0, scope="cluster")


def _wish(stored: Mapping[str, Any] | None) -> Wish | None:
    lists = {name: tuple(stored.get(name, ())) for name in ("rids", "left")} if stored else {}
    return Wish(**{**stored, **lists}) if stored else None
