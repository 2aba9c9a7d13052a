"""Who may run a slot, with which things, and what the commit says that makes it so."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.contracts import Entry
from reconciler.decide import claims, keys, things
from reconciler.decide.claims import (
    Claim,
    Commit,
    Holder,
    affirm,
    give,
    kept_from,
    mine,
    needed,
    seen,
    slots,
    take,
)
from reconciler.decide.sessions import Level, Session
from reconciler.decide.sessions import written as session_text
from reconciler.decide.things import Hold, Thing
from reconciler.decide.travel import needs_stop, put_in_force
from reconciler.model import Common, Flex, Resource, Service
from resources import disk_vg, fs_ext4, ip_host, ip_route

N1 = Session("n1", 5, "b1", "s1", 10.0, Level.LEASE)
N2 = Session("n2", 8, "b2", "s2", 10.0, Level.LEASE)
ME = Holder(N1, 77)
CLOSED = replace(N2, epoch=9, open=False)
WEB = Service("web", nodes=("n1", "n2"))
IP, VG = Thing("address 192.0.2.1", True), Thing("volume group data", True)
DRIVERS = {"x.fake": SimpleNamespace(exclusive=lambda spec: spec["things"])}


def of(*names: str, **common) -> Resource:
    return Resource("x#0", "x.fake", {"things": names}, Common(**common))


def store(n2=N2, *held, **raw) -> claims.View:
    """A view with both sessions, a document of web and these claims (key, Claim, *Thing)."""
    texts = {keys.session("n1"): session_text(N1), keys.document("root/web"): "web"}
    if n2:
        texts[keys.session("n2")] = n2 if isinstance(n2, str) else session_text(n2)
    for service, claim, *taken in held:
        texts[keys.claim(service, claim.slot)] = claims.written(claim)
        for thing in taken:
            hold = Hold(service, claim.slot, claim.node, claim.epoch, thing.everywhere)
            before = things.read(texts.get(keys.thing(thing.name), "[]")) or ()
            texts[keys.thing(thing.name)] = things.written((*before, hold))
    texts.update(raw)
    return seen({key: Entry(text, at) for at, (key, text) in enumerate(sorted(texts.items()), 3)})


def held_by(node: str, epoch: int, slot: int = 0) -> Claim:
    return Claim(slot, node, epoch)


@pytest.mark.parametrize(
    ("claim", "n2", "why"),
    [
        pytest.param(held_by("n2", 8), N2, "held by n2", id="its session is open"),
        pytest.param(held_by("n2", 7), N2, "", id="an older epoch: it stopped before it opened this one"),
        pytest.param(held_by("n2", 8), CLOSED, "", id="closed"),
        pytest.param(held_by("n2", 8), None, "held by n2", id="no record of it: nobody knows"),
        pytest.param(held_by("n2", 8), "{}", "held by n2", id="a record that is not understood"),
        pytest.param(held_by("n2", 9), N2, "held by n2", id="a later epoch than its session's"),
    ],
)
def test_whose_session_is_over_has_nothing(claim, n2, why):
    assert kept_from(claim, Level.LEASE, store(n2).sessions) == why


@pytest.mark.parametrize(
    ("had", "level", "opened_again", "waits"),
    [
        pytest.param(Level.LEASE, Level.LEASE, False, False, id="enough"),
        pytest.param(
            Level.LEASE, Level.WATCHDOG, False, True, id="too little: somebody must say that it is off"
        ),
        pytest.param(Level.FENCED, Level.WATCHDOG, False, False, id="fenced, or closed by itself"),
        pytest.param(Level.NONE, Level.WATCHDOG, True, False, id="it opened again, so it has stopped"),
    ],
)
def test_a_dead_holder_is_succeeded_by_its_level(had, level, opened_again, waits):
    n2 = replace(N2, epoch=10) if opened_again else replace(CLOSED, level=had)
    view = store(n2, ("root/web", held_by("n2", 8)))
    made = take(WEB, (), level, ME, view)
    assert isinstance(made, str) is waits
    if waits:
        assert made.startswith("was held by n2, which is dead: its safety level was lease")


def test_what_a_claim_compares_and_puts():
    view = store(N2)
    made = take(WEB, (IP, VG), Level.LEASE, ME, view)
    assert isinstance(made, Commit)
    assert made.compare == {
        "sessions/n1": 77,
        "documents/root/web": view.revision("documents/root/web"),
        "claims/root/web/0": 0,
        "things/address 192.0.2.1": 0,
        "things/volume group data": 0,
    }
    assert set(made.puts) == {
        "claims/root/web/0",
        "things/address 192.0.2.1",
        "things/volume group data",
    }
    assert (
        claims.read(made.puts["claims/root/web/0"]) == Claim(0, "n1", 5, (IP.name, VG.name)) == made.claim
    )
    assert things.read(made.puts["things/address 192.0.2.1"]) == (Hold("root/web", 0, "n1", 5, True),)
    assert made.deletes == ()


@pytest.mark.parametrize(
    ("held", "n2", "wanted", "why"),
    [
        pytest.param([("root/web", held_by("n2", 8))], N2, (), "held by n2", id="the slot"),
        pytest.param([("root/web", held_by("n1", 5))], N2, (), "it is held here already", id="by me"),
        pytest.param(
            [("root/db", held_by("n2", 8), IP)],
            N2,
            (IP,),
            "waits for address 192.0.2.1: root/db has it, held by n2",
            id="a thing",
        ),
        pytest.param([("root/db", held_by("n2", 8), IP)], CLOSED, (IP,), None, id="a thing of the dead"),
        pytest.param([("root/db", held_by("n2", 8), VG)], N2, (IP,), None, id="another thing"),
        pytest.param(
            [("root/db", held_by("n2", 8), Thing("device /dev/sdb", False))],
            N2,
            (Thing("device /dev/sdb", False),),
            None,
            id="each host has its own",
        ),
        pytest.param(
            [("root/db", held_by("n1", 5), Thing("device /dev/sdb", False))],
            N2,
            (Thing("device /dev/sdb", False),),
            "waits for device /dev/sdb: root/db has it, held by n1",
            id="but only once",
        ),
        pytest.param(
            [("root/db", held_by("n2", 8), Thing("device /dev/sdb", False))],
            N2,
            (Thing("device /dev/sdb", True),),
            "waits for device /dev/sdb: root/db has it, held by n2",
            id="one of several hosts is not had beside one of its own",
        ),
    ],
)
def test_who_has_to_wait(held, n2, wanted, why):
    made = take(WEB, wanted, Level.LEASE, ME, store(n2, *held))
    assert (made if isinstance(made, str) else None) == why


def test_without_its_document_nobody_claims():
    assert take(Service("new"), (), Level.NONE, ME, store()) == "its document is not in the store yet"


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("claims/root/web/0", "its claim is not understood here"),
        ("things/address 192.0.2.1", "waits for address 192.0.2.1: who has it is not understood here"),
    ],
)
def test_what_is_not_understood_is_not_free(key, why):
    assert take(WEB, (IP,), Level.NONE, ME, store(CLOSED, **{key: '{"later": 1}'})) == why


def test_from_the_dead_a_claim_takes_all_that_was_held():
    """Also the things that the service names no more; others' holds on them stay."""
    disk = Thing("device /dev/sdb", False)
    view = store(
        CLOSED,
        ("root/web", Claim(0, "n2", 8, (VG.name, disk.name)), VG, disk),
        ("root/db", held_by("n1", 5), disk),
    )
    made = take(WEB, (IP,), Level.LEASE, ME, view)
    assert isinstance(made, Commit)
    assert made.deletes == (keys.thing(VG.name),)
    assert things.read(made.puts[keys.thing(disk.name)]) == (Hold("root/db", 0, "n1", 5, False),)
    assert {keys.thing(VG.name), keys.thing(disk.name)} < made.compare.keys()


