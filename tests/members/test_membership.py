"""How a node's session is kept, lost and closed: what each node sees, and what follows."""

import asyncio
import math
from dataclasses import replace

import pytest

from reconciler.contracts import Identity, Mark
from reconciler.decide import keys
from reconciler.decide.sessions import FORMAT, Level, Session, written
from reconciler.decide.standing import Terms
from reconciler.decide.timing import PROFILES
from reconciler.engine.membership import accepted
from reconciler.engine.opening import POISON
from reconciler.errors import MayHeal
from tests.members.rig import FAST, WRONG, Bed, play

T, D, GAP = FAST.wait, FAST.deadline, FAST.renew + 2 * FAST.request
CONSERVATIVE = PROFILES["conservative"]


nap = asyncio.sleep


def test_a_node_opens_its_session_and_renews_it():
    async def story(bed: Bed) -> None:
        n1 = bed.node("n1", offset=5000.0)
        await bed.held(n1)
        assert (n1.current().epoch, n1.current().wait) == (1, T)
        await nap(20)
        assert n1.current().epoch == 1
        assert n1.way.sent == pytest.approx(20 / FAST.renew, abs=3)
        # The deadline counts from before the send.
        assert n1.standing.deadline <= n1.clock.boottime() + D
        assert n1.standing.deadline > n1.clock.boottime() + D - FAST.renew - 0.1

    play(story)


def test_a_dead_node_is_closed_once_after_its_t():
    async def story(bed: Bed) -> None:
        n1, n2, n3 = (bed.node(name) for name in ("n1", "n2", "n3"))
        await bed.held(n1, n2, n3)
        await nap(5)
        n1.crash()
        took = await bed.until(lambda: not bed.session("n1").open)
        assert T - FAST.renew <= took <= T + 0.3
        await nap(10)
        assert [name for _, name in bed.truth.closes] == ["n1"]
        assert bed.session("n1").epoch == 2
        assert n2.current().epoch == n3.current().epoch == 1

    play(story)


def test_after_a_reboot_a_node_opens_a_later_epoch():
    async def story(bed: Bed) -> None:
        n1, n2 = bed.node("n1"), bed.node("n2")
        await bed.held(n1, n2)
        n1.crash()
        await bed.until(lambda: not bed.session("n1").open)
        n1.boot("boot 2")
        await bed.held(n1)
        assert n1.current().epoch == 3

    play(story)


def test_a_fast_reboot_waits_like_everybody_for_its_own_earlier_session():
    async def story(bed: Bed) -> None:
        n1 = bed.node("n1")
        await bed.held(n1)
        n1.crash()
        n1.boot("boot 2")
        await nap(1)
        assert "an earlier session of this node is open" in n1.standing.why
        took = await bed.until(lambda: n1.current() is not None)
        assert took > T - FAST.renew - 1
        assert n1.current().epoch == 3
        assert not any(standing.duplicate for standing in n1.standings)

    play(story)


def test_a_killed_agent_goes_on_with_its_session_within_a_second():
    async def story(bed: Bed) -> None:
        n1, n2 = bed.node("n1"), bed.node("n2")
        await bed.held(n1, n2)
        await nap(3)
        n1.kill()
        assert n1.current() is None
        assert await bed.until(lambda: n1.current() is not None) < 0.2
        assert n1.current().epoch == 1
        await nap(10)
        assert bed.truth.closes == []
        assert n1.guard.phase == "held"

    play(story)


def test_a_renewal_of_the_agent_before_that_lands_late_is_no_other_me():
    """It is on its way while the successor reads, and lands before the successor's own."""

    async def story(bed: Bed) -> None:
        n1 = bed.node("n1")
        await bed.held(n1)
        await bed.until(lambda: n1.clock.boottime() % FAST.renew > 0.4)
        n1.kill()
        n1.way.slow = 0.2
        found = bed.truth.entries(keys.beat("n1"))[keys.beat("n1")].revision
        await bed.until(lambda: n1.agents == 2)
        await nap(0.6)  # it has read the beat, and sends now
        assert bed.truth.entries(keys.beat("n1"))[keys.beat("n1")].revision == found
        await bed.put(keys.beat("n1"), "of the agent before")
        await bed.held(n1)
        assert n1.current().epoch == 1
        assert not any(standing.duplicate for standing in n1.standings)

    play(story)


