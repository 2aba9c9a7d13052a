"""What the guard does, by tables of time and events: when it pets, whom it kills, what it refuses."""

import pytest

from reconciler.guard.lines import encode
from reconciler.guard.records import loaded
from reconciler.guard.words import Gone, Kill, Phase, Stop, Terminate
from tests.guard.rig import AGENT, APP, FS, IP, IP2, OTHER, STANDBY, M, Rig, W, gaps


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_it_pets_while_the_deadline_lies_ahead_and_not_an_instant_longer(rig):
    rig.begin(lines=(IP,))
    end = rig.now + 8.0
    rig.to(end - 0.001)
    assert gaps(rig.pets, end) <= M / 2
    before = len(rig.pets)
    rig.to(end + W)
    assert len(rig.pets) == before


def test_the_end_is_agent_first_then_each_service_from_the_last_line_to_the_first(rig):
    rig.begin(lines=(IP, FS, APP, IP2, STANDBY))
    rig.later(8.0)
    assert (rig.phase, rig.working) == (Phase.KILLING, [None])
    rig.killed()
    assert rig.working == [IP2, APP]
    rig.stopped(APP)
    assert rig.working == [IP2, FS]
    rig.stopped(FS)
    rig.stopped(IP2)
    assert rig.working == [IP]
    rig.stopped(IP)
    assert (rig.phase, rig.disarmed, rig.listed()) == (Phase.IDLE, True, [STANDBY])


def test_who_is_not_killed_at_once_is_killed_again_and_nothing_else_begins(rig):
    rig.begin(lines=(IP,))
    rig.later(8.0)
    rig.killed("not even SIGKILL ends 100 (agent)")
    assert rig.working == []
    rig.later(0.2)
    assert rig.working == [None]
    assert "not even SIGKILL" in rig.said


def test_a_stop_that_failed_is_tried_again_and_holds_up_no_other_service(rig):
    rig.begin(lines=(IP, APP, IP2))
    rig.later(8.0)
    rig.killed()
    rig.stopped(APP, "not even SIGKILL ends 7 (db)")
    rig.stopped(IP2)
    assert rig.working == []
    rig.later(0.2)
    assert rig.working == [APP]


@pytest.mark.parametrize("sysrq", [False, True])
def test_what_is_not_seen_gone_in_time_is_the_last_pet(sysrq):
    rig = Rig(sysrq=sysrq)
    rig.begin(lines=(IP, FS))
    end = rig.now + 8.0
    rig.to(end)
    rig.killed()
    rig.to(end + W - M - 0.001)
    assert not rig.reset
    rig.to(end + W - M)
    assert rig.reset is sysrq
    rig.stopped(FS)
    rig.stopped(IP)
    rig.later(100)
    assert max(rig.pets) < end
    assert not rig.disarmed
    assert "about to be reset" in rig.ask("arm", watchdog=W, margin=M).why
    assert "about to be reset" in rig.ask("open", epoch=2, deadline=rig.now + 5).why
    assert "not seen gone in time" in rig.said


def test_when_time_is_over_everything_is_tried_at_once_by_force(rig):
    rig.begin(lines=(IP, FS))
    rig.later(8.0)
    rig.killed("not even SIGKILL ends 100 (agent)")
    rig.later(W - M)
    assert rig.working == [None, FS, IP]
    assert all(work.late for work in rig.hands if isinstance(work, Stop))


def test_without_a_watchdog_a_late_stop_is_a_stop():
    rig = Rig()
    rig.real = False
    rig.begin(lines=(IP,))
    rig.core.mind.armed = False  # as after a restart: nothing was ever armed by this guard
    rig.later(8.0)
    rig.killed()
    rig.later(W)
    rig.stopped(IP)
    assert (rig.phase, rig.core.mind.doomed) == (Phase.IDLE, False)


@pytest.mark.parametrize(
    ("do", "words"),
    [
        ("extend", {"deadline": 5000.0}),
        ("enter", {"lines": [encode(IP2)]}),
        ("enter", {"lines": []}),
        ("leave", {"numbers": [1]}),
        ("close", {}),
        ("trip", {}),
        ("open", {"epoch": 1, "deadline": 5000.0}),
        ("open", {"epoch": 2, "deadline": 5000.0}),
        ("arm", {"watchdog": W, "margin": M}),
        ("end", {}),
    ],
)
@pytest.mark.parametrize("when", ["killing", "stopping", "at the very deadline"])
def test_a_session_that_is_over_is_never_revived(rig, do, words, when):
    rig.begin(lines=(IP, FS))
    if when == "at the very deadline":
        rig.now += 8.0  # the request is there before the tick
    else:
        rig.later(8.0)
    if when == "stopping":
        rig.killed()
    reply = rig.ask(do, **words)
    assert reply.why
    assert rig.listed() == [IP, FS]
    assert rig.core.mind.over