def test_a_release_gives_back_its_own_and_no_more():
    disk = Thing("device /dev/sdb", False)
    claim = Claim(0, "n1", 5, (IP.name, disk.name))
    view = store(N2, ("root/web", claim, IP, disk), ("root/db", held_by("n2", 8), disk))
    made = give("root/web", claim, view)
    assert made.deletes == ("claims/root/web/0", keys.thing(IP.name))
    assert things.read(made.puts[keys.thing(disk.name)]) == (Hold("root/db", 0, "n2", 8, False),)
    assert made.compare == {key: view.revision(key) for key in made.compare}


def test_a_claim_is_affirmed_by_writing_it_again():
    claim = Claim(0, "n1", 5, (IP.name,))
    view = store(N2, ("root/web", claim, IP))
    made = affirm("root/web", claim, ME, view)
    assert made.compare == {"sessions/n1": 77, "claims/root/web/0": view.revision("claims/root/web/0")}
    assert made.puts == {"claims/root/web/0": claims.written(claim)}


# --- flex ----------------------------------------------------------------------------------

FARM = Service("web", topology="flex", flex=Flex(target=3), nodes=("n1", "n2", "n3"))


@pytest.mark.parametrize(
    ("service", "count"), [(WEB, 1), (FARM, 3), (replace(FARM, flex=Flex(target=0)), 0)]
)
def test_slots(service, count):
    assert slots(service) == count


def test_flex_takes_the_first_free_slot_and_only_one():
    view = store(N2, ("root/web", held_by("n2", 8)))
    made = take(FARM, (), Level.LEASE, ME, view)
    assert isinstance(made, Commit)
    assert made.claim == Claim(1, "n1", 5)
    assert mine("root/web", N2, view) == held_by("n2", 8)
    assert mine("root/web", N1, view) is None
    view = store(N2, ("root/web", held_by("n1", 5, 2)))
    assert take(FARM, (), Level.LEASE, ME, view) == "it is held here already"


