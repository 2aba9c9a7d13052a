"""Mistakes planted on purpose → random days that find each of them within a stated number of seeds.

The product has no switch for any of them: they are put there by the test alone.
"""

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest

from reconciler.decide import claims, placement, situations, timing, turn
from reconciler.engine import beats, cluster, library, reconcile, session, together
from reconciler.engine.beats import Beats
from reconciler.engine.cluster import Cluster
from reconciler.engine.desk import Desk
from reconciler.engine.follow import Follower
from reconciler.engine.gate import Gate
from reconciler.engine.library import Library
from reconciler.engine.prune import Verdict
from reconciler.engine.session import OwnSession
from reconciler.errors import MayHeal
from reconciler.guard import asked
from reconciler.guard.core import Core
from reconciler.guard.mind import Mind
from reconciler.guard.records import Loaded
from reconciler.guard.words import Pet, Phase
from reconciler.model import State
from reconciler.testing import guards
from reconciler.testing.clusters import SimCluster
from reconciler.testing.days import day
from reconciler.testing.machines import SimClock

# --- the session ---------------------------------------------------------------------------


def deadline_after_the_reply(patch):
    give = OwnSession._give

    async def late(self, instant):
        await give(self, self._clock.boottime() + self._least().limit)

    patch.setattr(OwnSession, "_give", late)


def wall_clock(patch):
    patch.setattr(SimClock, "boottime", lambda self: self.wall())


def own_wait(patch):
    patch.setattr(
        beats, "dead", lambda session, still, now: bool(still) and session.open and now - still.since >= 7.0
    )


def close_without_the_beat(patch):
    """Only the session, with its epoch, is compared; and nobody asks why the watch says nothing."""
    patch.setattr(Follower, "expect", lambda self, revision, within: None)

    async def close(self, node, surely=False, epoch=0):
        found, revision = self._sessions().get(node, (None, 0))
        still = self._stills.get(node)
        if still is None or found is None or not found.open:
            return False
        self._tried[node] = (revision, still.revision)
        closed = replace(found, open=False, epoch=found.epoch + 1)
        key = cluster.keys.session(node)
        done = await self._store.commit({key: revision}, {key: beats.written(closed)})
        self.heard()
        return done is not None

    patch.setattr(Beats, "close", close)


def clone_goes_on(patch):
    patch.setattr(session, "continues", lambda record, boot_id, secret: bool(record and record.open))


def waits_a_second_less(patch):
    fast = replace(timing.PROFILES["fast"], wait=6.0)
    patch.setattr("reconciler.testing.days.PROFILES", {"fast": fast, "default": fast})


# --- claims --------------------------------------------------------------------------------


def release_before_the_stop(patch):
    async def settle(self, record, made, turn):
        if turn.act == "release":
            await self.cluster.release(record.key)

    patch.setattr(together.Together, "settle", settle)
    patch.setattr(Gate, "count", lambda self, service: 0)


def unknown_is_down(patch):
    patch.setattr(together, "GONE", (*together.GONE, State.UNKNOWN))


def claim_of_an_older_session(patch):
    def mine(service, me, view):
        held = view.claims.get(service, {}).values()
        return next((claim for claim in held if claim and claim.node == me.node), None)

    def held(self, service):
        me = self._holder()
        return mine(service, me.session, self.view) if me else None

    patch.setattr(cluster, "mine", mine)
    patch.setattr(Cluster, "held", held)


def epochs_alone_are_compared(patch):
    """Whoever has the same epoch takes the claim for its own."""

    def mine(service, me, view):
        held = view.claims.get(service, {}).values()
        return next((claim for claim in held if claim and claim.epoch == me.epoch), None)

    patch.setattr(cluster, "mine", mine)


def everything_is_free(patch):
    for module in (claims, turn):
        patch.setattr(module, "free", lambda claim, sessions: True)


def fence_lies(patch):
    """It says that the node is off, which it is not."""

    async def fence(self, node):
        return ""

    patch.setattr(SimCluster, "fence", fence)


# --- data ----------------------------------------------------------------------------------


def a_stop_destroys(patch):
    patch.setattr(situations, "destroys", lambda resource, decision, asked: True)


def a_removal_destroys(patch):
    """Whatever its document says."""
    deleted = placement._deleted
    patch.setattr(placement, "_deleted", lambda service: deleted(replace(service, on_delete="purge")))


def whatever_is_missing_was_removed(patch):
    """Nothing is held back when all documents go at once."""
    patch.setattr(library, "judge", lambda in_force, missing, *more: Verdict(frozenset(missing)))