def test_a_lost_reply_does_not_lose_the_session():
    async def story(bed: Bed) -> None:
        n1 = bed.node("n1")
        await bed.held(n1)
        before = n1.agents
        n1.way.drop = lambda compare, puts: n1.way.sent % 2 == 0
        await nap(60)
        assert n1.current().epoch == 1
        assert n1.agents == before

    play(story)


def test_a_renewal_that_lands_late_is_still_mine():
    """Sent, given up, sent again; then the first lands and the second is refused."""

    async def story(bed: Bed) -> None:
        n1 = bed.node("n1")
        await bed.held(n1)
        n1.way.late = 0.7
        await nap(1.5)
        n1.way.late = None
        await nap(20)
        assert n1.current().epoch == 1
        assert n1.agents == 1

    play(story)


def test_a_session_whose_first_renewals_come_late_does_not_begin_past_its_deadline():
    async def story(bed: Bed) -> None:
        n1 = bed.node("n1")
        n1.way.late = D + 1
        await nap(30)
        assert n1.guard.given == []
        n1.way.late = None
        await bed.held(n1)
        assert n1.guard.last == 0

    play(story)


def test_a_late_landing_counts_from_its_own_send():
    async def story(bed: Bed) -> None:
        n1 = bed.node("n1")
        await bed.held(n1)
        n1.way.drop = lambda compare, puts: True
        sent = n1.clock.boottime()
        n1.way.mute = True  # renewals land, and nobody hears of it
        await bed.until(lambda: n1.guard.phase != "held", within=D + 0.1)
        assert n1.guard.deadline <= sent + D

    play(story)


def test_a_store_that_is_silent_for_all_closes_nobody():
    async def story(bed: Bed) -> None:
        nodes = [bed.node(name) for name in ("n1", "n2", "n3")]
        await bed.held(*nodes)
        for _ in range(5):
            for node in nodes:
                node.way.silent = True
            await nap(2.0)  # an election and more; D is longer
            for node in nodes:
                node.way.silent = False
            await nap(1.0)
        await nap(20)
        assert bed.truth.closes == []
        assert [node.current().epoch for node in nodes] == [1, 1, 1]
        assert [node.agents for node in nodes] == [1, 1, 1]

    play(story)


def test_a_store_lost_for_long_stops_all_and_all_are_back_without_being_closed():
    async def story(bed: Bed) -> None:
        nodes = [bed.node(name) for name in ("n1", "n2", "n3")]
        await bed.held(*nodes)
        for node in nodes:
            node.way.silent = True
        await nap(60)
        assert all(node.guard.phase == "idle" for node in nodes)
        for node in nodes:
            node.way.silent = False
        assert await bed.until(lambda: all(node.current() for node in nodes)) < GAP
        await nap(20)
        assert bed.truth.closes == []
        assert [node.current().epoch for node in nodes] == [2, 2, 2]

    play(story)


def test_whom_the_store_answers_first_after_a_silence_closes_nobody():
    """In maintenance its agent lives on, with all the beats as they stood before the silence."""

    async def story(bed: Bed) -> None:
        nodes = [bed.node(name) for name in ("n1", "n2", "n3")]
        await bed.held(*nodes)
        nodes[0].member.set_terms(Terms.of(FAST, Level.WATCHDOG).maintenance)
        await nap(2)
        for node in nodes:
            node.way.silent = True
        await nap(60)
        nodes[0].way.silent = False
        await nap(GAP - 0.5)
        for node in nodes:
            node.way.silent = False
        await nap(5)
        assert bed.truth.closes == []
        assert [node.current().epoch for node in nodes] == [1, 2, 2]

    play(story)


def test_a_node_cut_off_has_stopped_before_it_is_closed():
    """The oracle of the bed: nothing may be up when the close lands. Here the clocks help nobody."""

    async def story(bed: Bed) -> None:
        n1 = bed.node("n1", rate=1 - WRONG)
        n2 = bed.node("n2", rate=1 + WRONG, offset=99.0)
        await bed.held(n1, n2)
        await nap(3)
        n1.way.silent = True
        await bed.until(lambda: not bed.session("n1").open)
        assert n1.guard.phase == "idle"
        n1.way.silent = False
        await bed.held(n1)
        assert n1.current().epoch == 3

    play(story)


