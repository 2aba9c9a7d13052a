"""Random days of a guard, its restarts among them: what must never happen, whatever the order of events."""

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.guard.lines import encode
from reconciler.guard.words import Disarm, End, Gone, Kill, Killed, Pet, Phase, Stop, Stopped, Tick, Write
from tests.guard.rig import AGENT, APP, FS, IP, IP2, OTHER, STANDBY, M, Rig, W

LINES = (IP, FS, APP, IP2, STANDBY)

steps = st.one_of(
    st.tuples(st.just("pass"), st.floats(0, 3)),
    st.tuples(st.just("pass"), st.sampled_from([0.0, W - M, W, 8.0])),
    st.tuples(st.just("extend"), st.floats(-1, 9)),
    st.tuples(st.just("enter"), st.lists(st.sampled_from(LINES), max_size=3)),
    st.tuples(st.just("leave"), st.lists(st.integers(1, 6), max_size=2)),
    st.tuples(st.just("open"), st.integers(1, 4)),
    st.tuples(st.just("arm"), st.sampled_from([W, 4.0])),
    st.tuples(st.just("hand"), st.booleans()),
    st.tuples(st.just("restart"), st.booleans()),
    st.tuples(st.just("other"), st.sampled_from(["trip", "close", "end", "gone"])),
)


class Watched:
    """A rig, and an oracle beside it that knows the rules and not how they are kept."""

    def __init__(self, sysrq: bool) -> None:
        self.rig = Rig(sysrq=sysrq)
        self.seen = 0
        self.deadline: float | None = None  # of the open session, as acknowledged
        self.epoch = 0
        self.up: dict[int, object] = {}  # exclusive, as acknowledged and not seen gone
        self.ended: set[int] = set()
        self.tripped_at: float | None = None
        self.dead = False  # since the trip the agent was seen gone
        self.condemned = False
        self.agent = AGENT

    def do(self, step) -> None:
        what, word = step
        rig = self.rig
        over = self.epoch in self.ended or (self.deadline is not None and rig.now >= self.deadline)
        match what:
            case "pass":
                rig.later(word)
            case "extend":
                reply = rig.ask("extend", self.agent, deadline=max(0, rig.now + word))
                assert reply.why or not over, "acknowledged after the end"
                if not reply.why:
                    self.deadline = reply.words["deadline"]
            case "enter":
                reply = rig.ask("enter", self.agent, lines=[encode(line) for line in word])
                assert reply.why or not over, "acknowledged after the end"
                if not reply.why:
                    listed = rig.listed()
                    assert all(line in listed for line in word), "acknowledged and not written"
                    numbers = zip(reply.words["numbers"], word, strict=True)
                    self.up |= {number: line for number, line in numbers if not line.standby}
            case "leave":
                reply = rig.ask("leave", self.agent, numbers=word)
                assert reply.why or not over, "acknowledged after the end"
                if not reply.why:
                    for number in word:
                        self.up.pop(number, None)
            case "open":
                reply = rig.ask("open", self.agent, epoch=word, deadline=rig.now + 8)
                if not reply.why:
                    assert word not in self.ended, "a session that is over was revived"
                    assert word == self.epoch or not self.up, "another session with things listed"
                    self.epoch, self.deadline = word, rig.now + 8
                    self.tripped_at, self.dead = None, False
            case "arm":
                rig.ask("arm", self.agent, watchdog=word, margin=M)
            case "hand":
                self.hand(word)
            case "restart":
                self.rig = rig.restarted()
                self.seen = 0
                self.dead, self.condemned = False, False
                self.agent = OTHER if word else AGENT
            case "other" if word == "gone":
                rig.take(Gone(self.agent))
            case "other":
                known = rig.core.mind.session
                reply = rig.ask(word, self.agent)
                if not reply.why and word in ("close", "end"):
                    assert not self.up
                    self.ended |= {known.epoch} if known else set()
        self.look()

    def hand(self, works: bool) -> None:
        rig = self.rig
        if not rig.hands:
            rig.take(Tick())
            return
        work = rig.hands.pop(0)
        if isinstance(work, Kill):
            self.dead |= works
            rig.take(Killed("" if works else "still there"))
        else:
            if works and rig.phase is Phase.STOPPING:
                self.up.pop(work.number, None)
            rig.take(Stopped(work.number, "" if works else "busy"))

    def look(self) -> None:
        """Everything it did since the last look, in order."""
        rig = self.rig
        for at, action in rig.done[self.seen :]:
            match action:
                case Write(record, _) if "trip" in record:
                    self.ended.add(self.epoch)
                    self.tripped_at, self.dead = at, False
                case Pet():
                    safe = not self.up or (
                        self.epoch not in self.ended and self.deadline is not None and at < self.deadline
                    )
                    assert safe, f"a pet at {at} with {self.up} up"
                    assert not self.condemned, "a pet after the last one"
                case Stop(_, line, _, late):
                    assert not line.standby
                    assert self.dead or late, "something was stopped while the agent could start it"
                case Disarm() | End():
                    assert not self.up, "let go with things up"
        self.seen = len(rig.done)
        mind = rig.core.mind
        if self.tripped_at is not None and self.up and mind.over and mind.armed:
            # The margin begins W - m after the end, whatever W was then.
            self.condemned |= mind.late
        exclusive = set(mind.exclusive())
        assert set(self.up) <= exclusive, "forgotten"


@given(st.lists(steps, max_size=60), st.booleans())
@settings(max_examples=600, deadline=None)
def test_whatever_comes_in_whatever_order(day, sysrq):
    watched = Watched(sysrq)
    for step in (("arm", W), ("open", 1), *day):
        watched.do(step)