def test_the_next_session_has_a_higher_epoch_and_an_empty_ledger(rig):
    rig.begin(epoch=4, lines=(IP,))
    rig.later(8.0)
    rig.killed()
    rig.stopped(IP)
    assert "not armed" in rig.ask("open", epoch=5, deadline=rig.now + 8).why
    assert not rig.ask("arm", watchdog=W, margin=M).why
    assert "session 4 is over" in rig.ask("open", epoch=4, deadline=rig.now + 8).why
    assert not rig.ask("open", OTHER, epoch=5, deadline=rig.now + 8).why


def test_another_epoch_waits_until_nothing_of_this_one_is_listed(rig):
    rig.begin(epoch=1, lines=(IP,))
    assert "have to be stopped" in rig.ask("open", epoch=2, deadline=rig.now + 8).why
    assert not rig.ask("leave", numbers=[1]).why
    assert not rig.ask("open", epoch=2, deadline=rig.now + 8).why


def test_only_its_own_agent_is_heard_until_that_is_gone(rig):
    rig.begin(lines=(IP,))
    for do, words in (("extend", {"deadline": 9e9}), ("enter", {"lines": []}), ("trip", {}), ("end", {})):
        assert "holds session 1" in rig.ask(do, OTHER, **words).why
    assert "process 100 holds session 1" in rig.ask("open", OTHER, epoch=1, deadline=rig.now + 8).why
    rig.take(Gone(AGENT))
    rig.later(5.0)
    reply = rig.ask("open", OTHER, epoch=1, deadline=rig.now + 8)
    assert [line for _, line in reply.words["lines"]] == [encode(IP)]
    rig.later(5.0)
    assert rig.phase is Phase.HELD
    assert "holds session 1, not you" in rig.ask("extend", AGENT, deadline=rig.now + 8).why


def test_a_line_is_written_before_it_is_granted_and_keeps_its_place(rig):
    rig.begin()
    assert rig.ask("enter", lines=[encode(IP), encode(FS)]).words["numbers"] == [1, 2]
    assert rig.listed() == [IP, FS]
    assert rig.ask("enter", lines=[encode(FS), encode(APP), encode(IP)]).words["numbers"] == [2, 3, 1]
    assert not rig.ask("leave", numbers=[1, 77, 1]).why
    assert rig.listed() == [FS, APP]
    assert rig.ask("enter", lines=[encode(IP)]).words["numbers"] == [4]


def test_what_cannot_be_written_is_not_granted(rig):
    rig.begin(lines=(IP,))
    rig.full = True
    assert "No space left" in rig.ask("enter", lines=[encode(FS)]).why
    rig.full = False
    rig.later(8.0)
    rig.killed()
    assert rig.working == [IP]


def test_a_line_that_is_standby_no_more_keeps_its_place(rig):
    """Entered anew behind what stands on it, a disk would be let go of under its mount."""
    disk = FS._replace(standby=True)
    rig.begin(lines=(disk, APP))
    assert rig.ask("enter", lines=[encode(FS)]).words["numbers"] == [1]
    assert rig.listed() == [FS, APP]
    assert rig.restarted().listed() == [FS, APP]
    rig.full = True
    assert "cannot be written" in rig.ask("enter", lines=[encode(disk)]).why
    assert rig.listed() == [FS, APP]


@pytest.mark.parametrize(
    "line",
    [
        None,
        {},
        {"what": "mount", "owner": "a"},
        {"what": "program", "owner": 3},
        {"what": "program", "owner": "a", "grace": -1.0},
        {"what": "address", "owner": "a", "address": "1", "dev": "x", "more": 1},
        {"what": "command", "owner": "a", "argv": "rm"},
        {"what": "bomb", "owner": "a"},
    ],
)
def test_a_line_that_could_not_be_carried_out_is_refused(rig, line):
    rig.begin()
    assert rig.ask("enter", lines=[line]).why
    assert rig.listed() == []


# --- the watchdog --------------------------------------------------------------------------