def test_renewals_that_land_unheard_keep_nobody_alive_here_but_stop_no_promise():
    """A cut one way: the beat moves for the others, while this node hears nothing and stops."""

    async def story(bed: Bed) -> None:
        n1, n2 = bed.node("n1"), bed.node("n2")
        await bed.held(n1, n2)
        n1.way.mute = True
        await nap(30)
        assert n1.guard.phase == "idle"
        n1.way.mute = False
        await bed.held(n1)
        assert n1.current().epoch >= 2

    play(story)


def test_the_observer_waits_for_the_holders_t():
    async def story(bed: Bed) -> None:
        n1 = bed.node("n1", CONSERVATIVE)
        n2 = bed.node("n2", FAST)
        await bed.held(n1, n2)
        await nap(10)
        n1.way.silent = True
        took = await bed.until(lambda: not bed.session("n1").open, within=70)
        assert took > CONSERVATIVE.wait - CONSERVATIVE.renew

    play(story)


def test_an_observer_with_a_silent_watch_closes_nobody():
    """All look dead to it; that their beats are compared saves them, and the watch is rebuilt."""

    async def story(bed: Bed) -> None:
        n1, n2 = bed.node("n1"), bed.node("n2")
        await bed.held(n1, n2)
        n2.way.deaf = True
        await nap(30)
        assert bed.truth.closes == []
        assert "silent" in n2.member.trouble
        n2.way.deaf = False
        await nap(5)
        assert n2.member.trouble == ""
        assert n2.member.still()["n1"] < 1

    play(story)


def test_what_is_compared_is_the_beat_that_stood():
    """Two look dead; while one is being closed the other's beat comes in."""

    async def story(bed: Bed) -> None:
        n3 = bed.node("n3")
        for name in ("n1", "n2"):
            await bed.put(keys.session(name), written(Session(name, 1, "b", "s", T, Level.LEASE)))
            await bed.put(keys.beat(name), "once")
        await nap(T - 0.1)
        n3.way.slow = 0.8
        await nap(0.3)
        await bed.put(keys.beat("n2"), "again")
        await nap(3)
        assert [name for _, name in bed.truth.closes] == ["n1"]

    play(story)


def test_a_beat_that_comes_while_its_close_is_under_way_makes_it_fail():
    """Its session is the same still: to compare the epoch alone would close a node that is alive."""

    async def story(bed: Bed) -> None:
        bed.node("n3")
        await bed.put(keys.session("n1"), written(Session("n1", 1, "b", "s", T, Level.LEASE)))
        await bed.put(keys.beat("n1"), "once")
        await nap(T - 0.1)
        bed.nodes[0].way.slow = 0.8
        await nap(0.3)
        await bed.put(keys.beat("n1"), "again")
        await nap(3)
        assert bed.truth.closes == []
        await bed.until(lambda: not bed.session("n1").open)

    play(story)


def test_after_a_silence_only_my_own_no_one_is_judged_at_once():
    async def story(bed: Bed) -> None:
        n1, n2 = bed.node("n1"), bed.node("n2", CONSERVATIVE)
        await bed.held(n1, n2)
        await nap(10)
        n2.way.silent = True
        await nap(9)
        n1.crash()
        await nap(9)
        n2.way.silent = False
        gap = CONSERVATIVE.renew + 2 * CONSERVATIVE.request
        took = await bed.until(lambda: not bed.session("n1").open)
        # It saw the last beat of n1 only after the silence, and from then on counts T.
        assert took >= gap - CONSERVATIVE.request

    play(story)


def test_the_watch_that_breaks_is_read_anew_and_no_clock_is_shortened():
    async def story(bed: Bed) -> None:
        n1, n2 = bed.node("n1"), bed.node("n2")
        await bed.held(n1, n2)
        await nap(3)
        n1.crash()
        for _ in range(12):
            await nap(0.5)
            bed.truth.compacted()
        assert bed.session("n1").open
        took = await bed.until(lambda: not bed.session("n1").open)
        assert 12 * 0.5 + took == pytest.approx(T, abs=0.7)

    play(story)


# --- two of one name -----------------------------------------------------------------------


def test_a_clone_with_another_secret_never_opens():
    async def story(bed: Bed) -> None:
        n1 = bed.node("n1")
        await bed.held(n1)
        clone = bed.node("n1", boot="other boot")
        await nap(30)
        assert n1.current().epoch == 1
        assert clone.current() is None
        assert clone.standing.duplicate
        assert "another node lives under this name" in clone.standing.why

    play(story)


