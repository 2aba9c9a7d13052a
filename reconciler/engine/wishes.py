"""What a person asks for, as a request → a wish that is kept, or a refusal that says what to do."""

import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from reconciler.contracts import Clock, Event, Recorder
from reconciler.decide.asked import Asked, Frozen, Wish
from reconciler.decide.heard import heard, under_way
from reconciler.decide.moves import MOVES
from reconciler.decide.parts import States, in_the_way
from reconciler.decide.placement import refusal
from reconciler.engine import attempts
from reconciler.engine.desk import Desk
from reconciler.engine.record import Record
from reconciler.engine.together import Together
from reconciler.errors import NeedsPerson
from reconciler.model import State


class Wishes:
    def __init__(self, desk: Desk, records: Mapping[str, Record], recorder: Recorder, clock: Clock) -> None:
        self._desk, self._records = desk, records
        self._recorder, self._clock = recorder, clock
        self.together: Together | None = None  # where several hosts share what is asked

    async def ask(self, key: str, request: Mapping[str, Any], who: str) -> Wish:
        """Keep it durably and queue the key; raises NeedsPerson with the reason when it is refused."""
        wish = self._moved(key, self._wish(request, who))
        record = self._records.get(key)
        # No pass may have come by since something ended.
        asked = self._desk.asked(key).current(wish.at, self._desk.known(key))
        frozen = self._node_frozen(wish.at) or asked.frozen
        if why := refusal(record.service if record else None, wish, asked, frozen):
            raise NeedsPerson(f"{key}: {why}")
        assert record is not None
        if self.together and (why := self.together.elsewhere.refusal(record, wish)):
            raise NeedsPerson(f"{key}: {why}")
        if why := under_way(wish, asked):
            raise NeedsPerson(f"{key}: {why}")
        states = self._states(record, wish)
        if why := in_the_way(record.service, wish, asked, frozen, states):
            raise NeedsPerson(f"{key}: {why}")
        attempts.begin_afresh(record, wish)
        everything = record.whole.values() if wish.verb == "clear" else record.service.resources
        up = {rid for rid, state in states.items() if state in (State.UP, State.NA)}
        after = heard(wish, self._desk.asked(key), everything, up, frozen is not None)
        if self.together and wish.verb not in attempts.NO_FRESH_START:
            after = replace(after, fresh=wish)  # the other hosts have failures of their own
        self._desk.put_asked(key, after)
        text = str(wish) + (f", for {wish.until - wish.at:.0f} s" if wish.until else "")
        self._recorder.record(Event(wish.at, "wish", key, reason=wish.verb.capitalize(), text=text))
        self._desk.stir(key)
        if failing := await self._desk.kept(key):
            raise NeedsPerson(f"{key}: taken, but it will not survive a restart: {failing}")
        if self._desk.shared and not _stands(wish, self._desk.asked(key)):
            raise NeedsPerson(
                f"{key}: another host wrote what somebody asked at the same moment; ask again"
            )
        return wish

    def _states(self, record: Record, wish: Wish) -> States:
        """Of its parts where they run; of a local wish, here."""
        there = self.together.elsewhere.told_states(record.key) if self.together and not wish.node else {}
        return there or {rid: seen.state for rid, seen in record.seen.items()}

    def _moved(self, key: str, wish: Wish) -> Wish:
        """A move, with where from or where to; a restart of one instance after another."""
        record = self._records.get(key)
        if self.together is None or record is None:
            return wish
        if wish.verb == "restart" and record.service.topology == "flex" and not wish.node:
            return replace(wish, left=tuple(self.together.elsewhere.holders(record)))
        if wish.verb not in MOVES:
            return wish
        away, to = self.together.elsewhere.move(record, wish)
        return replace(wish, verb="switch", away=away, to=to)

    def _node_frozen(self, now: float) -> Frozen | None:
        frozen = self._desk.node_frozen()
        return None if frozen and frozen.over(now) else frozen

    async def ask_node(self, request: Mapping[str, Any], who: str) -> None:
        """Freeze, thaw or drain the whole node; with `scope: cluster` freeze or thaw all of them."""
        verb, now = str(request["verb"]), self._clock.wall()
        if verb not in ("freeze", "thaw", "drain", "maintenance", "confirmed-off"):
            raise NeedsPerson(f"a node can be frozen, thawed and drained, not asked to {verb}")
        if verb in ("maintenance", "confirmed-off"):
            await self._member(verb, str(request.get("to") or ""), who, now)
            return
        until = now + float(request["for"]) if request.get("for") else 0.0
        whole = request.get("scope") == "cluster"
        frozen = Frozen(who, now, str(request.get("reason") or ""), until, "cluster" if whole else "node")
        if whole:
            if self.together is None or verb == "drain":
                raise NeedsPerson("this host is alone, and a cluster is not drained: use --node")
            await self.together.freeze(frozen if verb == "freeze" else None)
        elif verb == "drain":
            if self.together is None:
                raise NeedsPerson("this host is alone: there is nobody to give its services to; use `stop`")
            self._desk.put_node_drained(frozen, bool(request.get("until_reboot")))
        else:
            self._desk.put_node_frozen(frozen if verb == "freeze" else None)
            if verb == "thaw":
                self._desk.put_node_drained(None)
        text = f"asked by {who}: {verb} the {'cluster' if whole else 'node'}"
        self._recorder.record(Event(now, "wish", reason=verb.capitalize(), text=text))
        await self._desk.durable()
        if not whole and self._desk.failing:
            raise NeedsPerson(f"taken, but it will not survive a restart: {self._desk.failing}")

    async def _member(self, verb: str, to: str, who: str, now: float) -> None:
        if self.together is None:
            raise NeedsPerson("this host is alone: it has no session that others could close")
        await self.together.node_asked(verb, to)
        text = f"asked by {who}: {verb} {to}".rstrip()
        self._recorder.record(Event(now, "wish", reason=verb.capitalize(), text=text))

    def _wish(self, request: Mapping[str, Any], who: str) -> Wish:
        now = self._clock.wall()
        until = now + float(request["for"]) if request.get("for") else 0.0
        return Wish(
            verb=str(request["verb"]),
            who=who,
            at=now,
            id=uuid.uuid4().hex[:12],
            reason=str(request.get("reason") or ""),
            until=until,
            rids=tuple(request.get("rids") or ()),
            upto=str(request.get("upto") or ""),
            downto=str(request.get("downto") or ""),
            force=bool(request.get("force")),
            local=bool(request.get("local")),
            node=self.together.node if self.together and request.get("local") else "",
            to=str(request.get("to") or ""),
        )


def _stands(wish: Wish, asked: Asked) -> bool:
    """What was asked is what the store has now."""
    match wish.verb:
        case "freeze":
            return asked.frozen is not None
        case "thaw":
            return asked.frozen is None
        case "clear" | "abort":
            return True
        case _:
            # Fulfilled already, it stands no more; another's word does.
            known = {w.id for w in (asked.standing, asked.wish) if w}
            return not known or wish.id in known
