"""What random days have found, each as the shortest story of it."""

import asyncio
import random
from dataclasses import replace

import pytest

from reconciler.decide import sessions
from reconciler.decide.timing import PROFILES
from reconciler.errors import NeedsPerson
from reconciler.model import Flex, Owner
from reconciler.operations import Mount
from reconciler.testing.faults import Faults
from reconciler.testing.things import DOWN, disks, pair, stack
from tests.sim.bed import NAMES, play, until


def test_what_was_repaired_under_others_is_still_stopped_after_them():
    """Its line was entered anew, behind theirs: the guard unmounts no disk that is in use (seed 57)."""

    async def story(cluster):
        holder = cluster.members[0]
        holder.host.put("web/disk#0", DOWN)
        await until(lambda: holder.host.all_up(["web/disk#0"]))
        await asyncio.sleep(1)
        for way in holder.ways:
            way.silent = True
        await until(lambda: not holder.host.ups())

    oracle = play(story)
    gone = [said.what.split("'")[1] for said in oracle.history if said.what.endswith("undoes is gone")]
    assert gone == ["web/app#0", "web/fs#0", "web/disk#0", "web/ip#0"]


def test_what_is_asked_of_a_host_that_is_behind_is_refused_rather_than_lost():
    """Another one's word came first, unheard of here: `clear` was taken for done (seed 218)."""

    async def story(cluster):
        first, behind = cluster.members[0].agent, cluster.members[1].agent
        cluster.members[1].ways[0].deaf = True
        await first.wishes.ask("root/web", {"verb": "stop"}, "alice")
        await asyncio.sleep(0.2)
        with pytest.raises(NeedsPerson, match="ask again"):
            await behind.wishes.ask("root/web", {"verb": "freeze"}, "bob")
        await first.wishes.ask("root/web", {"verb": "thaw"}, "alice")
        await first.wishes.ask("root/web", {"verb": "stop"}, "alice")
        with pytest.raises(NeedsPerson, match="ask again"):
            await behind.wishes.ask("root/web", {"verb": "clear"}, "bob")
        await behind.wishes.ask("root/web", {"verb": "clear"}, "bob")  # it has heard of it by now
        cluster.members[1].ways[0].deaf = False
        await until(lambda: cluster.unwell() == "")

    play(story)


def test_a_session_outlives_its_agent_and_its_guard_at_once():
    """The guard that is begun anew had no watchdog yet, and the agent gave up over it (seed 260)."""

    async def story(cluster):
        holder = cluster.members[0]
        before = cluster.oracle.operations
        holder.guards.guard.die()
        holder.agent.die("both are killed")
        await asyncio.sleep(3)
        assert holder.current
        assert cluster.oracle.operations == before
        await asyncio.sleep(5)
        assert cluster.unwell() == ""

    play(story)


def test_what_is_standby_is_up_on_all_and_stays_up_when_its_session_ends():
    """It waited for the address, which is up on the holder alone (seed 2)."""

    async def story(cluster):
        for way in cluster.members[0].ways:
            way.silent = True
        await until(lambda: cluster.members[1].host.all_up(["web/app#0"]))
        assert [m.host.ups() for m in cluster.members[::2]] == [["web/disk#0"]] * 2

    play(story, services=[stack("web", NAMES, "192.0.2.10", standby=True)])


def test_what_a_dead_agent_began_is_not_seen_gone_before_it_has_ended():
    """Down it looked, and its claim was given back, while it was on its way up (seeds 1854, 2103)."""

    async def story(cluster):
        holder = cluster.members[0]
        holder.host.slow = 3.0
        holder.host.put("web/app#0", DOWN)
        await until(lambda: "web/app#0" in holder.host.busy)
        holder.agent.die("killed")
        await until(lambda: holder.running and holder.agent.cluster.follower.ready.is_set())
        await holder.agent.wishes.ask("root/web", {"verb": "stop"}, "alice")
        await asyncio.sleep(20)
        assert not holder.host.ups()
        assert holder.agent.gate.count("root/web") == 0
        await holder.agent.wishes.ask("root/web", {"verb": "clear"}, "alice")
        await until(lambda: cluster.unwell() == "")

    oracle = play(story)
    done = [said.what for said in oracle.history if said.what.startswith("begins stop")]
    assert done[0] == "begins stop web/app#0"


