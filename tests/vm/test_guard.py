"""The guard against a real watchdog (softdog) and real device-mapper: what a whole machine is needed for.

Not in the default run: STANDFAST_VM=1 pytest tests/vm
"""

import base64
import io
import json
import os
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.guard.lines import Command, Line, Volumes, encode
from tests.vm.conftest import HERE, build
from tests.vm.guest import DISKS, Guest

pytestmark = [
    pytest.mark.vm,
    pytest.mark.skipif(
        not os.environ.get("STANDFAST_VM"), reason="needs a virtual machine: STANDFAST_VM=1"
    ),
]

PACKAGE = HERE.parents[1] / "reconciler"
W, M = 6, 2
STATE = "/sys/class/watchdog/watchdog0/state"
AGENT = """
import json, os, socket, sys, time
guard = socket.socket(socket.AF_UNIX)
guard.connect("/run/guard/socket")
answers, number = guard.makefile("rb"), 0
def ask(do, **words):
    global number
    number += 1
    guard.sendall(json.dumps({"id": number, "do": do, **words}).encode() + b"\\n")
    said = json.loads(answers.readline())
    print(json.dumps(said), flush=True)
    return said
"""
TELL = 'exec(open("/agent.py").read())\n'


class Machine:
    """A guest with a guard in it."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            tar.add(PACKAGE / "__init__.py", "reconciler/__init__.py")
            for path in (PACKAGE / "guard").glob("*.py"):
                tar.add(path, f"reconciler/guard/{path.name}")
        text = base64.b64encode(packed.getvalue()).decode()
        for at in range(0, len(text), 3000):
            guest.script(f"echo {text[at : at + 3000]} >>/packed")
        self.must(
            "mkdir /guard; base64 -d /packed | tar xz -C /guard; insmod /watchdog.ko; insmod /softdog.ko"
        )
        self.write("/agent.py", AGENT)

    def must(self, script: str, timeout: float = 60.0) -> str:
        said = self.guest.script(script, timeout)
        assert said.code == 0, said
        return said.out

    def write(self, path: str, text: str) -> None:
        self.must(f"echo {base64.b64encode(text.encode()).decode()} | base64 -d >{path}")

    def guard(self, **words: object) -> None:
        given = {"directory": "/run/guard", "watchdog": "/dev/watchdog0", "detach": True, **words}
        main = (
            'import sys; sys.path.append("/guard"); from reconciler.guard.__main__ import main; '
            "sys.exit(main(sys.argv[1]))"
        )
        self.must("rm -f /run/guard/socket")
        self.must(f"python3 -I -S -c '{main}' '{json.dumps(given)}' </dev/null >/dev/null 2>/errors")
        wait = "for n in $(seq 100); do [ -S /run/guard/socket ] && exit 0; usleep 100000; done"
        self.must(f"{wait}; cat /errors; exit 1")

    def agent(self, *steps: str) -> list[dict]:
        """What the guard answered to these, asked by one process."""
        self.write("/steps.py", TELL + "\n".join(steps))
        out = self.must("python3 -I -S /steps.py")
        return [json.loads(line) for line in out.splitlines()]

    def lasting(self, *steps: str, lines: tuple[Line, ...] = (), seconds: float = 600.0) -> None:
        """An agent that arms, opens, enters and lives on; it gives a deadline once."""
        entered = json.dumps([encode(line) for line in lines])
        text = [
            TELL,
            f"ask('arm', watchdog={W}, margin={M})",
            f"ask('open', epoch=1, deadline=time.clock_gettime(time.CLOCK_BOOTTIME) + {seconds})",
            f"ask('enter', lines=json.loads({entered!r}))",
            *steps,
            "time.sleep(600)",
        ]
        self.write("/lasting.py", "\n".join(text))
        self.must("python3 -I -S /lasting.py </dev/null >/lasting.log 2>&1 & sleep 3; cat /lasting.log")

    def kill(self, name: str) -> None:
        self.must(
            f"for p in /proc/[0-9]*; do grep -qa {name} $p/cmdline && kill -9 ${{p#/proc/}}; done; true"
        )

    def log(self) -> str:
        return self.must("cat /run/guard/log")

    def state(self) -> str:
        return self.must(f"cat {STATE}").strip()

    def gone_after(self, limit: float) -> float:
        """Seconds until the machine resets, which ends QEMU."""
        began = time.monotonic()
        self.guest.process.wait(timeout=limit)
        return time.monotonic() - began


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    guest = Guest(build(), tmp_path)
    try:
        yield Machine(guest)
    finally:
        guest.close()


def test_softdog_is_armed_petted_and_closed(machine: Machine) -> None:
    """Only if it is named; its time as it was granted; disarmed when nothing is listed."""
    machine.guard()
    refused = machine.agent(f"ask('arm', watchdog={W}, margin={M})")
    assert "is softdog" in refused[0]["why"]
    assert machine.state() == "inactive"
    machine.agent("ask('end')")
    machine.guard(softdog=True)
    machine.lasting(seconds=600)
    said = [json.loads(line) for line in machine.must("cat /lasting.log").splitlines()]
    assert (said[0]["granted"], said[0]["real"], said[0]["device"]) == (W, True, "Software Watchdog")
    assert machine.must("cat /sys/class/watchdog/watchdog0/timeout").strip() == str(W)
    machine.must(f"sleep {W + 3}")
    assert machine.state() == "active"
    machine.kill("lasting.py")
    machine.agent(
        "ask('open', epoch=1, deadline=time.clock_gettime(time.CLOCK_BOOTTIME) + 600)", "ask('end')"
    )
    assert machine.state() == "inactive"
    machine.must(f"sleep {W + 2}")


def test_a_guard_that_is_killed_leaves_it_running_and_the_next_takes_it_over(machine: Machine) -> None:
    machine.guard(softdog=True)
    machine.lasting(lines=(Command("root/a:app#0", ("true",)),))
    machine.kill("reconciler.guard")
    assert machine.state() == "active"
    machine.guard(softdog=True)
    opened = machine.agent("ask('open', epoch=1, deadline=time.clock_gettime(time.CLOCK_BOOTTIME) + 600)")
    assert (opened[0]["phase"], opened[0]["real"]) == ("held", True)
    machine.must(f"sleep {W + 3}")


def test_what_is_not_seen_gone_resets_the_machine(machine: Machine) -> None:
    machine.guard(softdog=True)
    machine.lasting(lines=(Command("root/a:app#0", ("false",)),), seconds=4)
    took = machine.gone_after(60)
    print(f"\nreset {took:.1f} s after a deadline about 1 s ahead, W {W}")
    assert took < 4 + W + 4


def test_active_volumes_are_let_go_of(machine: Machine) -> None:
    """Of this group and no other, by ioctl; one that somebody has open is not, until it is closed."""
    for vg, disk in (("vg-1", DISKS[0]), ("vg-11", DISKS[1])):
        machine.must(f"pvcreate -q {disk}; vgcreate -q -s 4m {vg} {disk}")
        machine.must(f"lvcreate -q -y -n app -L 12m {vg}; lvcreate -q -y -n app-2 -L 12m {vg}")
    machine.must("sleep 601 </dev/vg-1/app-2 >/dev/null 2>&1 &")
    machine.guard(watchdog="")
    machine.lasting(lines=(Volumes("root/a:disk#0", "vg-1"),), seconds=3)
    machine.must("sleep 3")
    names = "cat /sys/block/dm-*/dm/name | sort"
    assert machine.must(names).split() == ["vg--1-app--2", "vg--11-app", "vg--11-app--2"]
    machine.kill("601")
    machine.must("sleep 2")
    assert machine.must(names).split() == ["vg--11-app", "vg--11-app--2"]
    assert "is gone" in machine.log()


def test_one_volume_is_let_go_of_and_not_the_one_whose_name_begins_alike(machine: Machine) -> None:
    machine.must(f"pvcreate -q {DISKS[0]}; vgcreate -q -s 4m vg1 {DISKS[0]}")
    machine.must("for n in app app-2 app2; do lvcreate -q -y -n $n -L 12m vg1; done")
    machine.guard(watchdog="")
    machine.lasting(lines=(Volumes("root/a:disk#0", "vg1", "app"),), seconds=3)
    machine.must("sleep 3")
    assert machine.must("cat /sys/block/dm-*/dm/name | sort").split() == ["vg1-app--2", "vg1-app2"]
