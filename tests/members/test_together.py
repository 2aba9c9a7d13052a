"""Claims, the guard's list and what was seen, as a pass brings them together."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from reconciler import operations as op
from reconciler.decide import claims, keys
from reconciler.decide.asked import NOBODY
from reconciler.decide.placement import Decision
from reconciler.decide.plan import Situation
from reconciler.decide.turn import Turn
from reconciler.engine.gate import Gate
from reconciler.engine.observe import Seen
from reconciler.engine.record import Record
from reconciler.engine.together import Together
from reconciler.engine.travel import Travel
from reconciler.guard.lines import Address, Line, Mount, Program
from reconciler.model import Common, Goal, Observed, Owner, Resource, Service, ServiceGoal, State
from tests.members.rig import Bed, Node, play
from tests.members.shelf import Shelf

KEY = "root/web"
IP = Resource("ip#0", "ip.fake", {"name": "192.0.2.1"})
DIR = Resource("fs#flag", "fs.fake", {})
ADD = op.AddAddress("192.0.2.1/24", "br0")
LINE = Address(f"{KEY}:ip#0", "192.0.2.1/24", "br0")
UP = Decision(ServiceGoal.UP, "Wanted", ("wanted",))
DOWN = Decision(ServiceGoal.DOWN, "AskedStop", ("stop",))
nap = asyncio.sleep


def web(*resources: Resource, **more: Any) -> Service:
    given = {"nodes": ("n1", "n2"), "generation": "g1", **more}
    return Service("web", resources=resources or (IP,), **given)


class Driver:
    def operations(self, spec: Mapping[str, Any], seen: Observed, goal: Goal) -> tuple[op.Operation, ...]:
        return (op.AddAddress(f"{spec['name']}/24", "br0"),) if seen.state is State.DOWN else ()

    def exclusive(self, spec: Mapping[str, Any]) -> tuple[str, ...]:
        return (f"address {spec['name']}",) if "name" in spec else ()


class TmpfsDriver(Driver):
    def operations(self, spec: Mapping[str, Any], seen: Observed, goal: Goal) -> tuple[op.Operation, ...]:
        return (op.Mount("tmpfs", spec["mnt"], "tmpfs"),)


class DiskDriver(Driver):
    def operations(self, spec: Mapping[str, Any], seen: Observed, goal: Goal) -> tuple[op.Operation, ...]:
        return ()

    def exclusive(self, spec: Mapping[str, Any]) -> tuple[str, ...]:
        return (f"device {spec['dev']}",)


@dataclass
class Ledger:
    """A guard's."""

    lines: dict[int, Line] = field(default_factory=dict)
    next: int = 1

    async def state(self) -> "Ledger":
        return Ledger(dict(self.lines))

    async def enter(self, lines: Sequence[Line]) -> tuple[int, ...]:
        numbers = []
        for line in lines:
            known = next((n for n, each in self.lines.items() if each == line), 0)
            self.lines[known or self.next] = line
            numbers.append(known or self.next)
            self.next += not known
        return tuple(numbers)

    async def leave(self, numbers: Collection[int]) -> None:
        for number in numbers:
            self.lines.pop(number, None)


class NoJobs:
    def of(self, service: str) -> Mapping[str, object]:
        return {}


