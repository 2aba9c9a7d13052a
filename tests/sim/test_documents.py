"""Documents that are removed, purged and come back, and disks that are full, in a made-up cluster."""

import asyncio
from dataclasses import replace
from random import Random

import pytest

from reconciler.decide import keys
from reconciler.decide.asked import Frozen
from reconciler.decide.claims import free
from reconciler.engine.travel import read
from reconciler.errors import NeedsPerson
from reconciler.testing.days import day
from reconciler.testing.people import People
from reconciler.testing.things import DOWN, disks, stack
from tests.sim.bed import NAMES, play, until

WEB, DB = stack("web", NAMES, "192.0.2.10"), disks("db", NAMES, "192.0.2.11", "/dev/sdb")


def ask(cluster, member, key, verb):
    return People(cluster, Random(1)).ask(member, key, {"verb": verb})


def known(cluster, key="root/web"):
    return [key in member.agent.records for member in cluster.members]


async def document(cluster, key="root/web"):
    entry = (await cluster.truth.read(keys.document(key))).entries.get(keys.document(key))
    return read(entry.value) if entry else None


def held(cluster, key="root/web"):
    view = cluster.members[0].agent.cluster.view
    return any(not free(claim, view.sessions) for claim in view.claims.get(key, {}).values())


def claims_again(agent):
    """Of an agent before it: it asks the store, and has no answer yet."""
    return agent.ready and agent.cluster.mine("root/web") and not agent.cluster.held("root/web")


def remove(cluster, key="root/web"):
    cluster.oracle.removed(key)
    cluster.members[0].host.save(key, "")


def test_a_document_that_is_removed_goes_everywhere_and_comes_back():
    async def story(cluster):
        remove(cluster)
        await until(lambda: not any(known(cluster)) and not held(cluster))
        assert not any("web/app#0" in member.host.ups() for member in cluster.members)
        await until(lambda: cluster.unwell().endswith("has no document of root/web in force"))
        assert await document(cluster) is None
        cluster.members[0].host.save("root/web", "web")
        await until(lambda: cluster.unwell() == "")

    play(story, services=[WEB, DB])


def test_what_goes_all_at_once_stays_until_a_person_says_so():
    async def story(cluster):
        host, agent = cluster.members[0].host, cluster.members[0].agent
        for key in list(host.files):
            host.save(key, "")
        await asyncio.sleep(5)
        assert agent.library.held == {"root/web", "root/db"}
        assert host.all_up(["web/app#0"])
        cluster.oracle.removed("root/web")
        host.save("root/db", "db")
        await asyncio.sleep(1)
        await agent.library.scan(confirmed=True)
        await until(lambda: not any(known(cluster)))
        assert all(known(cluster, "root/db"))

    play(story, services=[WEB, DB])


def test_a_claim_is_given_back_when_all_is_destroyed_that_goes_with_its_document():
    """It was kept for ever, and with it the document: nobody could put it back (seed 200083)."""

    async def story(cluster):
        remove(cluster, "root/db")
        await until(lambda: not any(known(cluster, "root/db")) and not held(cluster, "root/db"), 60)
        assert not cluster.outside.san.groups

    play(story, services=[WEB, replace(DB, on_delete="purge")])


def test_what_is_purged_is_made_anew_by_nobody_while_its_document_goes():
    """What was asked was forgotten before the document was gone for all: another began (seed 200060)."""

    async def story(cluster):
        holder = cluster.members[0]
        put, slow = holder.agent.cluster.put_document, asyncio.Event()

        async def late(*given):
            await slow.wait()
            return await put(*given)

        holder.agent.cluster.put_document = late
        ask(cluster, holder, "root/web", "purge")
        await until(lambda: "root/web" not in holder.agent.records)
        await asyncio.sleep(10)
        assert not any("web/app#0" in member.host.ups() for member in cluster.members)
        slow.set()
        await until(lambda: not any(known(cluster)))

    play(story, services=[WEB, DB])


async def agent_anew_without_a_session(holder, name):
    """It reads the store, but writes it late; for less than it takes its guard to stop what it lists."""
    holder.agent.die("killed")
    for way in holder.ways:
        way.late = 1.0
    await until(lambda: not any(map(holder.host.has, (f"{name}app#0", f"{name}fs#0"))), 3)
    await asyncio.sleep(0.3)
    for way in holder.ways:
        way.late = None


def test_a_purge_is_not_done_before_the_data_is_destroyed():
    """Its agent had no session yet, under which alone data goes: it took it for done (seed 201477)."""

    async def story(cluster):
        holder = cluster.members[0]
        ask(cluster, holder, "root/db", "purge")
        await until(lambda: not holder.host.all_up(["db/app#0"]))
        await agent_anew_without_a_session(holder, "db/")
        await until(lambda: not any(known(cluster, "root/db")) and not held(cluster, "root/db"), 60)
        assert not cluster.outside.san.groups

    play(story, services=[WEB, DB])


def test_who_cannot_know_whether_it_holds_a_removed_service_is_not_done_with_it():
    """Its claim, and what the guard lists, were nobody's any more (seed 201477)."""

    async def story(cluster):
        holder = cluster.members[0]
        remove(cluster)
        await until(lambda: not holder.host.all_up(["web/app#0"]))
        await agent_anew_without_a_session(holder, "web/")
        await until(lambda: not any(known(cluster)) and not held(cluster), 60)

    play(story, services=[WEB, DB])


def test_an_agent_that_was_away_has_in_force_what_the_store_has():
    """What was in force before it ended was put back over that (seed 200007)."""

    async def story(cluster):
        first, away = cluster.members[0].host, cluster.members[1]
        away.host.off("its power supply")
        made = cluster.versions.edited(cluster.services[0], stops=False)
        first.save("root/web", cluster.versions.content(made))
        await until(lambda: cluster.members[2].agent.records["root/web"].service is made)
        away.host.boot()
        await until(lambda: away.running)
        await asyncio.sleep(15)
        assert away.agent.records["root/web"].service is made

    play(story, services=[WEB, DB])


def test_nothing_is_begun_on_a_word_that_was_taken_back_while_the_claim_was_asked_for():
    """Seed 200057."""

    async def story(cluster):
        holder = cluster.members[0]
        holder.ways[0].slow = 0.9
        holder.agent.die("killed")
        holder.host.put("web/app#0", DOWN)
        await until(lambda: holder.agent.alive and claims_again(holder.agent))
        holder.agent.desk.put_node_frozen(Frozen("alice", 1.0))
        before = cluster.oracle.operations
        await asyncio.sleep(10)
        assert cluster.oracle.operations == before

    play(story)


def test_who_freezes_a_node_whose_disk_is_full_is_told_that_it_will_not_last():
    async def story(cluster):
        member = cluster.members[0]
        member.host.unkept = "database or disk is full"
        with pytest.raises(NeedsPerson, match="will not survive a restart: database or disk is full"):
            await member.agent.wishes.ask_node({"verb": "freeze", "scope": "node"}, "alice")
        member.host.unkept = ""
        await until(lambda: not member.agent.desk.failing)
        member.agent.die("killed")
        await until(lambda: member.running)
        assert member.agent.desk.node_frozen()

    play(story)


@pytest.mark.parametrize(
    ("kinds", "seeds"),
    [(("removed", "purged", "kill"), 12), (("directory lost", "removed", "crash"), 12)],
)
def test_days_of_documents(kinds, seeds):
    for seed in range(seeds):
        made = day(seed, kinds)
        assert not made.wrong, f"day({seed}, {kinds})\n{made.history}\n{made.wrong}"