def test_a_clone_with_the_same_secret_makes_both_stop():
    """It goes on with the session, as a new agent would; each finds the other's token."""

    async def story(bed: Bed) -> None:
        n1 = bed.node("n1", secret="of both")
        other = bed.node("n2")
        await bed.held(n1, other)
        await nap(2)
        clone = bed.node("n1", secret="of both")
        await bed.until(lambda: n1.guard.last == clone.guard.last == 1, within=2)
        assert any(standing.duplicate for standing in n1.standings)
        assert any(standing.duplicate for standing in clone.standings)
        await bed.until(lambda: not bed.session("n1").open)
        await bed.until(lambda: bool(n1.current() or clone.current()), within=10)
        await nap(30)
        assert bool(n1.current()) != bool(clone.current())  # later one of them has it, and one an alarm
        assert {n1.standing.duplicate, clone.standing.duplicate} == {True, False}
        assert other.agents == 1

    play(story)


def test_a_poisoned_beat_is_nobodys():
    async def story(bed: Bed) -> None:
        n1, n2 = bed.node("n1"), bed.node("n2")
        await bed.held(n1, n2)
        await bed.put(keys.beat("n1"), POISON)
        await bed.until(lambda: n1.guard.phase == "stopping", within=1)
        assert any(standing.duplicate for standing in n1.standings)

    play(story)


def test_a_session_that_is_closed_is_lost_at_once():
    async def story(bed: Bed) -> None:
        n1, n2 = bed.node("n1"), bed.node("n2")
        await bed.held(n1, n2)
        n1.guard._timing = replace(FAST, watchdog=0, reset=0.0)  # a person was right: it is off
        n1.guard.phase = "idle"
        await n2.member.close("n1")
        assert bed.session("n1").level is Level.FENCED
        await bed.until(lambda: n1.current() is None, within=1)
        assert not any(standing.duplicate for standing in n1.standings)
        await bed.held(n1)
        assert n1.current().epoch == 3

    play(story)


def test_of_a_dead_node_a_person_may_say_that_it_is_off_for_sure():
    async def story(bed: Bed) -> None:
        n1, n2 = bed.node("n1"), bed.node("n2")
        await bed.held(n1, n2)
        n1.crash()
        await bed.until(lambda: not bed.session("n1").open, within=FAST.wait + 2)
        assert bed.session("n1").level is not Level.FENCED
        epoch = bed.session("n1").epoch
        assert await n2.member.close("n1")
        assert (bed.session("n1").level, bed.session("n1").epoch) == (Level.FENCED, epoch)

    play(story)


# --- terms ---------------------------------------------------------------------------------


def test_raising_t_the_record_comes_first():
    async def story(bed: Bed) -> None:
        n1 = bed.node("n1")
        await bed.held(n1)
        await nap(1)
        n1.way.silent = True
        longer = Terms.of(CONSERVATIVE, Level.WATCHDOG)
        n1.member.set_terms(longer)
        await nap(1)
        assert bed.session("n1").wait == T
        assert max(n1.guard.given) <= n1.clock.boottime() + D
        n1.way.silent = False
        await nap(1)
        assert bed.session("n1").wait == CONSERVATIVE.wait
        assert n1.guard.deadline > n1.clock.boottime() + D

    play(story)


def test_raising_t_a_late_renewal_counts_by_the_record_it_came_with():
    async def story(bed: Bed) -> None:
        n1 = bed.node("n1")
        await bed.held(n1)
        await nap(FAST.renew - 0.05)
        n1.way.late = 0.7  # the next renewal lands after the one that would raise T was sent
        await nap(0.2)
        n1.member.set_terms(Terms.of(CONSERVATIVE, Level.WATCHDOG))
        for _ in range(300):
            await nap(0.01)
            if bed.session("n1").wait == T:
                assert n1.guard.deadline <= n1.clock.boottime() + D
        n1.way.late = None
        await nap(5)
        assert n1.current().wait == CONSERVATIVE.wait

    play(story)