@pytest.mark.parametrize("more", [{"to": "n2"}, {}], ids=["to it", "away"])
def test_a_move_whose_aim_dies_on_the_way_is_over(more):
    """Given back for it, nobody else took the service before the wish ran out: down for five minutes."""

    async def story(cluster):
        first, *others = cluster.members
        first.host.slow = 1.0
        await first.agent.wishes.ask("root/web", {"verb": "switch", **more}, "alice")
        await asyncio.sleep(0.5)
        for member in others[: 1 if more else 2]:
            member.host.off("its power fails")
            member.gone = True
        await until(lambda: not first.host.ups())
        first.host.slow = 0.0
        await until(lambda: first.host.all_up(["web/app#0"]), within=12)
        ended = first.agent.desk.asked("root/web").ended
        assert ended.state == "failed"
        assert "n2 has no open session" in ended.message
        operations = cluster.oracle.operations
        await asyncio.sleep(20)
        assert cluster.oracle.operations == operations

    play(story)


def test_of_a_rolling_restart_the_dead_are_passed_over_and_it_is_fulfilled():
    async def story(cluster):
        members = {member.name: member for member in cluster.members}
        asking = cluster.members[0].agent
        left = (await asking.wishes.ask("root/two", {"verb": "restart"}, "alice")).left
        asking, last = members[left[0]].agent, members[left[-1]]
        last.host.slow = 3.0
        await until(lambda: asking.desk.asked("root/two").wish.left == left[-1:])
        last.host.off("its power fails")
        last.gone = True
        await until(lambda: asking.desk.asked("root/two").wish is None)
        assert asking.desk.asked("root/two").ended.state == "fulfilled"

    play(story, services=[pair("two", NAMES, 2)])


def test_a_child_starts_soon_after_its_parent_is_up_and_is_stopped_before_it():
    """It was looked at again minutes later only; and a parent that was claimed was taken for up."""

    def up(cluster, name):
        return any(member.host.all_up([f"{name}/app#0"]) for member in cluster.members)

    async def story(cluster):
        agent = cluster.members[0].agent
        await agent.wishes.ask("root/web", {"verb": "stop"}, "alice")
        await asyncio.sleep(2)
        assert up(cluster, "db")
        assert up(cluster, "web")  # nobody has stopped its child
        await agent.wishes.ask("root/top", {"verb": "stop"}, "alice")
        await until(lambda: not up(cluster, "web"), within=5)
        assert not up(cluster, "top")
        await until(lambda: not agent.cluster.view.claims.get("root/web"))
        await agent.wishes.ask("root/top", {"verb": "start"}, "alice")
        for member in cluster.members:
            member.host.slow = 1.0
        await agent.wishes.ask("root/web", {"verb": "start"}, "alice")
        await until(lambda: any("top/" in thing for m in cluster.members for thing in m.host.busy))
        assert up(cluster, "web")
        for member in cluster.members:
            member.host.slow = 0.0
        await until(lambda: up(cluster, "top"), within=3)

    services = [
        stack("db", NAMES, "192.0.2.10"),
        stack("web", NAMES, "192.0.2.11", relations={"parents": ("db",), "children": ("top",)}),
        stack("top", NAMES, "192.0.2.12", relations={"parents": ("web",)}),
    ]
    play(story, services=services)


@pytest.mark.parametrize("until_reboot", [False, True])
def test_a_host_that_goes_down_gives_all_away_before(until_reboot):
    """Planned, it costs a stop and a start, not T. If so said, its next boot takes services on again."""

    async def story(cluster):
        first, second, _ = cluster.members
        asked = {"verb": "drain", "until_reboot": until_reboot}
        await first.agent.wishes.ask_node(asked, "systemd")
        await until(lambda: second.host.all_up(["web/app#0"]), within=4)
        assert not first.host.ups()
        first.host.off("it goes down")
        await asyncio.sleep(20)
        first.host.boot()
        await until(lambda: first.current)
        await asyncio.sleep(2)
        second.host.off("its power fails")
        second.gone = True
        takes = first if until_reboot else cluster.members[2]
        await until(lambda: takes.host.all_up(["web/app#0"]), within=14)

    play(story)