def test_nothing_is_opened_before_the_watchdog_is_armed_and_granted_is_told(rig):
    assert "not armed" in rig.ask("open", epoch=1, deadline=rig.now + 8).why
    rig.granted = 10.0
    assert rig.ask("arm", watchdog=W, margin=M).words == {"granted": 10.0, "real": True}
    rig.broken = "No such file or directory"
    assert "No such file" in rig.ask("arm", watchdog=W, margin=M).why


@pytest.mark.parametrize(("watchdog", "margin"), [(2, 2), (2, 0), (-1, 1), ("8", 1), (True, 1), (None, 1)])
def test_a_watchdog_that_leaves_no_time_is_refused(rig, watchdog, margin):
    assert rig.ask("arm", watchdog=watchdog, margin=margin).why


def test_an_armed_one_without_a_session_is_disarmed_after_its_time(rig):
    rig.ask("arm", watchdog=W, margin=M)
    rig.later(W - 0.1)
    assert not rig.disarmed
    rig.later(0.1)
    assert rig.disarmed
    assert gaps(rig.pets, rig.now) <= M / 2


def test_one_that_cannot_be_disarmed_is_petted_on_while_nothing_is_listed(rig):
    rig.closes = False
    rig.begin(lines=(IP,))
    rig.later(8.0)
    rig.killed()
    rig.later(1.0)
    rig.stopped(IP)
    pets = len(rig.pets)
    rig.later(60)
    assert len(rig.pets) > pets + 100
    assert not rig.disarmed
    assert "nowayout" in rig.ask("end").why


def test_another_time_within_a_session_is_in_force_at_once_and_for_a_guard_after_it(rig):
    rig.begin(lines=(IP,))
    assert not rig.ask("arm", watchdog=4.0, margin=1.0).why
    end = rig.now + 8.0
    rig.to(end + 3.0)
    assert "not seen gone" in rig.said
    assert rig.restarted().core.mind.terms.watchdog == 4.0


# --- requests that end it ------------------------------------------------------------------


def test_a_trip_is_a_deadline_that_is_now(rig):
    rig.begin(lines=(IP,))
    assert not rig.ask("trip", why="the session was lost").why
    assert (rig.phase, rig.working) == (Phase.KILLING, [None])
    assert isinstance(rig.hands[0], Kill)
    assert rig.hands[0].by == rig.now + W - M


def test_a_deadline_may_be_shortened_and_one_that_passed_is_now(rig):
    rig.begin(lines=(IP,))
    rig.ask("extend", deadline=rig.now + 1.0)
    rig.later(0.9)
    assert rig.phase is Phase.HELD
    rig.ask("extend", deadline=1.0)
    assert rig.phase is Phase.KILLING
    assert rig.hands[0].by == rig.now + W - M


@pytest.mark.parametrize(
    ("real", "sysrq", "crash", "how"),
    [
        pytest.param(True, False, False, "watchdog", id="reboot: it is petted no more"),
        pytest.param(True, True, False, "watchdog", id="reboot, sysrq allowed: the watchdog all the same"),
        pytest.param(True, True, True, "sysrq", id="crash: at once"),
        pytest.param(True, False, True, "watchdog", id="crash without sysrq: as soon as possible"),
        pytest.param(False, True, False, "sysrq", id="reboot without a watchdog"),
        pytest.param(False, False, True, "refused", id="nothing to do it with"),
    ],
)
def test_a_reset_is_asked_for(real, sysrq, crash, how):
    rig = Rig(sysrq=sysrq)
    rig.real = real
    rig.begin(lines=(IP,))
    pets = len(rig.pets)
    reply = rig.ask("reset", why="monitor_action", crash=crash)
    rig.later(4.0)
    assert bool(reply.why) is (how == "refused")
    assert rig.reset is (how == "sysrq")
    assert (len(rig.pets) == pets) is (how != "refused")


def test_the_end_is_only_for_an_empty_ledger(rig):
    rig.begin(lines=(IP, STANDBY))
    assert "192.0.2.10/24" in rig.ask("end").why
    assert "192.0.2.10/24" in rig.ask("close").why
    rig.take(Terminate())
    assert not rig.ended
    rig.ask("leave", numbers=[1])
    assert not rig.ask("end").why
    assert (rig.ended, rig.disarmed) == (True, True)


def test_a_session_without_lines_kills_its_agent_all_the_same(rig):
    rig.begin()
    rig.later(8.0)
    assert rig.working == [None]
    rig.killed()
    assert (rig.phase, rig.disarmed) == (Phase.IDLE, True)


# --- a guard after another -----------------------------------------------------------------


