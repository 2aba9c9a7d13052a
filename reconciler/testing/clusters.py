"""A seed's hosts, store and services → a cluster that runs on simulated time, watched by an oracle.

    async def story(cluster):
        await cluster.converged(30)
        cluster.hosts[0].off("power")
        await cluster.converged(30)

Every host has the engine, its session and its guard as they are; what is made up is what they stand on.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from random import Random

from reconciler.adapters.store_memory import MemoryStore
from reconciler.contracts import Identity
from reconciler.decide import keys
from reconciler.decide.claims import slots
from reconciler.decide.timing import PROFILES, Timing
from reconciler.guard.words import Peer
from reconciler.model import Service, State
from reconciler.testing.agents import Guards, SimAgent
from reconciler.testing.disks import San
from reconciler.testing.faulty import Way
from reconciler.testing.machines import Outside, SimHost
from reconciler.testing.oracle import Oracle
from reconciler.testing.processes import Process
from reconciler.testing.shelves import Versions, about_to_apply
from reconciler.testing.simloop import true_time
from reconciler.testing.things import thing_of
from reconciler.testing.voters import VotedStore, Voters

STORE = Identity("cluster", "store", 0)
ELECTION = PROFILES["fast"].leaderless
DISKS = ("sdb", "sdc")
"""That all hosts see, blank."""


class Truth(MemoryStore):
    """The store that all share; the oracle hears of each commit as it lands."""

    def __init__(self, landed: Callable[[Mapping[str, str]], None]) -> None:
        super().__init__()
        self._landed = landed

    async def commit(
        self, compare: Mapping[str, int], puts: Mapping[str, str], deletes: Collection[str] = ()
    ) -> int | None:
        revision = await super().commit(compare, puts, deletes)
        if revision is not None:
            self._landed(puts)
        return revision


class Member:
    """One host with its ways to the store, its guard, and one agent after the other."""

    def __init__(self, cluster: "SimCluster", name: str, node: str, timing: Timing, rate: float) -> None:
        self._cluster, self.name, self.node = cluster, name, node
        voted = [VotedStore(cluster.voters, timing.request) for _ in range(2)]
        self.ways = (Way(voted[0], timing.request, STORE), Way(voted[1], timing.request, STORE))
        self.agent: SimAgent | None = None
        self.gone = False
        self.host = SimHost(
            name, node, cluster.oracle, timing, rate, cluster.dice, self._boot, cluster.outside
        )

    def _boot(self, host: SimHost) -> None:
        self.guards = Guards(host, self._killed, self._lives)
        self._systemd = Process(f"init of {self.name}", host.whole)
        self.host = host
        self._systemd.call(0.01, self._start)

    def _start(self) -> None:
        cluster = self._cluster
        fences = dict.fromkeys(cluster.names, cluster.fence) if cluster.fences else {}
        given = (self.guards, self._ended, cluster.versions, fences)
        self.agent = SimAgent(self.host, self.ways, *given)

    def _ended(self) -> None:
        self._systemd.call(self._cluster.dice.uniform(0.1, 0.5), self._start)

    def _killed(self, peer: Peer) -> None:
        if self.agent and self.agent.peer == peer:
            self.agent.die("its guard killed it")

    def _lives(self, peer: Peer) -> bool:
        return self.agent is not None and self.agent.peer == peer and self.agent.alive

    @property
    def running(self) -> bool:
        return self.host.up and self.agent is not None and self.agent.alive and self.agent.ready

    @property
    def current(self) -> bool:
        """A session is held here, and was renewed just now."""
        if not self.running or self.agent is None:
            return False
        timing, now = self.host.timing, self.host.clock.boottime()
        fresh = self.agent.standing.deadline - now > timing.deadline - timing.renew - timing.request
        return fresh and self.agent.standing.current(now) is not None


class SimCluster:
    def __init__(self, names: Sequence[str], services: Iterable[Service], dice: Random) -> None:
        self.versions, self.dice = Versions(), dice
        self.services = tuple(self.versions.add(service) for service in services)
        self.oracle = Oracle(self.services)
        self.truth = Truth(self._landed)
        self.voters = Voters(self.truth, dice, ELECTION)
        san = San(self.oracle.wrong)
        san.asked = self.oracle.words
        for name in DISKS:
            san.disk(name, wwid=f"naa.5000c500{name}")
        self.outside = Outside(san, disks=DISKS)
        self.members: list[Member] = []
        self.names = tuple(names)
        self.fenced_until = 0.0  # one may be under way
        self.everywhere = False  # each host has every file; else the first one alone
        self.fences = ""  # "": nobody has any; else how they are: works, fails, late

    async def begin(self, timings: Sequence[Timing], rates: Sequence[float]) -> None:
        """Of each host: its times, and how wrong its clock runs."""
        for service in self.services:
            await self.truth.commit({}, {keys.document(service.key): self.versions.in_store(service)})
        for name, timing, rate in zip(self.names, timings, rates, strict=True):
            self.members.append(Member(self, name, name, timing, rate))
        for member in self.members if self.everywhere else self.members[:1]:
            member.host.files = {s.key: self.versions.content(s) for s in self.services}

    def clone(self, of: Member) -> Member:
        """A copy of its disk, on another machine, under the same name."""
        # Two of one name would have one boot's secret, too, which no copy of a disk has (seed 2495).
        name = of.node + "'" * sum(member.node == of.node for member in self.members)
        made = Member(self, name, of.node, of.host.timing, of.host.rate)
        made.host.keepsake._mark = of.host.keepsake.mark()
        self.members.append(made)
        return made

    async def fence(self, node: str) -> str:
        """Every machine of that name is switched off, and comes up again; or nobody knows whether."""
        self.oracle.say("fence", f"of {node} {self.fences}")
        first = self.dice.uniform(0.1, 2.0)
        self.fenced_until = true_time() + first + 6.0
        await asyncio.sleep(first)
        if self.fences == "fails":
            return "no answer from its management board"
        for member in self.members:
            if member.node == node and not member.gone:
                member.host.reset("it was fenced")
        await asyncio.sleep(self.dice.choice((0.0, 6.0)))  # it may be up again before this is told
        return "" if self.fences == "works" else "not done within its time"

    @property
    def hosts(self) -> list[SimHost]:
        return [member.host for member in self.members]

    def _landed(self, puts: Mapping[str, str]) -> None:
        for member in self.members:
            if keys.beat(member.node) in puts and member.host.up:
                member.host.landed = member.host.clock.boottime()
        phases = {
            m.name: (0, m.guards.guard.phase if m.guards.guard else "not there") for m in self.members
        }
        self.oracle.commits(puts, phases)

    # --- whether all is well ---------------------------------------------------------------

    def unwell(self) -> str:
        """Why it has not converged, "" when it has."""
        for member in self.members:
            if not member.gone and not member.current:
                why = member.agent.standing.why if member.agent else "no agent"
                return f"{member.name} has no session: {why or 'it is off'}"
        if true_time() < self.fenced_until:
            return "a fence is under way"
        if dying := next((m.name for m in self.members if m.host.dying), ""):
            return f"{dying} is about to be reset"
        for service in self.services:
            if why := self._unwell(service):
                return why
        for member in self.members:
            agent = member.agent
            if agent and not member.gone and (not agent.queue.idle() or agent.jobs.running):
                return f"{member.name} is busy"
        return ""

    def _behind(self, service: Service) -> str:
        """Every host acts on the document that the store has, and no file is about to be applied."""
        agents = [m.agent for m in self.members if m.agent and not m.gone]
        for agent in agents:
            if why := about_to_apply(agent, service.key):
                return f"{agent.host.name}: its file {why}"
            record = agent.records.get(service.key)
            if record is None or record.deleted:
                return f"{agent.host.name}: has no document of {service.key} in force"
            if why := agent.together.behind(record):
                return f"{agent.host.name}: {why}"
            if agent.desk.failing:
                return f"{agent.host.name}: does not keep its state: {agent.desk.failing}"
        return ""

    def _unwell(self, service: Service) -> str:
        if why := self._behind(service):
            return why
        things = [thing_of(service, r) for r in service.resources]
        claimed = [thing_of(service, r) for r in service.resources if not r.common.standby]
        there = [m for m in self.members if not m.gone]
        up = [m for m in there if m.host.up and m.host.all_up(things)]
        wanted = min(slots(service), len(there))
        if len(up) != wanted:
            return (
                f"{service.key} is up on {' and '.join(m.name for m in up) or 'no host'}, not on {wanted}"
            )
        if service.failback == "auto" and up[0].node != service.nodes[0]:
            return f"{service.key} is up on {up[0].name} and belongs on {service.nodes[0]}"
        for member in [m for m in there if m not in up]:
            for thing in things:
                state = member.host.look(thing).state
                if state not in ((State.DOWN, State.ELSEWHERE) if thing in claimed else (State.UP,)):
                    return f"{thing} is {state} on {member.name}, which does not hold it"
        return ""

    async def converged(self, within: float) -> float:
        """The seconds it took; raises TimeoutError with the reason."""
        began = true_time()
        while why := self.unwell():
            if true_time() > began + within:
                raise TimeoutError(why)
            await asyncio.sleep(0.1)
        return true_time() - began

    async def quiet(self, seconds: float) -> None:
        """A cluster that has converged does nothing."""
        before = self.oracle.operations
        await asyncio.sleep(seconds)
        for member in self.members:
            if member.gone or not member.agent or not member.agent.ready:
                continue
            for key, record in member.agent.records.items():
                if record.plan.now:
                    steps = ", ".join(f"{s.act} {s.rid}" for s in record.plan.now)
                    self.oracle.wrong(member.name, "settled", f"plans {steps} of {key} with nothing to do")
        if self.oracle.operations > before:
            self.oracle.wrong("all", "settled", f"{self.oracle.operations - before} operations at rest")

    async def edited(self, within: float) -> None:
        """One of several services is, at rest: it is in force everywhere, and nothing else is touched."""
        service, agent = self.dice.choice(self.services), self.members[0].agent
        assert agent
        made = self.versions.edited(agent.records[service.key].service, stops=False)
        self.oracle.edited = service.key
        self.members[0].host.save(service.key, self.versions.content(made))
        await asyncio.sleep(0.5)
        await self.converged(within)
        behind = [m.name for m in self.members if not m.gone and m.agent and not _has(m.agent, made)]
        if behind:
            self.oracle.wrong(behind[0], "apart", f"{service.key} was edited, and that is not in force")
        self.oracle.edited = ""


def _has(agent: SimAgent, service: Service) -> bool:
    return agent.records[service.key].service is service
