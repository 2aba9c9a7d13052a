"""disk.vg and disk.lv against real LVM with device-mapper: every command they can ask for.

Not in the default run: STANDFAST_VM=1 pytest tests/vm
"""

import os

import pytest

from reconciler.asks import Signature
from reconciler.model import Goal, State
from resources import disk_lv, disk_vg
from tests.vm.bench import Bench
from tests.vm.guest import DISKS

pytestmark = [
    pytest.mark.vm,
    pytest.mark.skipif(
        not os.environ.get("STANDFAST_VM"), reason="needs a virtual machine: STANDFAST_VM=1"
    ),
]

VG = {"name": "vg1", "pvs": (DISKS[0],), "options": "-s 4m", "other_tags": ()}
LV = {"name": "app", "vg": "vg1", "size": "12MiB", "create_options": ""}
USES_IDS = "global { system_id_source=uname }"
TAKE, UNTAG = "vgchange --addtag @demo1 vg1", "vgchange --deltag @demo1 vg1"
ON, ACTIVATED = "vgchange -a y vg1", "# remember activated=1 until reboot"
OFF, FORGET = "vgchange -a n vg1", "# forget activated"


@pytest.fixture
def stopped(bench: Bench) -> Bench:
    """A group with one volume, as a stopped service leaves it."""
    bench.perform(disk_vg.create(VG, bench.look(disk_vg, VG)))
    bench.perform(disk_lv.create(LV, bench.look(disk_lv, LV)))
    return bench


@pytest.fixture
def started(stopped: Bench) -> Bench:
    stopped.drive(disk_vg, VG, Goal.UP)
    return stopped


def test_a_whole_life(bench: Bench):
    """Created, started, stopped, destroyed; before each step it is what the step before made it."""
    missing = bench.look(disk_vg, VG, "blank-disks")
    assert (missing.state, missing.provisioned, missing.blocked) == (State.DOWN, False, "")
    assert bench.perform(disk_vg.create(VG, missing)) == [
        f"pvcreate {DISKS[0]}",
        f"vgcreate --setautoactivation n -s 4m vg1 {DISKS[0]}",
    ]
    made = bench.look(disk_vg, VG, "group-created")
    assert (made.state, made.provisioned) == (State.DOWN, True)
    assert bench.drive(disk_vg, VG, Goal.UP) == [TAKE, ON, ACTIVATED]
    assert bench.look(disk_vg, VG, "group-up-without-volumes").state is State.UP

    volume = bench.look(disk_lv, LV)
    assert (volume.state, volume.provisioned) == (State.DOWN, False)
    bench.perform(disk_lv.create(LV, volume))
    assert bench.look(disk_lv, LV, "volume-created").provisioned is True
    assert bench.drive(disk_lv, LV, Goal.UP) == ["lvchange -a y vg1/app"]
    assert bench.look(disk_vg, VG, "all-up").exposes["exposed_devs"] == ("/dev/vg1/app",)
    bench.guest.must("mke2fs", "-q", "/dev/vg1/app")

    assert bench.drive(disk_lv, LV, Goal.DOWN) == ["lvchange -a n vg1/app"]
    assert bench.look(disk_vg, VG, "volume-down").state is State.UP
    assert bench.drive(disk_vg, VG, Goal.DOWN) == [OFF, UNTAG, FORGET]
    stopped = bench.look(disk_vg, VG, "all-down")
    assert (stopped.state, stopped.provisioned) == (State.DOWN, True)

    assert bench.perform(disk_lv.destroy(LV, bench.look(disk_lv, LV))) == ["lvremove -f vg1/app"]
    assert bench.look(disk_lv, LV).provisioned is False
    assert bench.perform(disk_vg.destroy(VG, bench.look(disk_vg, VG))) == ["vgremove vg1"]
    gone = bench.look(disk_vg, VG, "group-destroyed")
    assert gone.provisioned is False
    # What is left is a physical volume of nobody: it can be used again, and is not initialised twice.
    assert [str(o) for o in disk_vg.create(VG, gone)] == [
        f"vgcreate --setautoactivation n -s 4m vg1 {DISKS[0]}"
    ]


def test_every_operation_twice_is_as_good_as_once(stopped: Bench):
    for driver, spec, goal in (
        (disk_vg, VG, Goal.UP),
        (disk_lv, LV, Goal.UP),
        (disk_lv, LV, Goal.DOWN),
        (disk_vg, VG, Goal.DOWN),
    ):
        if spec is LV and goal is Goal.UP:
            stopped.guest.must("lvchange", "-a", "n", "vg1/app")
        todo = driver.operations(spec, stopped.look(driver, spec), goal)
        assert todo
        stopped.perform(todo)
        stopped.perform(todo)