def test_lowering_t_the_guard_comes_first():
    async def story(bed: Bed) -> None:
        n1 = bed.node("n1", CONSERVATIVE)
        await bed.held(n1)
        await nap(4.5)
        seen: list[tuple[float, float]] = []
        bed.truth.landed.append(
            lambda puts, deletes: seen.append(
                (bed.session("n1").wait, n1.guard.deadline - n1.clock.boottime())
            )
        )
        n1.member.set_terms(Terms.of(FAST, Level.WATCHDOG))
        await nap(5)
        assert seen[-1][0] == T
        assert all(left <= D for wait, left in seen if wait == T)
        assert n1.current().wait == T

    play(story)


def test_while_the_store_is_away_t_is_not_lowered_and_nobody_stops_for_it():
    async def story(bed: Bed) -> None:
        n1 = bed.node("n1", CONSERVATIVE)
        await bed.held(n1)
        n1.way.silent = True
        await nap(8)
        n1.member.set_terms(Terms.of(FAST, Level.WATCHDOG))
        await nap(5)
        assert (bed.session("n1").wait, n1.guard.phase) == (CONSERVATIVE.wait, "held")
        n1.way.silent = False
        await nap(4)
        assert (bed.session("n1").wait, n1.guard.phase) == (T, "held")

    play(story)


def test_in_maintenance_nobody_closes_and_nobody_stops():
    async def story(bed: Bed) -> None:
        n1, n2 = bed.node("n1"), bed.node("n2")
        await bed.held(n1, n2)
        terms = Terms.of(FAST, Level.WATCHDOG)
        n1.member.set_terms(terms.maintenance)
        await bed.until(lambda: math.isinf(bed.session("n1").wait))
        n1.way.silent = True
        await nap(600)
        assert n1.current().epoch == 1
        assert bed.truth.closes == []
        n1.way.silent = False
        n1.kill()  # a restart does not clear it
        await nap(5)
        assert math.isinf(n1.current().wait)
        n1.member.set_terms(terms)
        await nap(2)
        assert n1.current().wait == T
        n1.way.silent = True
        await bed.until(lambda: not bed.session("n1").open)

    play(story)


def test_a_host_rebooted_in_maintenance_ends_that_itself():
    """What its earlier boot left open nobody closes, until a person ends it there; then it stands for T."""

    async def story(bed: Bed) -> None:
        n1, n2 = bed.node("n1"), bed.node("n2")
        await bed.held(n1, n2)
        terms = Terms.of(FAST, Level.WATCHDOG)
        await n1.member.agree(terms.maintenance, 5.0)
        n1.crash()
        await nap(60)
        n1.boot("boot 2")
        await nap(60)
        assert n1.current() is None
        assert "in maintenance: `standfast node maintenance --off`" in n1.standing.why
        assert bed.truth.closes == []
        began = asyncio.get_running_loop().time()
        await n1.member.agree(terms, 5.0)
        await bed.until(lambda: n1.current() is not None)
        (closed,) = bed.truth.closes
        assert T <= closed[0] - began <= T + 2
        assert n1.current().wait == T

    play(story)


def test_maintenance_is_taken_once_the_record_says_so_and_not_when_the_store_is_away():
    async def story(bed: Bed) -> None:
        n1, n2 = bed.node("n1"), bed.node("n2")
        await bed.held(n1, n2)
        terms = Terms.of(FAST, Level.WATCHDOG)
        await n1.member.agree(terms.maintenance, 5.0)
        assert math.isinf(bed.session("n1").wait)
        n1.way.silent = True
        with pytest.raises(MayHeal, match="the store does not take it"):
            await n1.member.agree(terms, 3.0)
        n1.way.silent = False
        await nap(5)
        assert math.isinf(bed.session("n1").wait)  # who was told that it is not done is not surprised later
        await n1.member.agree(terms, 5.0)
        assert bed.session("n1").wait == T

    play(story)


def test_a_new_agent_with_a_shorter_t_shortens_its_deadline_first():
    async def story(bed: Bed) -> None:
        n1 = bed.node("n1", CONSERVATIVE)
        await bed.held(n1)
        await nap(4.5)
        n1.timing = FAST
        n1.way._request = FAST.request
        seen: list[tuple[float, float]] = []
        bed.truth.landed.append(
            lambda puts, deletes: seen.append(
                (bed.session("n1").wait, n1.guard.deadline - n1.clock.boottime())
            )
        )
        n1.kill()
        await nap(3)
        assert n1.current().wait == T
        assert all(left <= D for wait, left in seen if wait == T)

    play(story)