class Host:
    """What runs beside a node's membership."""

    def __init__(self, node: Node) -> None:
        self.node, self.ledger = node, Ledger()

        async def undo(operation: Any, owner: Owner, resource: Resource, standby: bool) -> Line | None:
            if isinstance(operation, op.Mount):
                return Mount(str(owner), operation.target, operation.source, operation.fstype)
            if not isinstance(operation, op.AddAddress):
                return None
            return Address(str(owner), operation.address, operation.dev, standby)

        self.names: dict[str, tuple[str, ...]] = {}

        async def resolve(service: str, names: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
            return {name: self.names[name] for name in names if name in self.names}

        self.gate = Gate(self.ledger, node.cluster, undo)  # type: ignore[arg-type]  # as far as it is used
        node.cluster._listed = self.gate.count
        self.disks: dict[str, tuple[str, ...]] = {}

        async def behind(service: str, paths: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
            return {path: self.disks[path] for path in paths if path in self.disks}

        drivers: Any = {"ip.fake": Driver(), "fs.fake": object(), "fs.disk": DiskDriver()}
        drivers["fs.tmpfs"] = TmpfsDriver()
        self.together = Together(node.name, node.cluster, self.gate, drivers, resolve)
        self.together.behind_devices = behind
        self.together.jobs = NoJobs()  # type: ignore[assignment]  # as far as it is used
        self.travel = Travel(node.name, node.cluster, None, drivers, {})  # type: ignore[arg-type]
        self.travel.shelf = Shelf({KEY: "no such keyword"})
        self.together.behind = self.travel.behind

    async def turn(self, record: Record, wanted: Decision = UP) -> Turn:
        made, _here = await self.together.turn(record, wanted, NOBODY)
        return made

    async def enter(self, record: Record, rid: str, operation: Any) -> str:
        record.whole = {r.rid: r for r in record.service.resources}
        return await self.together.enter(Owner(record.key, rid), operation, record)


def seen(record: Record, **states: State) -> dict[str, Situation]:
    """By the group of each resource."""
    return {
        r.rid: Situation(r, Observed(states.get(r.rid.partition("#")[0], State.DOWN)), Goal.DOWN)
        for r in record.service.resources
    }


def alone(story: Callable[[Bed, Host, Record], Awaitable[None]], *resources: Resource) -> None:
    """With a session, and the document in force."""

    async def whole(bed: Bed) -> None:
        node = bed.node("n1")
        await bed.held(node)
        record = Record(KEY, web(*resources))
        await document(bed)
        await nap(1)
        await story(bed, Host(node), record)

    play(whole)


async def document(bed: Bed, generation: str = "g1") -> None:
    shared = '{"node": "n1", "path": "/s", "flavour": "yaml", "generation": "%s", "content": ""}'
    await bed.put(keys.document(KEY), shared % generation)


def slot(bed: Bed) -> claims.Claim | None:
    entry = bed.truth.entries(keys.claims(KEY)).get(keys.claim(KEY, 0))
    return claims.read(entry.value) if entry else None


def test_a_service_with_a_part_that_has_no_state_gives_its_claim_back():
    """A directory, or a raw device: it is neither up nor down, and nothing of it is listed."""

    async def story(bed: Bed, host: Host, record: Record) -> None:
        assert (await host.turn(record)).holds
        turn = await host.turn(record, DOWN)
        assert turn.act == "release"
        await host.together.settle(record, seen(record, fs=State.NA), turn)
        assert slot(bed) is None

    alone(story, IP, DIR)


def test_what_the_guard_has_stopped_is_listed_again_when_it_starts_again():
    """Listed for the agent before this one, read by this one as it began, then stopped by the guard."""

    async def story(bed: Bed, host: Host, record: Record) -> None:
        host.ledger.lines[1], host.ledger.next = LINE, 2
        await host.gate.start()
        host.ledger.lines.clear()
        assert (await host.turn(record)).holds
        assert await host.enter(record, "ip#0", ADD) == ""
        assert list(host.ledger.lines.values()) == [LINE]

    alone(story)


def test_a_node_that_does_not_act_on_the_stored_document_claims_nothing():
    """The store's names another address; this node refuses it, or has not read it yet."""

    async def story(bed: Bed, host: Host, record: Record) -> None:
        await document(bed, "g2")
        await nap(0.1)
        turn = await host.turn(record)
        assert not turn.holds
        assert slot(bed) is None
        assert "the document of n1 (/s) is not in force here: no such keyword" in turn.decision.reason
        record.service = web(generation="g2")
        assert (await host.turn(record)).holds

    alone(story)


def test_what_was_up_before_is_listed_when_its_claim_is_held():
    """Started by hand, or before this host was one of several: the session's end must stop it, too."""

    async def story(bed: Bed, host: Host, record: Record) -> None:
        turn = await host.turn(record)
        assert turn.holds
        await host.together.settle(record, seen(record, ip=State.UP), turn)
        assert list(host.ledger.lines.values()) == [LINE]
        host.ledger.lines.clear()
        await host.together.settle(record, seen(record, ip=State.UP), turn)
        assert not host.ledger.lines  # known: the guard is not asked at every pass
        await host.together.settle(record, seen(record), turn)
        await host.together.settle(record, seen(record, ip=State.UP), turn)
        assert list(host.ledger.lines.values()) == [LINE]

    alone(story)


def test_why_a_claim_is_kept_is_told():
    """Taken out of the document's hands while it was up: nobody sees whether it is gone."""

    async def story(bed: Bed, host: Host, record: Record) -> None:
        turn = await host.turn(record)
        await host.together.settle(record, seen(record, ip=State.UP), turn)
        record.service = web(Resource("ip#0", "ip.fake", IP.spec, Common(disable=True)))
        turn = await host.turn(record, DOWN)
        await host.together.settle(record, seen(record, ip=State.NA), turn)
        told = (await host.turn(record, DOWN)).decision.reason
        assert told == "its claim is kept: the guard lists 1 things of it that were not seen gone"
        assert slot(bed)

    alone(story)


def test_a_claim_is_kept_until_the_data_is_destroyed():
    async def story(bed: Bed, host: Host, record: Record) -> None:
        assert (await host.turn(record)).holds
        turn = await host.turn(record, replace(DOWN, goal=ServiceGoal.ABSENT, destroy=True))
        assert turn.act == "release"
        for provisioned in (True, False):
            made = {
                rid: replace(part, destroy=True, seen=replace(part.seen, provisioned=provisioned))
                for rid, part in seen(record).items()
            }
            await host.together.settle(record, made, turn)
            assert bool(slot(bed)) is provisioned

    alone(story)


NAMED = Resource("ip#0", "ip.fake", {"name": "web.example"})


def test_what_is_used_of_a_name_was_claimed():
    """Whatever the driver chooses of its answers, or remembers from before."""

    async def story(bed: Bed, host: Host, record: Record) -> None:
        host.names["web.example"] = ("192.0.2.1", "192.0.2.2")
        turn = await host.turn(record)
        assert (turn.holds, turn.decision.reason) == (False, "it was not looked at yet")
        record.passes = 1
        record.seen = {"ip#0": Observed(State.DOWN, data={"address": "192.0.2.9/24"})}
        assert (await host.turn(record)).holds
        held = slot(bed)
        assert held
        assert held.things == tuple(f"address 192.0.2.{last}" for last in (1, 2, 9))

    alone(story, NAMED)


def test_another_address_than_was_claimed_is_claimed_first():
    """The name has another one since: two services could have the same."""

    async def story(bed: Bed, host: Host, record: Record) -> None:
        host.names["web.example"] = ("192.0.2.7",)
        record.passes = 1
        assert (await host.turn(record)).holds
        assert "192.0.2.1 is not among what was claimed" in await host.enter(record, "ip#0", ADD)
        assert not host.ledger.lines
        host.names["web.example"] = ("192.0.2.1",)
        assert (await host.turn(record)).holds
        assert await host.enter(record, "ip#0", ADD) == ""
        held = slot(bed)
        assert held
        assert held.things == ("address 192.0.2.1", "address 192.0.2.7")  # the old one may be up

    alone(story, NAMED)


def test_what_an_edit_adds_is_claimed_before_it_goes_up():
    """An edit of what only this node names (`name@n1`) needs no stop as others see it."""

    async def story(bed: Bed, host: Host, record: Record) -> None:
        assert (await host.turn(record)).holds
        record.service = web(IP, Resource("ip#1", "ip.fake", {"name": "192.0.2.2"}))
        assert (await host.turn(record)).holds
        held = slot(bed)
        assert held
        assert held.things == ("address 192.0.2.1", "address 192.0.2.2")
        other = '[{"service": "root/db", "slot": 0, "node": "n1", "epoch": 1, "everywhere": true}]'
        await bed.put(keys.thing("address 192.0.2.3"), other)
        await nap(0.1)
        record.service = web(IP, Resource("ip#1", "ip.fake", {"name": "192.0.2.3"}))
        turn = await host.turn(record)
        assert not turn.holds
        assert "waits for address 192.0.2.3: root/db has it" in turn.decision.reason

    alone(story)


def test_who_asks_for_a_plan_is_told_whose_turn_it_is():
    """As a pass would decide it, but nothing is claimed for it."""

    async def story(bed: Bed, host: Host, record: Record) -> None:
        turn, said = host.together.foresee(record.service, UP, NOBODY)
        assert (turn.decision.goal, said) == (ServiceGoal.UP, "n1 claims it")
        assert slot(bed) is None
        hold = '[{"service": "root/db", "slot": 0, "node": "n2", "epoch": 1, "everywhere": true}]'
        await bed.put(keys.thing("address 192.0.2.1"), hold)
        await nap(0.1)
        turn, said = host.together.foresee(record.service, UP, NOBODY)
        assert (turn.decision.goal, slot(bed)) == (ServiceGoal.STANDBY, None)
        assert said == "waits for address 192.0.2.1: root/db has it, held by n2"
        await bed.put(keys.thing("address 192.0.2.1"), "[]")
        await nap(0.1)
        assert (await host.turn(record)).holds
        turn, said = host.together.foresee(record.service, UP, NOBODY)
        assert (turn.holds, said) == (True, "")

    alone(story)


LINK = Resource("fs#0", "fs.disk", {"dev": "/dev/disk/by-id/web"})
MOUNT = op.Mount("/dev/disk/by-id/web", "/web", "ext4")
DB_HAS = '[{"service": "root/db", "slot": 0, "node": "n1", "epoch": 1, "everywhere": true}]'


def test_a_disk_that_another_service_has_by_another_path_is_waited_for():
    """Two links to one disk: the claim has what this host finds behind the path, too."""

    async def story(bed: Bed, host: Host, record: Record) -> None:
        host.disks["/dev/disk/by-id/web"] = ("disk naa.5",)
        await bed.put(keys.thing("disk naa.5"), DB_HAS)
        await nap(0.1)
        turn = await host.turn(record)
        assert not turn.holds
        assert "waits for disk naa.5: root/db has it" in turn.decision.reason
        assert slot(bed) is None

    alone(story, LINK)


def test_a_device_that_comes_later_is_claimed_before_it_is_used():
    """A logical volume, say, which is not there before its start."""

    async def story(bed: Bed, host: Host, record: Record) -> None:
        assert (await host.turn(record)).holds
        host.disks["/dev/disk/by-id/web"] = ("disk naa.5",)
        await bed.put(keys.thing("disk naa.5"), DB_HAS)
        await nap(0.1)
        assert "waits for disk naa.5: root/db has it" in await host.enter(record, "fs#0", MOUNT)
        await bed.put(keys.thing("disk naa.5"), "[]")
        await nap(0.1)
        assert await host.enter(record, "fs#0", MOUNT) == ""
        held = slot(bed)
        assert held
        assert held.things == ("device /dev/disk/by-id/web", "disk naa.5")

    alone(story, LINK)


def test_what_a_reference_stands_for_is_claimed_before_it_is_used():
    """`{disk#1.exposed_devs[0]}` has a value only once its disk is up."""

    async def story(bed: Bed, host: Host, record: Record) -> None:
        assert (await host.turn(record)).holds
        held = slot(bed)
        assert held
        assert held.things == ()
        await bed.put(keys.thing("device /dev/sdb"), DB_HAS)
        await nap(0.1)
        bound = Resource("fs#0", "fs.disk", {"dev": "/dev/sdb"})
        record.whole = {"fs#0": bound}
        mount = op.Mount("/dev/sdb", "/web", "ext4")
        owner = Owner(KEY, "fs#0")
        assert "waits for device /dev/sdb: root/db has it" in await host.together.enter(
            owner, mount, record
        )

    alone(story, Resource("fs#0", "fs.disk", {"dev": "{disk#1.exposed_devs[0]}"}, late=True))


def test_what_the_kernel_chose_to_call_a_device_is_a_matter_of_this_host():
    """Each host has its own /dev/loop0: two services with a loop device are not in each other's way."""

    async def story(bed: Bed, host: Host, record: Record) -> None:
        assert (await host.turn(record)).holds
        other = DB_HAS.replace('"n1"', '"n2"').replace("true", "false")
        await bed.put(keys.thing("device /dev/loop0"), other)
        await nap(0.1)
        bound = Resource("fs#0", "fs.disk", {"dev": "/dev/loop0"}, late=True)
        record.whole = {"fs#0": bound}
        mount = op.Mount("/dev/loop0", "/web", "ext4")
        assert await host.together.enter(Owner(KEY, "fs#0"), mount, record) == ""

    alone(story, Resource("fs#0", "fs.disk", {"dev": "{disk#1.exposed_devs[0]}"}, late=True))


def test_what_was_up_before_is_claimed_by_what_is_behind_it():
    async def story(bed: Bed, host: Host, record: Record) -> None:
        assert (await host.turn(record)).holds
        host.disks["/dev/disk/by-id/web"] = ("disk naa.5",)
        await host.together.settle(record, seen(record, fs=State.UP), await host.turn(record))
        held = slot(bed)
        assert held
        assert "disk naa.5" in held.things

    alone(story, LINK)


def test_what_a_start_left_running_keeps_its_claim_until_it_is_ended():
    """Its check says down; a claim given back would let another host start it beside."""

    async def story(bed: Bed, host: Host, record: Record) -> None:
        line, alive, ended = Program(f"{KEY}:ip#0", "/groups/ip#0.left"), ["sleep (7)"], list[str]()

        async def living(asked: Program) -> str:
            return ", ".join(alive) if asked == line else ""

        async def end(asked: Program, who: str) -> None:
            ended.append(who)
            await nap(1)
            alive.clear()

        host.gate.living, host.together.end_left = living, end
        assert (await host.turn(record)).holds
        host.ledger.lines[1] = line
        await host.gate.start()
        turn = await host.turn(record, DOWN)
        for _ in range(2):  # not twice
            await host.together.settle(record, seen(record), turn)
        assert slot(bed)
        told = (await host.turn(record, DOWN)).decision.reason
        assert "its claim is kept: root/web:ip#0 is down, but sleep (7) live" in told
        await nap(2)
        assert ended == ["sleep (7)"]
        await host.together.settle(record, seen(record), turn)
        assert not host.ledger.lines
        assert slot(bed) is None

    alone(story)


def test_what_was_up_otherwise_is_listed_as_far_as_it_is_surely_ours():
    """Another prefix is our address all the same; what is mounted on our mount point may be anybody's."""

    async def story(bed: Bed, host: Host, record: Record) -> None:
        turn = await host.turn(record)
        warn = seen(record, ip=State.WARN, fs=State.WARN)
        await host.together.settle(record, warn, turn)
        assert list(host.ledger.lines.values()) == [LINE]
        await host.together.settle(record, seen(record, ip=State.WARN, fs=State.UP), turn)
        assert len(host.ledger.lines) == 2

    alone(story, IP, Resource("fs#0", "fs.tmpfs", {"mnt": "/web"}))


def test_the_mark_of_a_host_is_stale_when_its_session_is_over_as_surely_as_required():
    async def story(bed: Bed, host: Host, record: Record) -> None:
        assert not host.together.stale(record, "n2")  # no such node is known
        n2 = bed.node("n2")
        await bed.held(n2)
        await host.turn(record)
        assert not host.together.stale(record, "n2")
        n2.way.silent = True
        await bed.until(lambda: not bed.session("n2").open)
        await nap(0.1)
        assert host.together.stale(record, "n2")
        assert not host.together.stale(record, "n2, n3")
        record.service = web(requires_safety="fenced")
        assert not host.together.stale(record, "n2")
        record.service = web()
        host.node.cluster._sure.clear()  # the claim is in doubt
        assert not host.together.stale(record, "n2")

    alone(story)


def test_without_a_session_no_mark_is_taken_off_a_disk():
    """A copy of a host took that one's tag away, by a word to stop (seed 593110)."""

    async def story(bed: Bed, host: Host, record: Record) -> None:
        there = {
            "ip#0": Seen(IP, Observed(State.WARN, left=True)),
            "ip#1": Seen(IP, Observed(State.WARN)),
            "ip#2": Seen(IP, Observed(State.UP)),
        }
        assert host.together.apart(KEY, there) == there  # it comes back, and cleans up
        host.node.way.silent = True
        await bed.until(lambda: host.node.current() is None)
        seen = [one.observed for one in host.together.apart(KEY, there).values()]
        assert [one.state for one in seen] == [State.DOWN, State.WARN, State.UP]
        assert not any(one.may_mark for one in seen)

    alone(story)


def test_what_another_service_has_up_here_is_not_stopped_as_ours():
    """Both name one address; the one that is down would take it away from the one that holds it."""

    async def story(bed: Bed, host: Host, record: Record) -> None:
        there = {"ip#0": Seen(IP, Observed(State.UP, data={"address": "192.0.2.1/24"}))}
        epoch = bed.session("n1").epoch
        hold = '[{"service": "root/db", "slot": 0, "node": "%s", "epoch": %d, "everywhere": true}]'
        for node, of, state in (
            ("n1", epoch, State.ELSEWHERE),
            ("n2", epoch, State.UP),  # it is up here without a claim, and has to go
            ("n1", epoch - 1, State.UP),
        ):
            await bed.put(keys.thing("address 192.0.2.1"), hold % (node, of))
            await nap(0.1)
            assert host.together.apart(KEY, there)["ip#0"].observed.state is state
        await bed.put(keys.thing("address 192.0.2.1"), "[]")
        await nap(0.1)
        assert (await host.turn(record)).holds
        assert host.together.apart(KEY, there) == there

    alone(story)