def test_flex_instances_share_what_they_call_shared_but_no_address():
    view = store(N2, ("root/web", held_by("n2", 8), VG, IP))
    assert isinstance(take(FARM, (VG,), Level.LEASE, ME, view), Commit)
    assert take(FARM, (IP,), Level.LEASE, ME, view) == f"waits for {IP.name}: root/web has it, held by n2"


def test_flex_with_all_slots_taken_says_by_whom():
    two = replace(FARM, flex=Flex(target=1))
    assert take(two, (), Level.LEASE, ME, store(N2, ("root/web", held_by("n2", 8)))) == "held by n2"
    none = replace(FARM, flex=Flex(target=0))
    assert take(none, (), Level.LEASE, ME, store()) == "its target is 0"


# --- things --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "common", "name", "everywhere"),
    [
        pytest.param(WEB, {}, "volume group data", True, id="it fails over: a disk of several hosts"),
        pytest.param(
            replace(WEB, nodes=("n1",)), {}, "volume group data", False, id="it stays: its host's own"
        ),
        pytest.param(
            replace(WEB, nodes=("n1",)), {"shared": True}, "device /dev/sdb", True, id="called shared"
        ),
        pytest.param(FARM, {}, "device /dev/sdb", False, id="flex: each has its own"),
        pytest.param(WEB, {}, "mount point /data", False, id="every host has its own mount points"),
        pytest.param(WEB, {}, "route to 10.0.0.0/8 table 254 metric 0", False, id="and routes"),
        pytest.param(
            replace(WEB, nodes=("n1",)), {}, "address 192.0.2.1", True, id="an address is one in the net"
        ),
    ],
)
def test_where_a_thing_is_exclusive(service, common, name, everywhere):
    assert things.things(replace(service, resources=(of(name, **common),)), DRIVERS, {}) == (
        Thing(name, everywhere),
    )


def test_every_address_of_a_name_is_claimed():
    """Which of them is used is the driver's choice, and may be an older answer."""
    service = replace(WEB, resources=(of("address web.example", "address 2001:db8::1"),))
    assert things.names(service, DRIVERS) == ("web.example",)
    assert things.things(service, DRIVERS, {}) == "x#0: web.example has no address yet"
    found = things.things(service, DRIVERS, {"web.example": ("192.0.2.7", "192.0.2.9")})
    names = {"address 192.0.2.7", "address 192.0.2.9", "address 2001:db8::1"}
    assert found == tuple(Thing(name, True) for name in sorted(names))


@pytest.mark.parametrize(
    ("said", "compared"),
    [
        ("address 2001:DB8:0::1", "address 2001:db8::1"),
        ("address web.Example", "address web.Example"),
        ("device /dev/data/web", "device /dev/data/web"),
        ("device /dev/mapper/data-web", "device /dev/data/web"),
        ("device /dev/mapper/my--data-web--1", "device /dev/my-data/web-1"),
        ("device /dev/mapper/data-web subvolume /a-b", "device /dev/data/web subvolume /a-b"),
        ("device /dev/mapper/mpatha", "device /dev/mapper/mpatha"),
        ("device /dev//disk/../sdb", "device /dev/sdb"),
        ("device LABEL=web", "device LABEL=web"),
        ("logical volume data/web", "device /dev/data/web"),
        ("raw device /dev/mapper/data-web", "device /dev/data/web"),
        ("volume group data", "volume group data"),
    ],
)
def test_two_spellings_of_one_thing_are_one(said, compared):
    service = replace(WEB, resources=(of(said),))
    resolved = {"web.Example": ("web.Example",)}
    assert [thing.name for thing in things.things(service, DRIVERS, resolved)] == [compared]


def test_what_is_behind_a_device_is_claimed_beside_its_path():
    """What the kernel calls it says so on one host; what the disk itself carries, on all."""
    wanted = (Thing("device /dev/disk/by-id/a", True), Thing("device /dev/sdb", False))
    found = {
        "/dev/disk/by-id/a": ("disk naa.5", "kernel device sdc"),
        "/dev/sdb": ("disk naa.6",),
        "/dev/sdz": ("disk naa.7",),
    }
    assert set(things.with_disks(wanted, found)) == {
        *wanted,
        Thing("disk naa.5", True),
        Thing("kernel device sdc", False),
        Thing("disk naa.6", False),
    }


def test_what_is_disabled_takes_nothing():
    assert things.things(replace(WEB, resources=(of("address a", disable=True),)), DRIVERS, {}) == ()


