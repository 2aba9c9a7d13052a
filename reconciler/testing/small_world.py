"""Two nodes and a store in one state → every state that may come next, with the words for what happens.

Nothing is drawn by lot: whatever may happen, does, in a state of its own. A clock goes wrong as far as it
may; a message gets there or does not, at once or later, and so does its answer; an agent is killed, held
up, begun again; the guard's stop takes no time, or all that there is. What costs a *fault* happens so often
at most; how long it lasts is free.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

from reconciler.contracts import Entry
from reconciler.decide import keys
from reconciler.testing.puppets import SERVICE, Puppet
from reconciler.testing.small_states import (
    LITTLE,
    NAMES,
    Ask,
    At,
    Call,
    Node,
    Rev,
    Scope,
    World,
    answered,
    asked_for,
    carried_out,
    died,
    guard_says,
    off,
    silence,
)

Move = tuple[str, World]


class SmallWorld:
    def __init__(self, scope: Scope) -> None:
        self.scope, self.timing = scope, scope.timing
        self.puppets = [Puppet(number, scope.timing) for number in range(len(NAMES))]

    def first(self) -> World:
        """Nothing has begun yet; the first node comes first."""
        document = {keys.document(SERVICE.key): Entry(SERVICE.generation, Rev(1))}
        world = World(0.0, document, 1, (), faults=self.scope.faults)
        nodes = [Node(boot=0, on=False, alive=False) for _ in self.puppets]
        world = replace(world, nodes=tuple(nodes))
        for number in range(len(nodes)):
            booted = self.puppets[number].boot(world.nodes[number], self.local(world, number))
            world = world.put(number, booted)
        return self._heard(world)

    def settled(self) -> World:
        """When nothing has gone wrong for a while: the first has the service, both renew."""
        world = self.first()
        calm = replace(world, faults=0)
        end = 4 * self.timing.wait
        while calm.time < end:
            moves = list(self.moves(calm))
            calm = moves[0][1]
            if calm.wrong:
                raise AssertionError(calm.wrong)
        return replace(calm, faults=self.scope.faults)

    def local(self, world: World, number: int) -> At:
        return At(round(world.time * self.scope.rates[number], 9))

    # --- what may happen -------------------------------------------------------------------

    def moves(self, world: World) -> Iterator[Move]:
        """All that may come next. What an agent would do at once is done before time goes on."""
        prompt = False
        for number in range(len(world.nodes)):
            for move in self._steps(world, number):
                prompt = True
                yield move
        if not prompt:
            yield self._later(world)
        for number in range(len(world.nodes)):
            yield from self._free(world, number)
            if world.faults and number in self.scope.whom:
                yield from self._faults(replace(world, faults=world.faults - 1), number)
        yield from self._arrivals(world)
        if world.leaderless and self._at_grain(world):
            yield "the store has a leader again", replace(world, leaderless=0.0)
        elif world.faults and not world.leaderless and "election" in self.scope.kinds:
            until = world.time + self.timing.leaderless
            yield (
                "the store has NO LEADER",
                replace(world, leaderless=until, faults=world.faults - 1),
            )

    def _steps(self, world: World, number: int) -> Iterator[Move]:
        node, now, name = world.nodes[number], self.local(world, number), NAMES[number]
        if self.scope.in_time and node.stops and now >= node.stopping + self._longest_stop - LITTLE:
            for stop in node.stops:
                yield (
                    f"{name}'s guard sees it gone",
                    world.put(number, self.puppets[number].stopped(node, now, stop)),
                )
        if not node.alive or node.paused:
            return
        for part, call in node.calls.items():
            if not call.fate:
                yield from self._fates(world, number, call, f"{name} {asked_for(call)}")
            elif (
                call.fate == "slow" and self.scope.answer and now >= call.sent + self.scope.answer - LITTLE
            ):
                yield (
                    f"{name} {asked_for(call)}: the answer comes",
                    self._resume(world, number, part, call.answer),
                )
            elif now >= call.sent + self.timing.request - LITTLE:
                yield (
                    f"{name} {asked_for(call)}: gives up waiting",
                    self._resume(world, number, part, silence(call)),
                )
        for part, due in (
            ("renew", now >= node.due - LITTLE),
            ("judge", now >= node.suspect - LITTLE),
            ("work", node.wants),
        ):
            if due and part not in node.calls:
                yield from self._begin(world, number, part)

    def _begin(self, world: World, number: int, part: str) -> Iterator[Move]:
        node, now = world.nodes[number], self.local(world, number)
        if part == "work":
            node = replace(node, wants=False)
        made = self.puppets[number].go(node, part, now)
        if part == "judge":
            made = replace(made, suspect=math.inf) if not made.calls.get("judge") else made
        after = self._checked(world.put(number, made))
        call = made.calls.get(part)
        if call and call.ask.do != "moment":
            yield from self._fates(after, number, call, f"{NAMES[number]} {asked_for(call)}")
        else:
            yield f"{NAMES[number]} {part}", after

    def _fates(self, world: World, number: int, call: Call, words: str) -> Iterator[Move]:
        """Of a question that has just been put."""
        node = world.nodes[number]
        write, kinds = call.ask.do == "commit", self.scope.kinds
        if call.ask.do == "moment":
            yield f"{NAMES[number]} goes on", self._resume(world, number, call.part, None)
            return
        if node.cut == "silent" or world.leaderless:
            yield f"{words}: gets nowhere", self._waits(world, number, call, "none")
            if not world.leaderless or not write or number not in self.scope.whom:
                return
        landed, answer = self._landed(world, call.ask)
        if world.leaderless:
            yield f"{words}: done, no answer", self._waits(landed, number, call, "none")
            return
        if node.cut == "mute":
            yield f"{words}: done, no answer", self._waits(landed, number, call, "none")
            return
        yield f"{words}: {answered(answer)}", self._resume(landed, number, call.part, answer)
        if self.scope.answer and number in self.scope.whom:
            yield f"{words}: done, the answer is to come", self._waits(landed, number, call, "slow", answer)
        if not world.faults or number not in self.scope.whom:
            return
        done, costs = (replace(each, faults=world.faults - 1) for each in (landed, world))
        if "lost" in kinds:
            yield f"{words}: LOST", self._waits(costs, number, call, "none")
        if "unanswered" in kinds and write:
            yield f"{words}: done, its ANSWER LOST", self._waits(done, number, call, "none")
        if "slow" in kinds:
            yield f"{words}: done, its answer is SLOW", self._waits(done, number, call, "slow", answer)
        if "late" in kinds and write:
            flies = replace(costs, flying=(*costs.flying, (number, call.ask)))
            yield f"{words}: is LATE", self._waits(flies, number, call, "late")

    def _free(self, world: World, number: int) -> Iterator[Move]:
        """The end of what lasts, and what the machine does by itself."""
        node, now, name = world.nodes[number], self.local(world, number), NAMES[number]
        puppet = self.puppets[number]
        for stop in node.stops:
            yield f"{name}'s guard sees it gone", world.put(number, puppet.stopped(node, now, stop))
        if now >= node.fires - LITTLE:
            yield f"{name} is reset by its watchdog", world.put(number, off(node))
        if node.alive:
            for call in node.calls.values():
                if call.fate == "slow" and not node.paused:
                    words = f"{name} {asked_for(call)}: the answer comes, {answered(call.answer)}"
                    yield words, self._resume(world, number, call.part, call.answer)
        if not self._at_grain(world):
            return
        if not node.on:
            yield f"{name} boots", self._heard(world.put(number, puppet.boot(node, now)))
        elif not node.alive:
            yield f"{name}'s agent begins", self._heard(world.put(number, puppet.begin(node, now)))
        if node.paused:
            yield f"{name}'s agent goes on", self._heard(world.put(number, replace(node, paused=False)))
        if node.cut:
            yield (
                f"{name} has its way to the store again",
                self._heard(world.put(number, replace(node, cut=""))),
            )
        if node.deaf:
            yield f"{name}'s watch speaks again", self._heard(world.put(number, replace(node, deaf=False)))

    def _faults(self, world: World, number: int) -> Iterator[Move]:
        node, name, kinds = world.nodes[number], NAMES[number], self.scope.kinds
        if not node.on:
            return
        if not node.cut:
            if "silent" in kinds:
                yield f"{name} is CUT OFF from the store", world.put(number, replace(node, cut="silent"))
            if "mute" in kinds:
                yield f"{name} hears NO ANSWERS of the store", world.put(number, replace(node, cut="mute"))
        if "deaf" in kinds and not node.deaf:
            yield f"{name}'s watch is DEAF", world.put(number, replace(node, deaf=True))
        if "crash" in kinds:
            yield f"{name} CRASHES", world.put(number, off(node))
        if not node.alive:
            return
        if "kill" in kinds:
            yield f"{name}'s agent is KILLED", world.put(number, died(node))
        if "hold" in kinds and not node.paused:
            yield f"{name}'s agent is HELD UP", world.put(number, replace(node, paused=True))
        if "give back" in kinds and node.up and not node.leaves:
            asked = replace(node, leaves=True, wants=True)
            yield f"{name} is ASKED to give it back", world.put(number, asked)

    def _arrivals(self, world: World) -> Iterator[Move]:
        """Of what is late."""
        for number, ask in world.flying:
            rest = tuple(pair for pair in world.flying if pair[1] is not ask)
            landed, answer = self._landed(replace(world, flying=rest), ask)
            node, words = landed.nodes[number], f"what {NAMES[number]} sent arrives"
            call = next((c for c in node.calls.values() if c.ask is ask and c.fate == "late"), None)
            if call is None or node.cut:
                yield words, landed
            elif node.paused:
                yield (
                    words,
                    landed.put(number, node.call(call.part, replace(call, fate="slow", answer=answer))),
                )
            else:
                yield f"{words}, {answered(answer)}", self._resume(landed, number, call.part, answer)

    # --- time ------------------------------------------------------------------------------

    def _later(self, world: World) -> Move:
        """Until the next instant at which anything may happen: guards first, for nothing holds them up."""
        instants = [self._next_grain(world.time)] if self._lasts(world) else []
        for number, node in enumerate(world.nodes):
            dues = self._dues(node, self.local(world, number))
            instants += [instant / self.scope.rates[number] for instant in dues]
        instants += [world.leaderless] if world.leaderless else []
        ahead = [instant for instant in instants if instant > world.time + LITTLE]
        after, said = replace(world, time=round(min(ahead), 9)), list[str]()
        for number, node in enumerate(world.nodes):
            now = self.local(after, number)
            if node.core and node.core.wake(now) <= now + LITTLE:
                after = after.put(number, self.puppets[number].tick(node, now))
                said += guard_says(NAMES[number], node, after.nodes[number])
                node = after.nodes[number]
            if now >= node.fires + self.timing.reset - LITTLE:
                after = after.put(number, off(node))
                said.append(f"{NAMES[number]} is reset by its watchdog")
        if after.leaderless and after.time >= after.leaderless - LITTLE:
            after = replace(after, leaderless=0.0)
            said.append("the store has a leader again")
        for number, node in enumerate(after.nodes):
            if node.alive and not node.paused and "judge" not in node.calls:
                after = after.put(number, self.puppets[number].looks(node, self.local(after, number)))
        ended = [what for what in said if "guard" in what and self._promised(what)]
        if ended:
            after = replace(after, wrong=f"healthy: {'; '.join(ended)}")
        return "; ".join(said), self._heard(self._checked(after))

    def _promised(self, what: str) -> bool:
        """That it does not come to this."""
        return self.scope.healthy or (self.scope.in_time and "no more pets" in what)

    @property
    def _longest_stop(self) -> float:
        """It ends before its time is over."""
        return self.timing.stop - self.scope.grain / 64

    def _dues(self, node: Node, now: At) -> Iterator[float]:
        """Instants of its own clock."""
        if node.core:
            yield node.core.wake(now)
        if node.on and node.fires < math.inf:
            yield from (node.fires, node.fires + self.timing.reset)
        if node.stops and self.scope.in_time:
            yield node.stopping + self._longest_stop
        if node.alive and not node.paused:
            yield node.due if "renew" not in node.calls else math.inf
            yield node.suspect if "judge" not in node.calls else math.inf
            for call in node.calls.values():
                yield call.sent + self.timing.request
                if call.fate == "slow" and self.scope.answer:
                    yield call.sent + self.scope.answer

    def _lasts(self, world: World) -> bool:
        return bool(world.flying or world.leaderless) or any(
            not n.alive
            or n.paused
            or n.cut
            or n.deaf
            or n.stops
            or any(c.fate == "slow" for c in n.calls.values())
            for n in world.nodes
        )

    def _next_grain(self, time: float) -> float:
        return (math.floor(time / self.scope.grain + LITTLE) + 1) * self.scope.grain

    def _at_grain(self, world: World) -> bool:
        return abs(world.time / self.scope.grain - round(world.time / self.scope.grain)) < 1e-6

    # --- what follows ----------------------------------------------------------------------

    def _landed(self, world: World, ask: Ask) -> tuple[World, object]:
        """All who watch hear of it."""
        after, answer = carried_out(world, ask)
        return self._heard(after), answer

    def _heard(self, world: World) -> World:
        for number, node in enumerate(world.nodes):
            if node.alive and not (node.paused or node.cut or node.deaf):
                now = self.local(world, number)
                told = self.puppets[number].hear(node, now, world.entries, world.revision)
                world = world.put(number, told) if told is not node else world
        return world

    def _resume(self, world: World, number: int, part: str, answer: object) -> World:
        node = self.puppets[number].go(world.nodes[number], part, self.local(world, number), answer)
        return self._checked(world.put(number, node))

    def _waits(self, world: World, number: int, call: Call, fate: str, answer: object = None) -> World:
        node = world.nodes[number]
        return world.put(number, node.call(call.part, replace(call, fate=fate, answer=answer)))

    def _checked(self, world: World) -> World:
        """What must never be."""
        up = [
            f"{name} under epoch {node.up}"
            for name, node in zip(NAMES, world.nodes, strict=True)
            if node.up
        ]
        wrong = f"exclusive: it is up on {' and on '.join(up)}" if len(up) > 1 else ""
        for name, node in zip(NAMES, world.nodes, strict=True):
            session = node.core.mind.session if node.core else None
            if node.core and node.core.mind.phase == "held" and session and session.epoch <= node.ended:
                wrong = f"revived: session {session.epoch} of {name} is open again, its guard had ended it"
        return replace(world, wrong=wrong) if wrong and not world.wrong else world