def test_a_tag_that_outlived_a_crash(started: Bench):
    started.reboot()
    assert started.look(disk_vg, VG, "tag-outlived-a-crash").state is State.WARN
    assert started.drive(disk_vg, VG, Goal.UP) == [ON, ACTIVATED]
    started.reboot()
    assert started.drive(disk_vg, VG, Goal.DOWN) == [OFF, UNTAG, FORGET]


def test_activated_behind_our_back(stopped: Bench):
    stopped.guest.must("vgchange", "-a", "y", "vg1")
    assert stopped.look(disk_vg, VG, "active-without-tag").state is State.WARN
    assert stopped.drive(disk_vg, VG, Goal.DOWN) == [OFF, FORGET]
    stopped.guest.must("vgchange", "-a", "y", "vg1")
    assert stopped.drive(disk_vg, VG, Goal.UP) == [TAKE, ON, ACTIVATED]


def test_another_hosts_tag_and_its_takeover(started: Bench):
    started.guest.must("vgchange", "-a", "n", "vg1")
    started.be("demo2")
    started.memory.clear()
    seen = started.look(disk_vg, VG, "tag-of-another")
    assert (seen.state, seen.holder) == (State.ELSEWHERE, "demo1")
    assert started.drive(disk_vg, VG, Goal.UP) == [
        "vgchange --deltag @demo1 --addtag @demo2 vg1",
        ON,
        ACTIVATED,
    ]
    assert started.report().groups["vg1"].tags == {"demo2"}
    started.be("demo1")
    # The other host took it while it was active here: it is let go, and only then believed.
    seen = started.look(disk_vg, VG, "active-under-another-tag")
    assert seen.state is State.WARN
    assert started.perform(disk_vg.operations(VG, seen, Goal.UP)) == [OFF]
    assert started.look(disk_vg, VG).state is State.ELSEWHERE


def test_a_volume_in_use_is_not_let_go(started: Bench):
    started.guest.must("mke2fs", "-q", "/dev/vg1/app")
    started.guest.must("mount", "/dev/vg1/app", "/mnt")
    release, *_rest = disk_vg.operations(VG, started.look(disk_vg, VG, "volume-open"), Goal.DOWN)
    assert "in use" in started.attempt(release)
    assert started.look(disk_vg, VG).state is State.UP
    (off,) = disk_lv.operations(LV, started.look(disk_lv, LV), Goal.DOWN)
    assert "in use" in started.attempt(off)
    (remove,) = disk_lv.destroy(LV, started.look(disk_lv, LV))
    assert "in use" in started.attempt(remove)
    started.guest.must("umount", "/mnt")
    assert started.drive(disk_vg, VG, Goal.DOWN) == [OFF, UNTAG, FORGET]


def test_system_ids_are_set_and_cleared(stopped: Bench):
    stopped.configure(USES_IDS)
    assert stopped.drive(disk_vg, VG, Goal.UP) == ["vgchange -y --systemid demo1 vg1", TAKE, ON, ACTIVATED]
    assert stopped.look(disk_vg, VG, "up-with-system-id").state is State.UP
    assert stopped.drive(disk_vg, VG, Goal.DOWN) == [OFF, UNTAG, "vgchange -y --systemid '' vg1", FORGET]
    group = stopped.report().groups["vg1"]
    assert (group.system_id, group.tags) == ("", frozenset())


def test_another_hosts_system_id_is_refused_and_taken_over(stopped: Bench):
    stopped.configure(USES_IDS)
    stopped.drive(disk_vg, VG, Goal.UP)
    stopped.guest.must("vgchange", "-a", "n", "vg1")
    stopped.be("demo2")
    refused = stopped.guest.run("vgchange", "-a", "y", "vg1")
    assert refused.code, "LVM itself keeps other hosts out"
    seen = stopped.look(disk_vg, VG, "system-id-of-another")
    assert (seen.state, seen.holder, seen.blocked) == (State.ELSEWHERE, "demo1", "")
    assert "system id of demo1" in stopped.look(disk_lv, LV).blocked
    assert stopped.drive(disk_vg, VG, Goal.UP) == [
        "vgchange -y --config 'local/extra_system_ids=[\"demo1\"]' --systemid demo2 vg1",
        "vgchange --deltag @demo1 --addtag @demo2 vg1",
        ON,
        ACTIVATED,
    ]


