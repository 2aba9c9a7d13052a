"""What docs/testing.md tells the authors of drivers, run; and what a bench makes of drivers that exist."""

import asyncio
import re
from pathlib import Path

from reconciler.model import Goal, Owner, State
from reconciler.testing.bench import Bench
from reconciler.testing.disks import San
from reconciler.testing.kernel import SimKernel
from reconciler.testing.network import Wire
from reconciler.testing.programs import STAYS
from reconciler.testing.simloop import simulated
from reconciler.testing.things import REAL

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"


def test_the_example_of_the_page_runs():
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    exec(compile(example, str(PAGE), "exec"), {"__name__": "example"})


def benches(host, *kinds_and_specs):
    return [Bench(host, REAL[kind], spec, Owner("root/web", rid)) for kind, rid, spec in kinds_and_specs]


VG = {"name": "web", "pvs": ("/dev/sdb",), "options": "", "other_tags": ()}
LV = {"name": "data", "vg": "web", "size": "1g", "create_options": ""}
IP = {"name": "192.0.2.10/24", "dev": "br0", "family": "any", "check_carrier": True, "probe": True}
APP = {
    "start": "/usr/bin/web",
    "shell": False,
    "retcodes": "0:up",
    "check_timeout": 30.0,
    "check_interval": 10.0,
    "stop_signal": "TERM",
    "stop_timeout": 1.0,
    "start_grace": 0.0,
}


def test_a_volume_group_is_one_host_s_at_a_time():
    async def story():
        told = []
        san = San(lambda *what: told.append(what))
        san.disk("sdb")
        one, two = (SimKernel(name, san, disks=("sdb",)) for name in ("n1", "n2"))
        vg, lv = benches(one, ("disk.vg", "disk#0", VG), ("disk.lv", "disk#1", LV))
        (other,) = benches(two, ("disk.vg", "disk#0", VG))
        await vg.create()
        assert await vg.bring(Goal.UP) == ""
        await lv.create()
        assert await lv.bring(Goal.UP) == ""
        seen = await other.seen()
        assert (seen.state, seen.holder) == (State.ELSEWHERE, "n1")
        one.off()  # the tag is on the disk
        assert (await other.seen()).holder == "n1"
        assert await other.bring(Goal.UP) == ""
        assert san.groups["web"].tags == {"n2"}
        assert told == []

    asyncio.run(story())


def test_data_that_goes_unasked_is_noticed():
    async def story():
        told = []
        san = San(lambda *what: told.append(what))
        san.disk("sdb")
        host = SimKernel("n1", san, disks=("sdb",))
        vg, lv = benches(host, ("disk.vg", "disk#0", VG), ("disk.lv", "disk#1", LV))
        for bench in (vg, lv):
            await bench.create()
            await bench.bring(Goal.UP)
        await lv.destroy()
        assert told == [("n1", "data", "lvremove -f web/data: nobody asked for it")]
        san.asked = lambda what: True
        await vg.destroy()
        assert len(told) == 1

    asyncio.run(story())


def test_a_system_id_is_minded_by_lvm_itself():
    async def story():
        san = San()
        san.disk("sdb")
        one, two = (SimKernel(name, san, disks=("sdb",)) for name in ("n1", "n2"))
        one.system_id, two.system_id = "n1", "n2"
        (vg,) = benches(one, ("disk.vg", "disk#0", VG))
        await vg.create()
        await vg.bring(Goal.UP)
        assert san.groups["web"].system_id == "n1"
        code, said = two.commands["vgchange"](two, ("vgchange", "-a", "y", "web"))
        assert (code, "system ID n1" in said) == (5, True)
        (other,) = benches(two, ("disk.vg", "disk#0", VG))
        assert await other.bring(Goal.UP) == ""  # as the engine asks for it when n1 is dead
        assert san.groups["web"].system_id == "n2"

    asyncio.run(story())


def test_an_address_is_asked_for_before_and_a_program_repaired():
    async def story():
        wire = Wire()
        one, two = (SimKernel(name, wire=wire, number=number) for number, name in enumerate(("n1", "n2")))
        one.install("/usr/bin/web", lambda host, argv: (STAYS, ""))
        ip, app = benches(one, ("ip.host", "ip#0", IP), ("app.simple", "app#0", APP))
        (other,) = benches(two, ("ip.host", "ip#0", IP))
        assert await ip.bring(Goal.UP) == await app.bring(Goal.UP) == ""
        seen = await other.seen()
        (probe,) = other.driver.preflight(IP, seen)
        assert (await two.perform(probe, other.owner)).conflict
        one.off()
        assert (await two.perform(probe, other.owner)).ok
        one.boot()
        assert (await app.seen()).state is State.DOWN
        assert await app.bring(Goal.UP) == ""

    simulated(story())


def test_what_hangs_is_given_up_and_done_late():
    async def story():
        host = SimKernel("n1")
        (ip,) = benches(host, ("ip.host", "ip#0", IP))
        hangs = [True]
        host.hanging = lambda operation: hangs[0]
        host.failing = lambda operation: ""
        assert "no answer from the kernel" in await ip.bring(Goal.UP)
        assert "an earlier call" in await ip.bring(Goal.UP)
        hangs[0] = False
        await asyncio.sleep(1)
        assert (await ip.seen()).state is State.UP

    simulated(story())
