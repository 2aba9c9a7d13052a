"""A node's membership, claims, gate and guard as they are → a puppet: put in any state, moved one step.

Nothing runs by itself here, there is no loop. What the agent does is a coroutine of the product's own, and
each question to the store is where it stops. To go on from there later, and in more than one way, its steps
are taken again from the beginning, each from the state that its node was in then.
"""

import contextlib
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from reconciler.adapters.guard import GuardClient
from reconciler.adapters.guard_kept import KeptGuard
from reconciler.contracts import Change, Entry
from reconciler.decide.sessions import Level
from reconciler.decide.standing import Terms
from reconciler.decide.things import Thing
from reconciler.decide.timing import Timing
from reconciler.engine.cluster import Cluster
from reconciler.engine.gate import Gate
from reconciler.engine.membership import Membership
from reconciler.engine.opening import Me
from reconciler.errors import MayHeal
from reconciler.guard.core import Core
from reconciler.guard.lines import Line
from reconciler.guard.records import Loaded
from reconciler.guard.words import (
    Action,
    Arm,
    Armed,
    Event,
    Kill,
    Killed,
    Peer,
    Pet,
    Reply,
    Request,
    Stop,
    Stopped,
    Tick,
    Write,
)
from reconciler.model import Owner
from reconciler.testing.guards import FACTS, line
from reconciler.testing.small_states import LITTLE, NAMES, Ask, At, Call, Node, Rev, Token, died
from reconciler.testing.snapshots import (
    AskingStore,
    HeldClock,
    SmallKeepsake,
    anew,
    copied,
    followed,
    frames,
    refill,
)
from reconciler.testing.things import Do, stack

SERVICE = stack("web", NAMES, "192.0.2.10")
WANTED = (Thing("volume group web", True),)
RESOURCE = SERVICE.resources[1]
OWNER = Owner(SERVICE.key, RESOURCE.rid)


class _Line(GuardClient):
    """The agent's end of the line, as it is; the guard answers at once."""

    def __init__(self, puppet: "Puppet") -> None:
        super().__init__(Path("/run"), "", "", puppet.clock)
        self._puppet = puppet

    async def _ask(self, do: str, **words: Any) -> Mapping[str, Any]:
        said = self._puppet.asked(do, words)
        if said["why_not"]:
            raise MayHeal(f"the guard refuses: {said['why_not']}")
        return said


OWN = ("_kept", "_granted", "_acked", "_given", "_opened", "_guarded", "_strays", "standing")
OPENING = ("duplicate", "_seen_beat", "_fence_seen")
TOKENS = "how many were given out"