def test_a_guard_that_finds_a_ledger_pets_only_after_a_deadline(rig):
    rig.begin(lines=(IP,))
    rig.later(2.0)
    after = rig.restarted()
    assert after.phase is Phase.FOUND
    after.later(3.0)
    assert after.pets == []
    reply = after.ask("open", OTHER, epoch=1, deadline=after.now + 8)
    assert not reply.why
    assert after.pets == [after.now]
    after.later(7.9)
    assert (after.phase, len(after.pets) > 15) == (Phase.HELD, True)


@pytest.mark.parametrize(
    ("before", "ends"),
    [
        pytest.param(1.0, 7.0, id="the deadline that it found passes before W is over"),
        pytest.param(0.0, 8.0, id="both at once"),
    ],
)
def test_a_guard_that_is_given_no_deadline_stops_what_it_found(rig, before, ends):
    rig.begin(lines=(IP,))
    rig.later(before)
    after = rig.restarted()
    after.later(ends - 0.001)
    assert after.phase is Phase.FOUND
    after.later(0.001)
    assert after.working == [None]
    after.killed()
    after.stopped(IP)
    assert after.phase is Phase.IDLE
    assert after.disarmed  # opened, only to be closed: it was left running


def test_a_guard_tells_of_the_watchdog_that_the_session_it_found_had(rig):
    """Whoever goes on with it need not arm: that is refused, with things listed."""
    rig.begin(lines=(IP,))
    after = rig.restarted()
    said = after.ask("state", OTHER).words
    assert (said["phase"], said["watchdog"], said["real"]) == (Phase.FOUND, W, True)
    assert after.ask("arm", OTHER, watchdog=W, margin=M).why


def test_a_guard_without_a_noted_deadline_waits_for_w(rig):
    rig.begin(lines=(IP,), limit=100.0)
    rig.kept = None
    after = rig.restarted()
    after.later(W - 0.001)
    assert after.phase is Phase.FOUND
    after.later(0.001)
    assert after.phase is Phase.KILLING


def test_a_session_that_was_over_is_over_for_the_guard_after_it(rig):
    rig.begin(lines=(IP, FS))
    rig.later(8.0)
    rig.killed()
    rig.stopped(FS)
    after = rig.restarted()
    assert (after.phase, after.working) == (Phase.KILLING, [None])
    assert after.ask("open", OTHER, epoch=1, deadline=after.now + 8).why
    after.killed()
    assert after.working == [IP]
    assert after.pets == []


def test_a_guard_that_begins_when_all_time_is_over_keeps_the_order_all_the_same(rig):
    rig.begin(lines=(IP, FS))
    rig.later(8.0)
    rig.later(60)
    after = rig.restarted()
    assert after.working == [None]
    after.killed()
    assert after.working == [FS]


def test_a_guard_whose_watchdog_is_worse_than_before_ends_the_session(rig):
    rig.begin(lines=(IP,))
    after = rig.restarted()
    after.real = False
    assert "not 8 s as before" in after.ask("open", epoch=1, deadline=after.now + 5).why
    assert after.phase is Phase.KILLING


def test_a_guard_that_finds_nothing_listed_is_idle_and_the_session_may_go_on(rig):
    rig.begin(epoch=3)
    after = rig.restarted()
    assert (after.phase, after.core.mind.armed) == (Phase.IDLE, True)  # it was left running
    assert not after.ask("open", OTHER, epoch=3, deadline=after.now + 8).why


def test_what_cannot_be_read_is_never_seen_gone():
    after = Rig(loaded(['0bad {"enter":[[1,{"what"']))
    assert after.phase is Phase.FOUND
    assert "will be stopped" in after.ask("open", epoch=1, deadline=after.now + 8).why
    after.later(2.0)
    after.killed()
    assert "unreadable line" in str(after.working[0])


@pytest.mark.parametrize("again", [False, True], ids=["held", "found"])
def test_a_session_that_cannot_be_written_anew_is_as_it_was(rig, again):
    """A new agent goes on with it while the disk is full: that agent is refused, and nothing is stopped."""
    rig.begin(lines=(IP,))
    rig.later(2.0)
    if again:
        rig = rig.restarted()
    rig.take(Gone(AGENT))
    phase = rig.phase
    rig.full = True
    assert "cannot be written" in rig.ask("open", OTHER, epoch=1, deadline=rig.now + 8).why
    rig.later(5.0)
    assert (rig.phase, rig.working) == (phase, [])
    rig.full = False
    assert not rig.ask("open", OTHER, epoch=1, deadline=rig.now + 8).why
    rig.later(7.9)
    assert rig.phase is Phase.HELD