def test_the_words_of_the_drivers_are_those_meant_here():
    """That an address is one, and what each host has for itself, is told by how a driver begins."""
    said = [
        *ip_host.exclusive({"name": "192.0.2.1/24", "dev": "br0"}),
        *ip_route.exclusive({"to": "10.0.0.0/8", "via": "192.0.2.254", "table": 254, "metric": 0}),
        *ip_route.exclusive({"to": "2001:db8::/32", "via": "2001:db8:1::1", "table": 254, "metric": 0}),
        *disk_vg.exclusive({"name": "data"}),
        *fs_ext4.exclusive({"dev": "/dev/data/web", "mnt": "/web"}),
    ]
    assert [name.startswith(things.ADDRESS) for name in said] == [True, False, False, False, False, False]
    assert [name.startswith(things.OF_ONE_HOST) for name in said] == [False, True, True, False, True, False]


@pytest.mark.parametrize(
    ("service", "names", "level"),
    [
        (WEB, ("volume group data",), Level.WATCHDOG),
        (WEB, ("address 192.0.2.1", "mount point /web"), Level.LEASE),
        (replace(WEB, nodes=("n1",)), ("volume group data",), Level.LEASE),
        (replace(WEB, requires_safety="fenced"), (), Level.FENCED),
        (replace(WEB, requires_safety="none"), ("volume group data",), Level.NONE),
    ],
)
def test_the_level_a_service_requires(service, names, level):
    assert needed(replace(service, resources=(of(*names),)), DRIVERS) is level


# --- documents -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after", "why"),
    [
        pytest.param(replace(WEB, resources=(of("a"),), placement="spread"), "", id="who comes first"),
        pytest.param(replace(WEB, resources=(of("b"),)), "it takes other things: a, b", id="other things"),
        pytest.param(
            replace(WEB, resources=(of("a"),), topology="flex"),
            "topology is flex instead of failover",
            id="topology",
        ),
        pytest.param(
            replace(WEB, resources=(of("a"),), namespace="prod"),
            "it is prod/web instead of root/web",
            id="name",
        ),
        pytest.param(
            replace(WEB, resources=(of("a", standby=True),)), "x#0 is standby now", id="up on all hosts"
        ),
    ],
)
def test_what_waits_for_a_stop(after, why):
    assert needs_stop(replace(WEB, resources=(of("a"),)), after, DRIVERS) == why


@pytest.mark.parametrize(
    ("stop", "n2", "waits"),
    [
        pytest.param("", N2, "", id="what needs no stop is in force while it runs"),
        pytest.param("topology", N2, "waits for stop on n2: topology", id="held"),
        pytest.param("topology", CLOSED, "", id="its holder is dead"),
    ],
)
def test_a_document_is_put_in_force(stop, n2, waits):
    view = store(n2, ("root/web", held_by("n2", 8)))
    made = put_in_force(WEB, "text", stop, view)
    if waits:
        assert made == waits
        return
    assert isinstance(made, Commit)
    assert made.puts == {"documents/root/web": "text"}
    slots = {f"claims/root/web/{slot}": view.revision(f"claims/root/web/{slot}") for slot in range(3)}
    assert made.compare == {
        "documents/root/web": view.revision("documents/root/web"),
        **(slots if stop else {}),
    }


def test_a_stop_is_waited_for_by_comparing_slots_that_nobody_has():
    """As many as nodes may have taken meanwhile, whatever the edited document says of slots."""
    made = put_in_force(WEB, "text", "topology", store())
    assert isinstance(made, Commit)
    assert [made.compare[f"claims/root/web/{slot}"] for slot in range(3)] == [0, 0, 0]
    many = replace(WEB, topology="flex", flex=Flex(target=1000))
    assert put_in_force(many, "text", "topology", store()) == made  # no more than a commit holds


# --- what is kept --------------------------------------------------------------------------

CLAIMS = st.builds(Claim, st.integers(0, 9), st.text(), st.integers(0), st.lists(st.text()).map(tuple))
HOLDS = st.lists(st.builds(Hold, st.text(), st.integers(0, 9), st.text(), st.integers(0), st.booleans()))


@given(CLAIMS, HOLDS)
def test_what_is_kept_is_read_again(claim, holds):
    assert claims.read(claims.written(claim)) == claim
    assert things.read(things.written(holds)) == tuple(sorted(holds))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
def test_whatever_stands_there_is_no_crash(value):
    for text in (json.dumps(value), str(value)):
        claims.read(text)
        things.read(text)


@pytest.mark.parametrize(
    ("key", "service"),
    [
        ("claims/root/web/0", "root/web"),
        ("documents/root/web", "root/web"),
        ("wishes/root/web", "root/web"),
        ("statuses/n1/root/web", "root/web"),
        ("sessions/n1", ""),
        ("claims/odd", ""),
    ],
)
def test_a_key_says_whose_it_is(key, service):
    assert keys.service_of(key) == service
