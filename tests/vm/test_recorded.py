"""Reports that LVM wrote in the guest (data/*.json) → what the drivers make of them, without a guest.

Made by STANDFAST_VM=1 STANDFAST_VM_RECORD=1 pytest tests/vm.
"""

from pathlib import Path

import pytest

from reconciler.adapters.facts.lvm import decode
from reconciler.asks import Block, BlockDevice, Facts, Lvm, Memory, Node, NodeSeen, Signature, Signatures
from reconciler.model import Observed, State
from resources import disk_lv, disk_vg

DATA = Path(__file__).parent / "data"
DISK = "/dev/nvme0n1"
VG = {"name": "vg1", "pvs": (DISK,), "options": "", "other_tags": ()}
LV = {"name": "app", "vg": "vg1", "size": "12MiB", "create_options": ""}


def observed(name: str, node: str = "demo1", system_id: str = "") -> tuple[Observed, Observed]:
    """The group and its volume as that host sees them; its disk is there and blank."""
    facts = Facts.given(
        {
            Lvm(): decode((DATA / f"{name}.json").read_text(), system_id),
            Node(): NodeSeen(node, "boot", {}),
            Memory(): {},
            BlockDevice(DISK): Block(DISK, "259:0", 256 << 20),
            Signatures(DISK): Signature(),
        }
    )
    return disk_vg.observe(VG, facts), disk_lv.observe(LV, facts)


@pytest.mark.parametrize(
    ("name", "host", "group", "volume"),
    [
        ("blank-disks", {}, State.DOWN, State.DOWN),
        ("group-created", {}, State.DOWN, State.DOWN),
        ("group-up-without-volumes", {}, State.UP, State.DOWN),
        ("volume-created", {}, State.WARN, State.DOWN),
        ("all-up", {}, State.UP, State.UP),
        ("all-up", {"node": "demo2"}, State.WARN, State.UP),
        ("volume-open", {}, State.UP, State.UP),
        ("volume-down", {}, State.WARN, State.DOWN),
        ("all-down", {}, State.DOWN, State.DOWN),
        ("group-destroyed", {}, State.DOWN, State.DOWN),
        ("tag-outlived-a-crash", {}, State.WARN, State.DOWN),
        ("tag-outlived-a-crash", {"node": "demo2"}, State.ELSEWHERE, State.DOWN),
        ("active-without-tag", {}, State.WARN, State.UP),
        ("tag-of-another", {"node": "demo2"}, State.ELSEWHERE, State.DOWN),
        ("active-under-another-tag", {}, State.WARN, State.UP),
        ("up-with-system-id", {"system_id": "demo1"}, State.UP, State.UP),
        ("system-id-of-another", {"node": "demo2", "system_id": "demo2"}, State.ELSEWHERE, State.DOWN),
        ("system-id-where-there-is-none", {"node": "demo2"}, State.ELSEWHERE, State.DOWN),
        ("active-under-another-system-id", {"node": "demo2", "system_id": "demo2"}, State.WARN, State.UP),
        ("exported", {}, State.DOWN, State.DOWN),
    ],
)
def test_recorded(name: str, host: dict[str, str], group: State, volume: State):
    seen_group, seen_volume = observed(name, **host)
    assert (seen_group.state, seen_volume.state) == (group, volume)


@pytest.mark.parametrize(
    ("name", "provisioned", "blocked"),
    [
        ("blank-disks", False, ""),
        ("half-created", False, ""),
        ("group-destroyed", False, ""),
        ("device-of-another-group", False, f"{DISK} belongs to volume group vg9"),
        ("group-created", True, ""),
        ("exported", True, "vg1 is exported: `vgimport vg1` makes it usable"),
    ],
)
def test_recorded_creation(name: str, provisioned: bool, blocked: str):
    group, _volume = observed(name)
    assert (group.provisioned, group.blocked) == (provisioned, blocked)


def test_recorded_incomplete_group_is_told():
    group, _volume = observed("incomplete")
    assert [note.text for note in group.notes] == ["incomplete: some of its devices are missing"]


def test_every_record_is_used():
    text = Path(__file__).read_text()
    unused = [path.stem for path in DATA.glob("*.json") if f'"{path.stem}"' not in text]
    assert not unused