def test_active_under_another_hosts_system_id(stopped: Bench):
    stopped.configure(USES_IDS)
    stopped.drive(disk_vg, VG, Goal.UP)
    stopped.be("demo2")
    seen = stopped.look(disk_vg, VG, "active-under-another-system-id")
    assert seen.state is State.WARN
    assert stopped.perform(disk_vg.operations(VG, seen, Goal.UP)) == [OFF]
    assert stopped.look(disk_vg, VG).state is State.ELSEWHERE


def test_another_hosts_system_id_where_this_host_has_none(stopped: Bench):
    stopped.configure(USES_IDS)
    stopped.drive(disk_vg, VG, Goal.UP)
    stopped.guest.must("vgchange", "-a", "n", "vg1")
    stopped.configure()
    stopped.be("demo2")
    seen = stopped.look(disk_vg, VG, "system-id-where-there-is-none")
    assert seen.state is State.ELSEWHERE
    assert "this host has none" in seen.blocked
    assert stopped.guest.run("vgchange", "-a", "y", "vg1").code


def test_created_without_system_id_where_hosts_have_one(bench: Bench):
    bench.configure(USES_IDS)
    bench.perform(disk_vg.create(VG, bench.look(disk_vg, VG)))
    assert bench.report().groups["vg1"].system_id == ""
    assert bench.look(disk_vg, VG).state is State.DOWN


def test_nothing_is_written_on_a_device_that_carries_a_signature(bench: Bench):
    bench.guest.must("mke2fs", "-q", DISKS[0])
    seen = bench.look(disk_vg, VG)
    assert "carries ext2" in seen.blocked
    assert disk_vg.create(VG, seen) == ()
    # Also when the signature came after the look.
    bench.clear()
    pvcreate, *_ = disk_vg.create(VG, bench.look(disk_vg, VG))
    bench.guest.must("mke2fs", "-q", DISKS[0])
    assert "not blank" in bench.attempt(pvcreate)


def test_a_device_of_another_group(bench: Bench):
    bench.guest.must("vgcreate", "vg9", DISKS[0])
    seen = bench.look(disk_vg, VG, "device-of-another-group")
    assert seen.blocked == f"{DISKS[0]} belongs to volume group vg9"
    assert disk_vg.create(VG, seen) == ()


def test_a_creation_that_ended_half_way_is_finished(bench: Bench):
    bench.guest.must("pvcreate", DISKS[0])
    seen = bench.look(disk_vg, VG, "half-created")
    assert bench.perform(disk_vg.create(VG, seen)) == [
        f"vgcreate --setautoactivation n -s 4m vg1 {DISKS[0]}"
    ]


def test_a_new_volume_shows_nothing_of_what_its_space_held(started: Bench):
    started.guest.must("mke2fs", "-q", "/dev/vg1/app")
    started.guest.must("lvchange", "-a", "n", "vg1/app")
    started.perform(disk_lv.destroy(LV, started.look(disk_lv, LV)))
    started.perform(disk_lv.create(LV, started.look(disk_lv, LV)))
    started.drive(disk_lv, LV, Goal.UP)
    assert started.signature("/dev/vg1/app") == Signature()


@pytest.mark.parametrize(
    ("size", "made"),
    [
        ("12582912", 12 << 20),
        ("12m", 12 << 20),
        ("0.25GiB", 256 << 20),
        ("100%FREE", 504 << 20),
        ("16MB", 16 << 20),
    ],
)
def test_sizes_as_lvcreate_understands_them(bench: Bench, size: str, made: int):
    """Rounded up to whole extents of 4 MiB."""
    group, volume = {**VG, "pvs": DISKS}, {**LV, "size": size}
    bench.perform(disk_vg.create(group, bench.look(disk_vg, group)))
    bench.perform(disk_lv.create(volume, bench.look(disk_lv, volume)))
    assert bench.report().volumes["vg1/app"].size == made


def test_a_group_with_volumes_is_not_removed(stopped: Bench):
    (remove,) = disk_vg.destroy(VG, stopped.look(disk_vg, VG))
    assert stopped.attempt(remove)
    assert "vg1/app" in stopped.report().volumes


def test_a_missing_device(bench: Bench):
    group = {**VG, "pvs": DISKS}
    bench.perform(disk_vg.create(group, bench.look(disk_vg, group)))
    bench.configure(f'devices {{ filter = [ "r|{DISKS[1]}|" ] }}')
    seen = bench.look(disk_vg, group, "incomplete")
    assert [note.text for note in seen.notes] == ["incomplete: some of its devices are missing"]


def test_exported(stopped: Bench):
    stopped.guest.must("vgexport", "vg1")
    seen = stopped.look(disk_vg, VG, "exported")
    assert seen.state is State.DOWN
    assert "vgimport vg1" in seen.blocked