def test_two_that_must_not_run_together_are_not_claimed_at_once():
    """Each was decided on before the other's claim was answered, and so they started on one host."""

    async def story(cluster):
        await asyncio.sleep(5)
        for member in cluster.members:
            assert len([name for name in "abc" if member.host.all_up([f"{name}/app#0"])]) == 1

    apart = {"a": ("b", "c"), "b": ("a", "c"), "c": ("a", "b")}
    services = [
        stack(name, NAMES, f"192.0.2.{n}", relations={"hard_anti_affinity": others})
        for n, (name, others) in enumerate(apart.items(), 1)
    ]
    play(story, services=services)


def test_a_restart_stays_where_it_is():
    """The claim was given back between its two halves, and the first node by order took the service."""

    async def story(cluster):
        second = cluster.members[1]
        await second.agent.wishes.ask("root/web", {"verb": "switch", "to": "n2"}, "alice")
        await until(lambda: second.host.all_up(["web/app#0"]))
        await asyncio.sleep(3)
        await second.agent.wishes.ask("root/web", {"verb": "restart"}, "alice")
        await until(lambda: not second.host.all_up(["web/app#0"]))
        await cluster.converged(20)
        assert second.host.all_up(["web/app#0"])

    play(story)


def test_the_disk_of_a_host_that_is_gone_is_taken_over():
    """Its tag stays on the volume group: no service with one ever came back after a crash of its host."""

    async def story(cluster):
        dead, next_ = cluster.members[:2]
        dead.gone = dead.host.removed = True
        dead.host.off("its power supply")
        await until(lambda: next_.host.all_up(["db/disk#0", "db/fs#0", "db/app#0"]), 40)
        (group,) = cluster.outside.san.groups.values()
        assert group.tags == {"n2"}

    play(story, services=[disks("db", NAMES, "192.0.2.11", "/dev/sdb")])


def test_two_hosts_that_write_to_one_disk_are_noticed():
    """What the oracle of shared disks is worth: a second mount, by hand."""

    async def story(cluster):
        other = cluster.members[1].host.kernel
        (group,) = cluster.outside.san.groups.values()
        for volume in group.volumes.values():
            volume.active.add(other.machine)
        other.storage.root.make_directory("srv/db")
        mount = Mount("/dev/db/data", "/srv/db", "ext4")
        assert (await other.perform(mount, Owner("root/x", "fs#0"))).ok
        assert cluster.oracle.broken.pop() == (
            f"shared: n2: {mount} on n2, which n1 has mounted for writing"
        )
        cluster.oracle.history = [said for said in cluster.oracle.history if "WRONG" not in said.what]

    play(story, services=[disks("db", NAMES, "192.0.2.11", "/dev/sdb")])


def test_a_volume_that_its_group_brought_up_goes_with_it():
    """The agent was held up before it came to the volume; the guard lists the group alone (seed 203073)."""

    async def story(cluster):
        first, second = cluster.members[:2]
        await first.agent.wishes.ask("root/db", {"verb": "switch", "to": "n2"}, "alice")
        await until(lambda: second.host.has("db/disk#1"))
        second.agent.process.hold_up()
        await until(lambda: not second.host.has("db/disk#1"))
        second.agent.process.go_on()
        await cluster.converged(60)

    play(story, services=[disks("db", NAMES, "192.0.2.11", "/dev/sdb")])


def test_data_goes_by_the_word_alone_and_is_made_anew_by_the_word_alone():
    async def story(cluster):
        first = cluster.members[0]
        san = cluster.outside.san
        before = san.groups["db"].uuid
        befall = Faults(cluster, random.Random(1))
        befall.ask(first, "root/db", {"verb": "unprovision"})
        await until(lambda: not san.groups, 60)
        assert san.disks["sdb"].content.kind == "LVM2_member"  # what LVM leaves
        await asyncio.sleep(30)
        assert not san.groups
        befall.ask(first, "root/db", {"verb": "provision"})
        await until(lambda: "db" in san.groups and san.groups["db"].uuid != before, 60)
        await asyncio.sleep(5)
        befall.ask(first, "root/db", {"verb": "clear"})  # it was stopped to be unprovisioned
        await until(lambda: cluster.unwell() == "", 60)

    play(story, services=[disks("db", NAMES, "192.0.2.11", "/dev/sdb")])