# --- the guard, the end, the store ---------------------------------------------------------


def test_without_a_living_guard_renewing_stops():
    async def story(bed: Bed) -> None:
        n1, n2 = bed.node("n1"), bed.node("n2")
        await bed.held(n1, n2)
        n1.guard.die()
        await nap(1)
        sent = n1.way.sent
        await nap(2)
        assert n1.way.sent == sent
        assert "the guard is gone" in n1.standing.why
        await bed.until(lambda: n1.current() is None, within=D)
        await bed.until(lambda: not bed.session("n1").open)

    play(story)


def test_with_another_guard_in_time_the_session_goes_on():
    async def story(bed: Bed) -> None:
        n1, n2 = bed.node("n1"), bed.node("n2")
        await bed.held(n1, n2)
        for _ in range(3):
            given = n1.guard.deadline
            n1.guard.die()
            await nap(1)
            n1.guard.again()
            await nap(1)
            assert (n1.guard.phase, n1.standing.why) == ("held", "")
            assert n1.guard.deadline > given
        assert n1.current().epoch == 1
        assert bed.truth.closes == []

    play(story)


def test_a_node_that_leaves_is_closed_at_once_and_for_sure():
    async def story(bed: Bed) -> None:
        n1, n2 = bed.node("n1"), bed.node("n2")
        await bed.held(n1, n2)
        n1.guard.listed = True
        with pytest.raises(MayHeal, match="listed"):
            await n1.member.leave()
        await nap(2)
        assert n1.current().epoch == 1
        n1.guard.listed = False
        await n1.member.leave()
        assert (bed.session("n1").open, bed.session("n1").level) == (False, Level.FENCED)
        await nap(5)
        assert n1.current() is None
        assert n1.task.done()

    play(story)


def test_a_record_of_a_later_version_is_never_closed():
    async def story(bed: Bed) -> None:
        n1, n2 = bed.node("n1"), bed.node("n2")
        await bed.held(n1, n2)
        text = written(bed.session("n1")).replace(f'"format": {FORMAT}', f'"format": {FORMAT + 1}')
        n1.crash()
        await bed.put(keys.session("n1"), text)
        await nap(100)
        assert bed.truth.closes == []
        n1.boot("boot 2")
        await nap(2)
        assert "a later version wrote it" in n1.standing.why

    play(story)


def test_a_store_that_nobody_founded_is_not_used():
    async def story(bed: Bed) -> None:
        n1 = bed.node("n1")
        n1.way._identity = Identity("c", "", 0)
        await nap(3)
        assert "standfast cluster init" in n1.standing.why
        n1.way._identity = Identity("c", "s", 0)
        await bed.held(n1)

    play(story)


@pytest.mark.parametrize("end", ["lost", "restored"])
def test_another_store_starts_nothing_until_it_is_accepted(end):
    async def story(bed: Bed) -> None:
        n1 = bed.node("n1")
        await bed.held(n1)
        await nap(15)  # the mark is kept
        assert n1.keepsake.kept.epoch == 1
        if end == "lost":
            n1.way.lost = "the store was replaced"
            await bed.until(lambda: n1.standing.session is None, within=1)
            await bed.until(lambda: n1.guard.phase == "stopping", within=D)
        else:
            n1.kill()
            n1.keepsake.kept = Mark(replace(n1.keepsake.kept.identity, revision=10**6), 41)
        await nap(10)
        assert "the store" in n1.lost_store
        assert n1.current() is None
        n1.way.lost = ""
        await nap(10)
        assert n1.current() is None
        n1.keepsake.kept = accepted(n1.keepsake.kept)
        n1.kill()
        await bed.held(n1)
        assert n1.current().epoch == (2 if end == "lost" else 42)

    play(story)


def test_a_full_disk_ends_no_session_and_the_mark_is_kept_when_there_is_room():
    """Days of a full disk found it (seeds 200004, 200044): the session was never opened."""

    async def story(bed: Bed) -> None:
        n1 = bed.node("n1")
        n1.keepsake.full = "No space left on device"
        await bed.held(n1)
        await nap(30)
        assert n1.current().epoch == 1
        assert n1.keepsake.kept == Mark()
        n1.keepsake.full = ""
        await nap(11)
        assert n1.keepsake.kept.epoch == 1

    play(story)