class Puppet:
    """`node` 0 or 1 of NAMES."""

    def __init__(self, node: int, timing: Timing) -> None:
        self.name, self.timing, self.clock = NAMES[node], timing, HeldClock()
        self._line, self._keepsake = _Line(self), SmallKeepsake()
        self._guard = KeptGuard(self._nobody, (float(timing.watchdog), timing.margin))
        self._guard._client = self._line
        terms = Terms.of(timing, Level.WATCHDOG)
        me = Me(self.name, "boot 1")
        member = Membership(
            me,
            AskingStore(),  # type: ignore[arg-type]  # which store it is is not looked at here
            self.clock,
            self._guard,
            self._keepsake,
            timing,
            terms,
            lambda standing: None,
        )
        self.own, self.beats = member._own, member._beats
        self.own.token = self._token
        self.cluster = Cluster(
            AskingStore(),  # type: ignore[arg-type]  # likewise
            self.clock,
            timing,
            lambda: self.own.standing,
            lambda service: self.gate.count(service),
            lambda key: None,
            lambda key: None,
        )
        self.gate = Gate(self._guard, self.cluster, _undo)
        for follower in (self.beats._follower, self.cluster.follower):
            follower.expect = lambda revision, within: None  # type: ignore[method-assign]  # no watch here
            follower.ready.set()
        self.core = Core(Loaded(), At(0.0))
        self._tokens = 0
        self.load(Node(parts={}), At(0.0))
        self._blank = self._parts()

    # --- states ----------------------------------------------------------------------------

    def load(self, node: Node, now: At, own: bool = True) -> None:
        """`own`: the session as well; what is in the middle of a renewal has it in hand."""
        self.clock.now, self._node = now, node
        self.killed, self.began = False, node.up
        self.ended, self.fires, self.stops = node.ended, node.fires, list(node.stops)
        self.peer = Peer(node.pid, node.boot)
        self.own._me = Me(self.name, f"boot {node.boot}")
        self._keepsake.boot = node.boot
        if node.core:
            self.core = copied(node.core)
        if not node.parts:
            return
        parts = node.parts
        if own:
            for name in OWN:
                setattr(self.own, name, anew(parts[name]))
            for name in OPENING:
                setattr(self.own.opening, name, parts[name])
            self._guard._session, self._line.deadline, self._keepsake.number = parts["guard"]
            self._tokens = parts[TOKENS]
        self.beats._stills, self.beats._answers = parts["stills"], parts["answers"]
        self.beats._tried = dict(parts["tried"])
        for follower, kept in ((self.beats._follower, "beats"), (self.cluster.follower, "cluster")):
            entries, follower.reached, gone = parts[kept]
            refill(follower.entries, entries)
            follower._gone = dict(gone)
        refill(self.cluster._sessions, parts["sessions"])
        refill(self.cluster._claims, {key: dict(slots) for key, slots in parts["claims"].items()})
        self.cluster._sure = dict(parts["sure"])
        self.gate._lines, self.gate._found = dict(parts["lines"]), dict(parts["found"])

    def _parts(self) -> Mapping[str, Any]:
        own = {name: anew(getattr(self.own, name)) for name in OWN}
        own |= {name: getattr(self.own.opening, name) for name in OPENING}
        guard = self._guard._session, self._line.deadline, self._keepsake.number
        return {
            **own,
            "guard": guard,
            TOKENS: self._tokens,
            "stills": self.beats._stills,
            "answers": self.beats._answers,
            "tried": dict(self.beats._tried),
            "beats": followed(self.beats._follower),
            "cluster": followed(self.cluster.follower),
            "sessions": dict(self.cluster._sessions),
            "claims": {key: dict(slots) for key, slots in self.cluster._claims.items()},
            "sure": dict(self.cluster._sure),
            "lines": dict(self.gate._lines),
            "found": dict(self.gate._found),
        }

    def save(self, node: Node) -> Node:
        """The node as it is now; its agent may have ended by that."""
        core, now = self.core, self.clock.now
        since = node.stopping if node.stops or not self.stops else now
        node = replace(
            node,
            core=core,
            stopping=since,
            up=self.began,
            ended=self.ended,
            stops=tuple(self.stops),
            fires=self.fires,
        )
        self.core = copied(core)
        if self.killed:
            return died(node)
        if not node.alive:
            return node
        suspect = math.inf
        for name, (session, _) in self.beats._sessions().items():
            still = self.beats._stills.get(name)
            if session and session.open and still and not self.beats._alive(name):
                suspect = min(suspect, still.since + session.wait)
        return replace(node, parts=self._parts(), suspect=max(suspect, now))

    # --- steps -----------------------------------------------------------------------------

    def go(self, node: Node, part: str, now: At, value: Any = None) -> Node:
        """Begin that part of the agent, or go on with it: until its next question, or its end."""
        call = node.calls.get(part)
        before = call.steps if call else ()
        steps = (*before, (node, now, value))
        coroutine: Any = None
        asked: Any = None
        result: Any = None
        try:
            for number, (then, at, answer) in enumerate(steps):
                self.load(then, At(at), own=number == 0 or part != "renew")
                if coroutine is None:
                    coroutine = getattr(self, f"_{part}")()
                asked = coroutine.throw(answer) if isinstance(answer, Exception) else coroutine.send(answer)
        except StopIteration as ended:
            result = ended.value
        if coroutine is None or coroutine.cr_frame is None:
            return self._ended(self.save(node.call(part, None)), part, now, result)
        in_hand = frames(coroutine)
        coroutine.close()
        return self.save(node.call(part, Call(part, steps, asked, in_hand, now)))

    def _ended(self, node: Node, part: str, now: At, result: Any) -> Node:
        if not node.alive:
            return node
        if part == "renew":
            return replace(node, due=result, wants=node.wants or node.retry, retry=False)
        if part == "work":
            again, retry = result
            leaves = node.leaves and bool(self.cluster.mine(SERVICE.key) or self.began)
            return replace(node, wants=node.wants or again, retry=node.retry or retry, leaves=leaves)
        return node

    async def _renew(self) -> float:
        """One turn of `OwnSession.live`; when the next one is due. A retry soon is one at once, or in I."""
        began, every = self.clock.now, self.timing.renew
        try:
            pause = await self.own._turn()
        except MayHeal as fault:
            self.own._say(str(fault))
            pause = every / 10
        due = max(began + pause, self.clock.now)
        return began + every if 0 < pause < every and due > self.clock.now else due

    async def _judge(self) -> None:
        """One turn of `Beats.judge`."""
        if not (found := self.beats.dead()):
            return
        try:
            await self.beats.close(found[0])
        except MayHeal:
            self.beats._tried.pop(found[0], None)

    async def _work(self) -> tuple[bool, bool]:
        """What passes and jobs do about the service; whether there is more to do at once, or later.

        Between leave to begin an operation and its beginning there is a moment.
        """
        key = SERVICE.key
        try:
            if self._node.leaves and self.began:
                self.began = 0
                await Ask("moment")
                await self.gate.gone(OWNER)
                return not await self.cluster.release(key), True
            if self.cluster.held(key) is None:
                if self._node.leaves or (self.began and not self.cluster.mine(key)):
                    return False, False
                return not await self.cluster.claim(SERVICE, WANTED, Level.WATCHDOG), False
            if self.began or await self.gate.enter(OWNER, Do("start", RESOURCE.rid), RESOURCE):
                return False, False
            await Ask("moment")
            self.began = self.own.standing.session.epoch if self.own.standing.session else -1
        except MayHeal:
            return False, True
        return False, False

    def hear(self, node: Node, now: At, entries: Mapping[str, Entry], revision: int) -> Node:
        """All that has changed in the store, by its watches."""
        if node.parts["cluster"][1] >= revision:
            return node
        self.load(node, now)
        wants = node.wants
        if not node.parts["cluster"][1]:
            self.beats.heard()  # read, not watched
        for follower in (self.beats._follower, self.cluster.follower):
            for key in [k for k in follower.entries if k not in entries]:
                follower._take(Change(key, None, Rev(revision)))
                wants = True
            for key, entry in entries.items():
                if entry.revision > follower.reached:
                    follower._take(Change(key, entry.value, entry.revision))
                    wants = wants or not key.startswith("beats/")
            follower.reached = Rev(revision)
        return self.save(replace(node, wants=wants))

    def looks(self, node: Node, now: At) -> Node:
        """At the beats, because time has passed."""
        self.load(node, now)
        return replace(node, suspect=now) if node.suspect > now and self.beats.dead() else node

    def begin(self, node: Node, now: At) -> Node:
        """Another agent."""
        node = replace(
            node, alive=True, pid=node.pid + 1, parts=self._blank, due=now, wants=True, retry=False
        )
        self.load(node, now)
        with contextlib.suppress(StopIteration):
            self.gate.start().send(None)
        return self.save(node)

    # --- the guard -------------------------------------------------------------------------

    def asked(self, do: str, words: Mapping[str, Any]) -> Mapping[str, Any]:
        self._reply: Mapping[str, Any] = {}
        self._handle(Request(0, self.peer, 0, do, words))
        return self._reply

    def tick(self, node: Node, now: At) -> Node:
        """Time has passed: the guard looks, as nothing can hold it up."""
        assert node.core
        self.load(node, now)
        while (due := self.core.wake(self.clock.now)) <= now + LITTLE:
            self.clock.now = At(max(now, due))
            self._handle(Tick())
        return self.save(node)

    def stopped(self, node: Node, now: At, number: int) -> Node:
        """What the guard stops is seen gone."""
        self.load(node, now)
        self.began = 0
        self.stops.remove(number)
        self._handle(Stopped(number, ""))
        return self.save(node)

    def boot(self, node: Node, now: At) -> Node:
        core = Core(Loaded(), now)
        node = Node(boot=node.boot + 1, core=core, pid=node.pid, cut=node.cut, deaf=node.deaf, alive=False)
        return self.begin(node, now)

    def _handle(self, event: Event) -> None:
        core, now = self.core, self.clock.now
        actions = core.handle(event, now)
        core._next_pet = math.inf  # it is petted all the time, by who may pet it
        for action in actions:
            self._perform(action)
        if not core.mind.armed or core._petting():
            self.fires = math.inf
        elif self.fires == math.inf:
            self.fires = now + core.mind.terms.watchdog

    def _perform(self, action: Action) -> None:
        match action:
            case Pet():
                self.fires = self.clock.now + self.core.mind.terms.watchdog
            case Arm(seconds, request):
                self._handle(Armed(request, seconds, real=True, closes=True))
            case Reply(_, _, words, why):
                self._reply = {**FACTS, "why": "", **words, "why_not": why}
            case Write(record) if "trip" in record and self.core.mind.session:
                self.ended = max(self.ended, self.core.mind.session.epoch)
            case Kill():
                self.killed = True
                self._handle(Killed(""))
            case Stop(number):
                if number not in self.stops:
                    self.stops.append(number)
            case _:
                pass

    async def _nobody(self) -> GuardClient:
        raise MayHeal("there is one guard for each boot here")

    def _token(self) -> str:
        self._tokens += 1
        return Token(f"{self.name} {self.peer.pid} {self._tokens}")


async def _undo(operation: Any, owner: Owner, resource: Any, standby: bool) -> Line | None:
    return line(operation.thing, str(owner), standby)