def nobody_is_told_what_is_not_kept(patch):
    """Of a disk that is full."""
    works = Desk._works
    patch.setattr(Desk, "_works", lambda self, failing: works(self, ""))


def an_edit_restarts_all(patch):
    """What is in force of one service counts as new for all."""
    put = Library._put_in_force

    def more(self, file, checked):
        put(self, file, checked)
        for key, record in self._records.items():
            for resource in record.service.resources[-1:] if record.passes else ():
                old = replace(resource, spec={**resource.spec, "version": -1})
                self._desk.put_applied(key, resource.rid, old)
            self._changed(key)

    patch.setattr(Library, "_put_in_force", more)


# --- the guard -----------------------------------------------------------------------------


def line_after_the_operation(patch):
    enter = Gate.enter

    async def late(self, owner, operation, resource):
        if not self._cluster.held(owner.service):
            return "no claim"

        async def later():
            await asyncio.sleep(2.0)
            with suppress(MayHeal):
                await enter(self, owner, operation, resource)

        self.entering = asyncio.create_task(later())
        return ""

    patch.setattr(Gate, "enter", late)


def late_word_revives(patch):
    def extend(mind, request, now):
        if mind.session is None:
            raise asked.Refused("no session")
        mind.phase = Phase.HELD
        mind.deadline = float(request.words["deadline"])
        return [asked.Reply(request.connection, request.id, {})]

    patch.setitem(asked._HANDLERS, "extend", extend)
    agent_lives_on(patch)
    patch.setattr(OwnSession, "_passed", lambda self, now: False)


def agent_lives_on(patch):
    """Nobody is killed before the guard stops."""
    trip = Mind.trip

    def at_once(self, why, since, now):
        actions = trip(self, why, since, now)
        self._retry.pop(0, None)
        self._go_on(now)
        return actions

    patch.setattr(Mind, "trip", at_once)


def pets_for_ever(patch):
    passed = Core._passed
    patch.setattr(Core, "_passed", lambda self, now: [*passed(self, now), Pet()])


def forgets_the_ledger(patch):
    patch.setattr(guards, "loaded", lambda records, deadline: Loaded())


# --- the planner ---------------------------------------------------------------------------


def frozen_is_not_read(patch):
    decide = placement.decide
    patch.setattr(
        reconcile,
        "decide",
        lambda service, asked, here, deleted=False: decide(
            service, replace(asked, frozen=None), replace(here, frozen=None), deleted
        ),
    )


SEEDS = 30
CUT = ("silent", "fading", "leaderless")
CANARIES = {
    deadline_after_the_reply: ("slow", "silent"),
    wall_clock: ("clock", *CUT),
    own_wait: ("silent",),
    close_without_the_beat: ("deaf", "asked"),
    clone_goes_on: ("clone",),
    epochs_alone_are_compared: ("kill", "crash"),
    waits_a_second_less: ("lost", "silent", "stuck", "sluggish"),
    release_before_the_stop: ("asked", "asked of a node"),
    unknown_is_down: ("blind", "asked", "silent"),
    claim_of_an_older_session: (*CUT, "kill"),
    everything_is_free: ("kill",),
    fence_lies: ("silent", "hold"),
    a_stop_destroys: ("asked",),
    a_removal_destroys: ("removed",),
    an_edit_restarts_all: ("clock",),
    whatever_is_missing_was_removed: ("directory lost",),
    nobody_is_told_what_is_not_kept: ("disk full", "asked of a node", "kill", "both die"),
    line_after_the_operation: ("lost", "kill", "silent"),
    late_word_revives: (*CUT, "late"),
    agent_lives_on: ("sluggish", "lost", "silent"),
    pets_for_ever: ("stuck", *CUT),
    forgets_the_ledger: ("both die", "silent"),
    frozen_is_not_read: ("asked", "asked of a node", "lost"),
}


def found(kinds, seeds):
    """The first seed whose day goes wrong, and what was wrong."""
    for seed in range(seeds):
        if wrong := day(seed, kinds).wrong:
            return seed, wrong
    return None, ""


@pytest.mark.parametrize("mistake", CANARIES, ids=lambda mistake: mistake.__name__)
def test_a_mistake_is_found(mistake):
    kinds = CANARIES[mistake]
    with pytest.MonkeyPatch.context() as patch:
        mistake(patch)
        seed, _wrong = found(kinds, SEEDS)
    assert seed is not None, f"{mistake.__name__} was not found in {SEEDS} days"
    made = day(seed, kinds)
    assert not made.wrong, f"seed {seed} is wrong without the mistake: {made.wrong}"
