"""What happens on all hosts of a simulation → what must never be, said as soon as it is.

exclusive   things of a failover service are up on one host at most, from before the first operation
            towards up until they are gone
over        a session's record goes on only when nothing of an earlier epoch is up there any more
epochs      never go back
planned     an operation was in a plan of its own agent's, with a reason
frozen      nothing is planned for what is frozen
order       nothing goes down under what stands on it, nothing goes up before what it stands on
data        nothing is destroyed without the word
apart       an edit of one service does nothing to another
pruned      no document goes that no person removed, purged or gave up as missing
durable     a node's freeze of which a person was told outlives its agent
shared      no disk is written by two hosts
"""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from reconciler.decide import claims, keys
from reconciler.decide.claims import Claim
from reconciler.decide.order import Order, order
from reconciler.decide.sessions import Session, read
from reconciler.engine import travel
from reconciler.model import Resource, Service, Step
from reconciler.testing.simloop import true_time
from reconciler.testing.things import thing_of

LAST = 60
UNDER_WAY = 15.0
"""Seconds that a person's word may be on its way to the store."""
HEARD = 3.0
"""Seconds after which a node has heard of another document, or has no session any more."""


@dataclass(frozen=True)
class Said:
    at: float
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.at:9.3f}  {self.where:<9} {self.what}"


@dataclass
class Holding:
    """One machine's part: what it has up, or on its way up or down, by thing; and since which epoch."""

    machine: str
    node: str
    epoch: int = 0
    things: dict[str, int] = field(default_factory=dict)