def test_a_fence_that_worked_frees_what_the_dead_host_had_at_once():
    async def story(cluster):
        cluster.fences = "works"
        for member in cluster.members:
            member.agent.die("to be started with its fences")
        await cluster.converged(30)
        await asyncio.sleep(1)  # each has renewed: who has not fences nobody
        began = asyncio.get_running_loop().time()
        for way in cluster.members[0].ways:
            way.silent = True
        await until(lambda: cluster.members[1].host.all_up(["db/app#0"]), 30)
        assert asyncio.get_running_loop().time() - began < 10  # T alone is 7, and the start takes 2
        assert any("it was fenced" in said.what for said in cluster.oracle.history)

    play(story, services=[disks("db", NAMES, "192.0.2.11", "/dev/sdb")])


def test_a_target_is_lowered_and_raised_while_it_runs():
    async def story(cluster):
        agent = cluster.members[0].agent
        for target in (1, 3, 2):
            service = agent.records["root/two"].service
            edited = replace(service, flex=Flex(target=target), generation=f"two for {target}")
            cluster.oracle.services["root/two"] = made = cluster.versions.add(edited)
            agent.host.save("root/two", cluster.versions.content(made))
            things = ["two/fs#0", "two/app#0"]

            def as_many(wanted=target, things=things):
                return sum(m.host.all_up(things) for m in cluster.members) == wanted

            await until(as_many)
            await asyncio.sleep(10)
            assert sum(bool(m.host.ups()) for m in cluster.members) == target

    play(story, services=[pair("two", NAMES, 2)])


def test_an_edit_on_one_host_is_in_force_where_it_runs():
    async def story(cluster):
        holder, other = cluster.members[:2]
        made = cluster.versions.edited(other.agent.records["root/db"].service, stops=False)
        other.host.save("root/db", cluster.versions.content(made))
        await until(lambda: holder.agent.records["root/db"].service is made)
        await until(lambda: cluster.unwell() == "", 30)

    play(story, services=[disks("db", NAMES, "192.0.2.11", "/dev/sdb")])


def test_what_is_asked_of_a_part_elsewhere_is_judged_by_what_is_up_there():
    """On the host that was asked all was down: `start --upto` stopped the program on the other one."""

    async def story(cluster):
        holder, other = cluster.members[0], cluster.members[1].agent
        await until(lambda: holder.host.all_up(["web/app#0"]))
        await asyncio.sleep(3)  # what it tells of itself has come there
        with pytest.raises(NeedsPerson, match="--rid app#0,fs#0"):
            await other.wishes.ask("root/web", {"verb": "stop", "rids": ["fs#0"]}, "alice")
        await other.wishes.ask("root/web", {"verb": "start", "upto": "fs"}, "alice")
        await asyncio.sleep(10)
        assert holder.host.all_up(["web/app#0"])

    play(story)


@pytest.mark.parametrize(("before", "after"), [("conservative", "fast"), ("fast", "conservative")])
def test_an_agent_with_other_times_gives_its_guard_the_other_watchdog(before, after):
    """It went on with that of before: a guard with 14 seconds to stop, of a host that promised T = 7."""
    before, after = PROFILES[before], PROFILES[after]

    async def story(cluster):
        holder = cluster.members[0]
        up, operations = holder.host.ups(), cluster.oracle.operations
        holder.host.timing = after
        holder.agent.die("restarted with other times")

        def promised():
            return sessions.read(
                cluster.truth._history.read("sessions/n1").entries["sessions/n1"].value
            ).wait

        def watchdog():
            return holder.guards.guard.core.mind.terms.watchdog

        # A shorter W comes before the shorter promise, a longer one after the longer.
        first, second = (watchdog, promised) if after.wait < before.wait else (promised, watchdog)
        aims = {watchdog: after.watchdog, promised: after.wait}
        await until(lambda: first() == aims[first] or second() == aims[second])
        assert first() == aims[first]
        await until(lambda: second() == aims[second])
        await asyncio.sleep(5)
        assert holder.current
        assert (holder.host.ups(), cluster.oracle.operations) == (up, operations)

    play(story, timing=before, within=60.0)
