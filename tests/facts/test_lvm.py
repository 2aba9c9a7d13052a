"""LVM's reports: recorded ones decoded, and the real lvm on loop devices (its metadata needs no kernel)."""

import json

import pytest

from reconciler.adapters.facts.lvm import LvmSource, decode
from reconciler.adapters.facts.run import Prober
from reconciler.adapters.facts.uevents import Uevents
from reconciler.adapters.starter import Starter
from reconciler.asks import Failed, LogicalVolume, Lvm, LvmReport, VolumeGroup
from tests.facts.conftest import A, root, sh

RECORDED = {
    "report": [
        {
            "vg": [
                {
                    "vg_name": "vgf",
                    "vg_uuid": "wWMcT7",
                    "vg_tags": "t1,t2",
                    "vg_systemid": "other",
                    "vg_size": "125829120",
                    "vg_free": "117440512",
                    "vg_partial": "partial",
                    "vg_exported": "",
                }
            ],
            "pv": [
                {"pv_name": "/dev/loop1", "vg_name": "vgf"},
                {"pv_name": "[unknown]", "vg_name": "vgf"},
            ],
            "lv": [
                {
                    "lv_name": "one",
                    "lv_tags": "a",
                    "lv_active": "active",
                    "lv_size": "8388608",
                    "lv_device_open": "open",
                },
                {
                    "lv_name": "two",
                    "lv_tags": "",
                    "lv_active": "",
                    "lv_size": "4194304",
                    "lv_device_open": "",
                },
            ],
            "pvseg": [{"pv_name": "[unknown]"}, {"pv_name": "/dev/loop1"}],
            "seg": [{"lv_name": "one"}],
        },
        {"pv": [{"pv_name": "/dev/loop0", "vg_name": ""}], "pvseg": [{"pv_name": "/dev/loop0"}]},
    ]
}


def test_a_recorded_report_with_a_missing_device_a_free_one_and_two_volumes():
    assert decode(json.dumps(RECORDED), "mine") == LvmReport(
        groups={
            "vgf": VolumeGroup(
                name="vgf",
                uuid="wWMcT7",
                tags=frozenset({"t1", "t2"}),
                system_id="other",
                size=125829120,
                free=117440512,
                partial=True,
                volumes=("one", "two"),
                devices=("/dev/loop1",),
            )
        },
        volumes={
            "vgf/one": LogicalVolume("one", "vgf", True, 8388608, True, frozenset({"a"})),
            "vgf/two": LogicalVolume("two", "vgf", False, 4194304),
        },
        physical={"/dev/loop1": "vgf", "/dev/loop0": ""},
        system_id="mine",
    )


def test_two_groups_of_one_name_are_not_mixed_up():
    twice = {"report": [RECORDED["report"][0]] * 2}
    with pytest.raises(ValueError, match="two volume groups are called vgf"):
        decode(json.dumps(twice), "")


@pytest.mark.parametrize("text", ["", "{}", "  WARNING: x\n", '{"report": [{"vg": [{}]}]}'])
def test_what_is_no_report_is_an_error(text):
    with pytest.raises((ValueError, KeyError)):
        decode(text, "")


@pytest.fixture
def lvm(loop_file):
    """A volume group on a loop device, and an lvm that sees that device alone: (config, device, run)."""
    device = sh(f"losetup -f --show {loop_file}").strip()
    config = (
        "global{activation=0 system_id_source=lvmlocal} local{system_id=mine} "
        f'devices{{filter=["a|^{device}$|","r|.*|"]}}'
    )

    def run(line):
        return sh(f"LVM_SUPPRESS_FD_WARNINGS=1 lvm {line} --config '{config}'")

    run(f"pvcreate -q {device}")
    run(f"vgcreate -q --addtag t1 vgfacts {device}")
    run("lvcreate -q -an -Zn -Wn -L 4M -n one vgfacts")
    return config, device, run


@pytest.mark.root
@root[1]
class TestReal:
    def source(self, lvm, events=False, every=3600.0):
        return {"lvm": LvmSource(every, Uevents(events), Prober(Starter()), lvm[0])}

    async def test_a_group_its_volumes_and_our_system_id(self, bench, lvm):
        async with bench(self.source(lvm)) as b:
            report = await b.get(Lvm())
            group = report.groups["vgfacts"]
            assert (group.tags, group.system_id, group.volumes) == (frozenset({"t1"}), "mine", ("one",))
            assert (group.devices, group.size > group.free > 0) == ((lvm[1],), True)
            assert report.volumes["vgfacts/one"] == LogicalVolume("one", "vgfacts", False, 4 << 20)
            assert (report.physical, report.system_id) == ({lvm[1]: "vgfacts"}, "mine")

    async def test_touched_is_fresh_and_until_then_it_is_kept(self, bench, lvm):
        async with bench(self.source(lvm)) as b:
            await b.follow(Lvm())
            lvm[2]("vgchange -q --addtag t2 vgfacts")
            assert (await b.get(Lvm())).groups["vgfacts"].tags == {"t1"}
            b.hub.touched(A, ("lvm",))
            assert (await b.get(Lvm())).groups["vgfacts"].tags == {"t1", "t2"}

    async def test_a_group_of_another_host_is_in_the_report(self, bench, lvm):
        lvm[2]("vgchange -q -y --systemid other vgfacts")
        async with bench(self.source(lvm)) as b:
            assert (await b.get(Lvm())).groups["vgfacts"].system_id == "other"

    async def test_the_periodic_look_notices(self, bench, lvm):
        async with bench(self.source(lvm, every=0.3), look_every=0.3) as b:
            await b.follow(Lvm())
            lvm[2]("vgchange -q --addtag t2 vgfacts")
            await b.told(within=2)

    async def test_a_device_that_goes_is_heard(self, bench, lvm):
        async with bench(self.source(lvm, events=True)) as b:
            await b.follow(Lvm())
            sh(f"losetup -d {lvm[1]}")
            await b.until(Lvm(), lambda report: "vgfacts" not in report.groups, within=2)

    async def test_lvm_missing_says_what_to_install_and_recovers(self, bench, lvm, monkeypatch):
        async with bench(self.source(lvm)) as b:
            b.hub.follow(A, [Lvm()])
            with monkeypatch.context() as patched:
                patched.setenv("PATH", "/nowhere")
                assert await b.get(Lvm()) == Failed("lvm2 is not installed: apt install lvm2")
            await b.until(Lvm(), lambda report: "vgfacts" in report.groups)

    async def test_a_configuration_that_lvm_refuses_is_failed_with_its_words(self, bench, lvm):
        async with bench({"lvm": LvmSource(3600, Uevents(False), Prober(Starter()), "nonsense{")}) as b:
            answer = await b.get(Lvm())
            assert isinstance(answer, Failed)
            assert answer.why.startswith("lvm: systemid: ")