class Oracle:
    """`services` by key. Things are called after their service and rid, `web/fs#0`."""

    def __init__(self, services: Iterable[Service]) -> None:
        self.services = {service.key: service for service in services}
        self._owners: dict[str, tuple[Service, str]] = {
            thing_of(service, r): (service, r.rid)
            for service in self.services.values()
            for r in service.resources
        }
        self._standby = {
            thing for thing, (of, rid) in self._owners.items() if _named(of, rid).common.standby
        }
        self._words: dict[str, float] = {}  # and when: the last one
        self._ever: set[str] = set()  # services whose data may have gone at some time
        self._meant: set[str] = set()  # documents that may go
        self._gone: set[str] = set()  # those that are, and of these whose data goes with them
        # And until when: another document is heard of a while later.
        self._destroyed_with: dict[str, float] = {}
        self._begun: list[str] = []  # operations under way that somebody had asked for when they began
        # Of a freeze or thaw of a node, by machine; what was told of the last.
        self._asks: dict[str, int] = {}
        self._told: dict[str, bool] = {}
        self._orders: dict[str, Order] = {s.key: order(s.resources) for s in self.services.values()}
        self._up: dict[str, Holding] = {}
        self._sessions: dict[str, Session] = {}
        self._claims: dict[str, Claim] = {}
        self.history: list[Said] = []
        self.broken: list[str] = []
        self.failovers = self.operations = 0
        self.edited = ""  # the only service of which anything is to be done now

    def say(self, where: str, what: str) -> None:
        self.history.append(Said(true_time(), where, what))

    def asked_for(self, service: str, verb: str) -> None:
        """A person's word: from now on its data may go."""
        if verb in ("unprovision", "purge"):
            self._words[service] = true_time()
            self._ever.add(service)
        if verb == "purge":
            self._meant.add(service)

    def removed(self, service: str) -> None:
        """A person removed its document alone, or said that what is missing may go."""
        self._meant.add(service)

    def word(self, thing: str) -> bool:
        """Whether somebody said that the data of its service may go."""
        return self._owners[thing][0].key in self._may_go()

    def said(self, service: str) -> bool:
        """At any time: what it had may be missing for ever."""
        return service in self._ever

    def words(self, what: str) -> bool:
        """The same for a command that names the service's disk, or when it began."""
        return what in self._begun or any(key.rpartition("/")[2] in what for key in self._may_go())

    def _may_go(self) -> set[str]:
        now = true_time()
        return {*self._words, *(key for key, until in self._destroyed_with.items() if until >= now)}

    @contextmanager
    def under_way(self, what: str) -> Iterator[None]:
        """A word that is taken back meanwhile does not stop it."""
        if not self.words(what):
            yield
            return
        self._begun.append(what)
        try:
            yield
        finally:
            self._begun.remove(what)

    def wrong(self, where: str, rule: str, what: str) -> None:
        self.say(where, f"WRONG: {rule}: {what}")
        self.broken.append(f"{rule}: {where}: {what}")

    def told(self, last: int = LAST) -> str:
        """The end of the history, up to the first thing that was wrong."""
        at = next((n for n, said in enumerate(self.history) if said.what.startswith("WRONG")), None)
        until = len(self.history) if at is None else at + 1
        return "\n".join(str(said) for said in self.history[max(0, until - last) : until])

    # --- things ----------------------------------------------------------------------------

    def holding(self, machine: str, node: str) -> Holding:
        return self._up.setdefault(machine, Holding(machine, node))

    def occupied(self, machine: str, node: str, thing: str, epoch: int) -> None:
        """Before the first operation towards up."""
        service = self._owners[thing][0]
        mine = self.holding(machine, node)
        if thing in self._standby:  # it stays when a session ends
            return
        mine.things[thing] = epoch
        if service.topology != "failover":
            return
        for other in self._up.values():
            both = [t for t in other.things if self._owners[t][0] is service]
            if other is not mine and both:
                self.wrong(machine, "exclusive", f"{thing} goes up here while {other.machine} has {both}")

    def gone(self, machine: str, thing: str) -> None:
        if machine in self._up:
            self._up[machine].things.pop(thing, None)

    def all_gone(self, machine: str) -> None:
        """The machine is off, or was reset."""
        self._up.pop(machine, None)

    def standing(self, thing: str, up: Collection[str]) -> list[str]:
        """What stands on a thing and is in `up`."""
        service, rid = self._owners[thing]
        needed_by = self._orders[service.key].needed_by[rid]
        mine = [t for t in up if self._owners[t][0] is service and t not in self._standby]
        return sorted(t for t in mine if self._owners[t][1] in needed_by)

    def missing(self, thing: str, up: Collection[str]) -> list[str]:
        """What a thing stands on and is not in `up`."""
        service, rid = self._owners[thing]
        under = self._orders[service.key].stands_on[rid]
        things = [t for t, (of, own) in self._owners.items() if of is service and own in under]
        return sorted(t for t in things if t not in up)

    # --- what agents do --------------------------------------------------------------------

    def performs(
        self, where: str, what: str, service: str, step: Step | None, planned: Collection[int]
    ) -> None:
        """`step` of the job that it is an operation of; `planned`: those that were in plans."""
        self.operations += 1
        if self.edited not in ("", service):
            self.wrong(where, "apart", f"{what} of {service}, when {self.edited} was edited")
        if step is None or id(step) not in planned:
            self.wrong(where, "planned", f"{what} was in no plan")
        elif not step.why:
            self.wrong(where, "planned", f"{what} has no reason")

    def frozen(self, where: str, key: str, why: str, plan: Iterable[Step]) -> None:
        if steps := [f"{step.act} {step.rid}" for step in plan]:
            self.wrong(where, "frozen", f"{key} is frozen ({why}), and planned is {', '.join(steps)}")

    def asks(self, machine: str) -> int:
        """To freeze or thaw its node: until an answer comes, it may be so or not."""
        self._told.pop(machine, None)
        self._asks[machine] = self._asks.get(machine, 0) + 1
        return self._asks[machine]

    def answered(self, machine: str, number: int, frozen: bool) -> None:
        if self._asks[machine] == number:
            self._told[machine] = frozen

    def begins(self, machine: str, frozen: bool) -> None:
        """An agent has read what the one before it kept."""
        if self._told.get(machine, frozen) != frozen:
            told = "thawed" if frozen else "frozen"
            self.wrong(machine, "durable", f"a person was told that it is {told}, and it is not")

    # --- the store -------------------------------------------------------------------------

    def commits(self, puts: Mapping[str, str], phases: Mapping[str, tuple[int, str]]) -> None:
        """`phases`: by machine, epoch of its guard's session and how far it is, for the history."""
        for key, value in puts.items():
            if key.startswith(keys.SESSIONS):
                self._session(key.removeprefix(keys.SESSIONS), value, phases)
            elif key.startswith(keys.DOCUMENTS):
                self._document(key.removeprefix(keys.DOCUMENTS), value)
            elif (place := keys.slot_of(key)) and (claim := claims.read(value)):
                before = self._claims.get(place[0])
                self._claims[place[0]] = claim
                if before and before.node != claim.node:
                    self.failovers += 1
                if before and (before.node, before.epoch) == (claim.node, claim.epoch):
                    continue
                self.say("store", f"{place[0]} is claimed by {claim.node} under epoch {claim.epoch}")
                if before and before.node == claim.node and claim.epoch < before.epoch:
                    self.wrong("store", "epochs", f"{key} goes from epoch {before.epoch} to {claim.epoch}")

    def _document(self, service: str, value: str) -> None:
        """`on_delete: purge` is a word, too. With another document no word from before counts any more."""
        shared = travel.read(value)
        if shared is None or not shared.deleted:
            now = true_time()
            if service in self._gone and self._words.get(service, now) < now - UNDER_WAY:
                del self._words[service]
            self._gone.discard(service)
            if service in self._destroyed_with:
                self._destroyed_with[service] = min(self._destroyed_with[service], now + HEARD)
        elif service not in self._gone:
            self._gone.add(service)
            self.say("store", f"{service} is removed by {shared.node}")
            if service not in self._meant:
                self.wrong("store", "pruned", f"{service} is removed, and nobody removed it")
            elif self.services[service].on_delete == "purge":
                self._destroyed_with[service] = math.inf
                self._ever.add(service)

    def _session(self, node: str, value: str, phases: Mapping[str, tuple[int, str]]) -> None:
        record, before = read(value), self._sessions.get(node)
        if record is None:
            self.wrong("store", "epochs", f"the record of {node} is not readable: {value}")
            return
        self._sessions[node] = record
        if before == record:
            return
        self.say("store", f"session {node}: epoch {record.epoch} {'open' if record.open else 'closed'}")
        if before and (
            record.epoch < before.epoch
            or (record.open and not before.open and record.epoch <= before.epoch)
        ):
            self.wrong("store", "epochs", f"{node} goes from epoch {before.epoch} to {record.epoch}")
        for mine in self._up.values():
            over = [t for t, epoch in mine.things.items() if epoch < record.epoch and self._exclusive(t)]
            if mine.node == node and over:
                was = phases.get(mine.machine, (0, "without a guard"))
                self.wrong(
                    mine.machine,
                    "over",
                    f"{over} of epoch {mine.things[over[0]]} when the record goes to {record.epoch}; "
                    f"its guard is {was[1]}",
                )

    def _exclusive(self, thing: str) -> bool:
        return self._owners[thing][0].topology == "failover"


def _named(service: Service, rid: str) -> Resource:
    return next(resource for resource in service.resources if resource.rid == rid)
