"""The pass: a service as it is now → observed, planned, its ready steps started as jobs, reported."""

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from reconciler.contracts import Clock, Driver, Event, Recorder
from reconciler.decide.asked import Asked, Frozen
from reconciler.decide.holds import planned
from reconciler.decide.inputs import Inputs, parts, unclaimed
from reconciler.decide.placement import Decision, Here, decide
from reconciler.decide.plan import UPWARD, Situation, undermined
from reconciler.decide.situations import STARTS, Look, Roster, Seen, roster
from reconciler.decide.turn import Turn, alone
from reconciler.engine import attempts, monitor, progress, rest
from reconciler.engine.desk import Desk
from reconciler.engine.jobs import Ended, Jobs
from reconciler.engine.observe import Observer
from reconciler.engine.queue import Pace
from reconciler.engine.record import Record, as_before
from reconciler.engine.together import Together
from reconciler.model import Act, Goal, Owner, Plan, Service, ServiceGoal, State, settled
from reconciler.settings import Settings

REFUSED = 0.2
"""Seconds until an operation is tried again for which the guard or the claim was not there."""


class Reconciler:
    """All services of this node. `gone` is told when nothing is left of a deleted service."""

    def __init__(
        self,
        settings: Settings,
        drivers: Mapping[str, Driver],
        observer: Observer,
        desk: Desk,
        recorder: Recorder,
        clock: Clock,
        records: dict[str, Record],
    ) -> None:
        self._settings, self._drivers, self._observer = settings, drivers, observer
        self._desk, self._recorder, self._clock = desk, recorder, clock
        self.records = records
        # Set by who wires the parts: they need the passes themselves.
        self.jobs: Jobs
        self.passed: Callable[[str], None]
        self.gone: Callable[[str], None]
        self.discard: Callable[[str], None]  # remove its document: the service was purged
        self.ended_for_all: Callable[[str], None] = lambda key: None
        self.kept: Callable[[Inputs], None] = lambda inputs: None  # what a pass decided on
        self.together: Together | None = None  # with others, where several hosts share a store
        self.leaving = ""  # why everything goes down before the agent ends, "" when it does not
        self.pace = Pace()  # of all passes
        self.halted = False  # the agent ends: nothing new is begun

    async def reconcile(self, key: str) -> float:
        """One pass; returns the seconds after which to look again. Safe to call at any time."""
        record = self.records.get(key)
        if record is None or self.halted:
            return math.inf
        if not record.passes and not record.seen:
            progress.recall(record, self._desk)
        asked = self._what_is_asked(key)
        attempts.heard_elsewhere(record, asked.fresh, self._settings.node)
        here, service, deleted, everything = self._here_now(record), record.service, record.deleted, asked
        basis = self._basis(record)  # before anything is waited for: the claim is, too
        wanted = decide(service, asked.on(here.node), here, deleted)
        turn, near = alone(wanted, asked), None
        if self.together:
            turn, near = await self.together.turn(record, wanted, asked)
        decision, asked = turn.decision, turn.asked
        made, who, look = await self._situations(record, service, deleted, turn)
        if self._basis(record) != basis:
            return 0.0  # taken back, frozen or edited while it looked: nothing is begun on the old word
        now, old = asyncio.get_running_loop().time(), _outcome(record)
        if record.decision is None or decision.because != record.decision.because:
            self._event(record, "decision", f"{decision.goal}: {decision.reason}", reason=decision.code)
        # With the goals that follow from it, not before: what is shown in between must fit together.
        record.decision, record.asked = decision, self._desk.asked(key)
        if self.together:
            await self.together.settle(record, made, turn)
            if self._basis(record) != basis:
                return 0.0
        if self._note(record, made, decision, now):
            return 0.0
        counted = record.counted(asyncio.get_running_loop().time())
        record.plan = planned(made, record.last_order, counted, unclaimed(turn), self._drivers)
        if not _same(old, _outcome(record)):
            given = (record.document, record.deleted, everything, near, counted)
            self.kept(Inputs(service, here, look, *given))
        self._act(record, made)
        self._after(record, asked, decision, made, who)
        record.passes += 1
        if key not in self.records:  # gone with this pass
            return math.inf
        self.passed(key)
        # What takes the place of what made way is for the next pass; no event need come before that.
        if who.made_way(made):
            return 0.0
        again_in = self._again_in(record, asked, made, now)
        sooner = self.together.again_in(key, turn) if self.together else 0.0
        return min(again_in, sooner) if sooner else again_in

    def ended(self, ended: Ended) -> None:
        """A job ended; its key is queued by the caller."""
        record = self.records.get(ended.job.owner.service)
        if record is None:
            return
        progress.job_ended(record, ended, asyncio.get_running_loop().time(), self._settings)
        step = ended.job.step
        if ended.refused:
            record.refused, record.refused_until = ended.why, asyncio.get_running_loop().time() + REFUSED
        if ended.ok and step.act is Act.DESTROY:
            self._desk.remember(ended.job.owner, "provisioned", None)
        if ended.ok and step.act is Act.CREATE:
            self._desk.remember(ended.job.owner, "provisioned", "yes")
        if not ended.ok and not ended.turned:
            what = f"{step.act.value} failed: {ended.why}"
            if step.act is Act.PREFLIGHT:
                what = f"start aborted due to resource {record.attempt.conflict}"
            self._event(record, "job", what, rid=step.rid, reason=step.act.value, ok=False)

    async def foresee(self, record: Record) -> Plan:
        """What a pass would plan from fresh facts; nothing is done and nothing is kept.

        `record` may be one made up for a document that is not in force. What is untouched only
        because nobody asked for it is planned as if somebody had asked for a start.
        """
        known = self._desk.known(record.key)
        everything = self._desk.asked(record.key).current(self._clock.wall(), known)
        asked = everything.on(self._settings.node)
        trial = Record(record.key, record.service, record.document, record.deleted)
        trial.budgets, trial.stops, trial.attempt = record.budgets, record.stops, record.attempt
        decision = decide(record.service, asked, self._here(record), record.deleted)
        if decision.code == "NotOrchestrated":
            decision = replace(decision, goal=ServiceGoal.UP)
        turn, said = alone(decision, asked), ""
        if self.together:
            turn, said = self.together.foresee(record.service, decision, everything)
        made, _who, _look = await self._situations(
            trial, record.service, record.deleted, turn, follow=False
        )
        alive = any(s.seen.state in (State.UP, State.WARN) for s in made.values() if s.goal is Goal.UP)
        lost = record.attempt.up_as == record.service.generation
        counted = trial.counted(asyncio.get_running_loop().time())
        counted = replace(counted, coming_up=not alive and not lost)
        foreseen = planned(made, trial.last_order, counted, "", self._drivers, ahead=True)
        return replace(foreseen, notes=(said,)) if said else foreseen

    # --- parts of a pass -------------------------------------------------------------------

    async def _situations(
        self, record: Record, service: Service, deleted: bool, turn: Turn, follow: bool = True
    ) -> tuple[dict[str, Situation], Roster, Look]:
        """Look at every resource; what is seen, beside what is wanted of it.

        By one document: while it looks, that may be removed, and be back as it was.
        """
        applied = self._desk.applied(record.key)
        who = roster(service, deleted, applied)
        order = record.order(who.resources)
        # Before the facts are read: a job that ends meanwhile leaves them possibly too old for it.
        running = frozenset({*self.jobs.of(record.key), *self.jobs.under_way(record.key)})
        by_rid = {r.rid: r for r in who.resources}
        resources = [by_rid[rid] for rid in order.rids]
        seen = await self._observer.look(record.key, resources, applied, follow)
        await self.pace.turn()  # one answer may have set all workers free at once
        if self.together:
            seen = self.together.apart(record.key, seen)
        activated = frozenset(record.attempt.activated)
        memories = self._desk.memories(record.key)
        look = Look(seen, applied, memories, running, activated, self._stale(record, seen))
        return parts(service, deleted, turn, look, who, order), who, look

    def _stale(self, record: Record, seen: Mapping[str, Seen]) -> frozenset[str]:
        together = self.together
        if together is None:
            return frozenset()
        marked = {rid: one.observed for rid, one in seen.items() if one.observed.state is State.ELSEWHERE}
        return frozenset(rid for rid, one in marked.items() if together.stale(record, one.holder))

    def _what_is_asked(self, key: str) -> Asked:
        """Without what ran out; says so once."""
        asked, now = self._desk.asked(key), self._clock.wall()
        current = asked.current(now, self._desk.known(key))
        if self.together and current.wish:
            current = self.together.elsewhere.still_asked(self.records[key], current)
        if current.wish is None and asked.wish and (ended := current.ended) and ended.wish == asked.wish:
            why = f"{asked.wish}: {ended.message or ended.state}"
            self._event(self.records[key], "wish", why, reason="Ended", ok=ended.state == "fulfilled")
            self._desk.put_asked(key, current)
        elif current != asked:
            for kind in ("standing", "wish", "frozen"):
                old = getattr(asked, kind)
                if old and not getattr(current, kind):
                    record = self.records[key]
                    if kind == "wish":
                        waits = "; ".join(f"{w.rid}: {w.why}" for w in record.plan.waiting)
                        ended = asked.ended_as("expired", waits or "not fulfilled in time").ended
                        current = replace(current, ended=ended)
                    self._event(record, "wish", f"{old}: its time is over", reason="Expired", ok=False)
            self._desk.put_asked(key, current)
        return current

    def _here_now(self, record: Record) -> Here:
        """A failed start is over after its time."""
        attempt = record.attempt
        if attempt.failed and asyncio.get_running_loop().time() >= attempt.failed_until:
            attempt.failed = ""
            attempt.activated.clear()
        return self._here(record, self.leaving)

    def _basis(self, record: Record) -> tuple[object, ...]:
        """All that a pass decides on besides facts."""
        asked, frozen = self._desk.asked(record.key), self._desk.node_frozen()
        return asked, frozen, record.service, record.deleted, self.leaving, self.halted

    def _here(self, record: Record, leaving: str = "") -> Here:
        attempt, now = record.attempt, self._clock.wall()
        frozen = self._node_frozen()
        return Here(self._settings.node, now, frozen, attempt.failed, attempt.gives_away, leaving)

    def _node_frozen(self) -> Frozen | None:
        if self.together and (whole := self.together.frozen()):
            return whole
        frozen = self._desk.node_frozen()
        if frozen and frozen.over(self._clock.wall()):
            self._desk.put_node_frozen(None)
            return None
        return frozen

    def _note(self, record: Record, made: Mapping[str, Situation], decision: Decision, now: float) -> bool:
        """Keep what was seen; losses and the attempt to come up are judged against the last pass.

        True when a start just failed: the goal is another one now, and this pass is over.
        """
        for rid, what in progress.note_losses(record, made, now, self._settings).items():
            self._event(record, "state", what, rid=rid, reason="Lost", ok=False)
        progress.note_stops(record, made, now, self._settings)
        progress.note_work_on_data(record, made, now, self._settings)
        for rid in record.settling:
            self._observer.look_again(Owner(record.key, rid))
        for rid, s in made.items():
            self._tell_state(record, rid, s)
        for rid in record.seen.keys() - made.keys():
            self._observer.forget(Owner(record.key, rid))
            lately = (record.started, record.stopped, record.worked)
            for kept in (record.since, record.told, record.budgets, record.stops, *lately):
                kept.pop(rid, None)
        record.seen = as_before(record.seen, {rid: s.seen for rid, s in made.items()})
        record.goals = as_before(record.goals, {rid: s.goal for rid, s in made.items()})
        record.turning = {rid for rid, s in made.items() if s.successor}
        record.whole = as_before(record.whole, {rid: s.resource for rid, s in made.items()})
        listed = self.together.listed if self.together else _nothing
        progress.remember_what_is_seen(record, made, self._desk, listed)
        busy = any(s.running for s in made.values())
        why = attempts.judge_attempt(
            record, decision, now, self._settings, busy, lambda: self._others(record)
        )
        progress.keep_count(record, self._desk)
        if why:
            self._event(record, "state", f"start failed: {why}", reason="StartFailed", ok=False)
            if decision.code == "AskedSwitch":
                self._desk.put_asked(record.key, self._desk.asked(record.key).ended_as("failed", why))
            return True
        if self.together and decision.goal is ServiceGoal.UP:
            tell = partial(self._event, record, "state", ok=False)
            return monitor.act(record, made, self.together, self._desk, self._clock.wall(), tell)
        return False

    def _others(self, record: Record) -> list[str]:
        return self.together.elsewhere.able(record) if self.together else []

    def _tell_state(self, record: Record, rid: str, s: Situation) -> None:
        """Once for each change; what is seen half way through a job is no news."""
        told, state = record.told.get(rid), s.seen.state
        if told is state or s.running:
            return
        record.told[rid], record.since[rid] = state, self._clock.wall()
        if told is not None:
            why = f": {s.seen.notes[0].text}" if s.seen.notes else ""
            ok = state not in (State.WARN, State.UNKNOWN)
            self._event(record, "state", f"{told} → {state}{why}", rid=rid, reason="State", ok=ok)

    def _act(self, record: Record, made: Mapping[str, Situation]) -> None:
        for rid, job in self.jobs.of(record.key).items():
            goal = made[rid].goal if rid in made else Goal.DOWN
            if goal is Goal.NONE:
                # A freeze stops nothing half way: what runs is carried to its end.
                turned = job.current is None
            elif job.step.act is Act.DESTROY:
                turned = rid not in made or not made[rid].destroy
            else:
                turned = (job.step.goal in UPWARD) != (goal in UPWARD)
            if turned:
                self.jobs.turn(job.owner, f"the goal is now {goal}")
            elif job.step.act is Act.START and (why := undermined(rid, made, record.last_order)):
                self.jobs.turn(job.owner, why)
        for step in record.plan.now:
            if self.halted or step.rid in self.jobs.of(record.key):
                continue
            if step.act in (Act.START, Act.CREATE):
                record.attempt.activated.add(step.rid)
            if step.act is Act.START:
                # What may be half started must be known, should its document change before it is up.
                self._desk.put_applied(record.key, step.rid, made[step.rid].resource)
                if made[step.rid].seen.state is State.DOWN and step.rid.startswith(("fs#", "disk#")):
                    self._count_start(Owner(record.key, step.rid))
            if step.act is Act.STOP:
                record.forced -= {step.rid}  # the wait was passed over once; a second failure waits again
            self.jobs.start(record.key, step)

    def _count_start(self, owner: Owner) -> None:
        starts = int(self._desk.memory(owner).get(STARTS, "0")) + 1
        self._desk.remember(owner, STARTS, str(starts), "reboot")

    def _after(
        self,
        record: Record,
        asked: Asked,
        decision: Decision,
        made: Mapping[str, Situation],
        who: Roster,
    ) -> None:
        """Wishes that are fulfilled, resources that are gone for good, a deleted service's end."""
        wish = asked.wish
        if wish and self._desk.asked(record.key).wish != wish:
            wish = None  # it was taken back, or another came, while this pass looked
        if wish and (after := progress.next_wish(wish, decision, made, record.last_order)) != wish:
            now = self._desk.asked(record.key)
            if after is None:
                self._event(record, "wish", f"{wish}: done", reason="Fulfilled")
            self._desk.put_asked(
                record.key, replace(now, wish=after) if after else now.ended_as("fulfilled")
            )
            if after is None and wish.verb == "purge":
                self.discard(record.key)
        for rid, s in made.items():
            if rid not in who.wanted and settled(Goal.DOWN, s.seen) and not s.running:
                self._observer.forget(Owner(record.key, rid))
        over = record.deleted and not decision.frozen and not self.jobs.of(record.key)
        over = over and (self.together is None or self.together.rid_of(record.key))
        if over and progress.nothing_left(record, asked, made):
            self._end(record, decision)

    def _end(self, record: Record, decision: Decision) -> None:
        self._event(record, "document", f"{record.key} is gone: {decision.reason}", reason="Gone")
        for rid in record.whole:
            self._observer.forget(Owner(record.key, rid))
        self._desk.forget(record.key)
        del self.records[record.key]
        if self.together:
            self.together.forget(record.key)
            self.ended_for_all(record.key)
        self.gone(record.key)

    def _again_in(self, record: Record, asked: Asked, made: Mapping[str, Situation], now: float) -> float:
        ends = asked.next_end(self._clock.wall(), self._desk.known(record.key))
        rests = not self._node_frozen() and rest.at_rest(record, made)
        under_way = bool(self.jobs.under_way(record.key))
        return rest.again_in(record, self._settings.look_every, rests, under_way, ends, now)

    def _event(
        self, record: Record, kind: str, text: str, rid: str = "", reason: str = "", ok: bool = True
    ) -> None:
        self._recorder.record(
            Event(self._clock.wall(), kind, record.key, rid, reason=reason, text=text, ok=ok)
        )


def _nothing(owner: Owner) -> bool:
    return False


def _outcome(record: Record) -> tuple[object, ...]:
    """What a pass made of a service; what was seen, and the goals, are the same objects while equal."""
    because = record.decision.because if record.decision else None
    return because, record.plan, record.seen, record.goals


def _same(old: tuple[object, ...], new: tuple[object, ...]) -> bool:
    return old[:2] == new[:2] and old[2] is new[2] and old[3] is new[3]
