"""One thing taken away → how long until the agent has put it back."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from reconciler.adapters.facts import rtnetlink as nl
from tests.bench.measure import Row, Size, by_excess, by_limit, by_ratio, pairs, seconds, skipped
from tests.bench.place import Place, agent, place, write


def address(size: Size) -> list[Row]:
    """Each pair takes the address of another service: a second loss within a minute is waited for."""
    with place() as here:
        names = {f"s{n}": f"10.83.0.{10 + n}" for n in range(size.pairs + 1)}
        ip = {"type": "host", "netmask": 24, "dev": "br0", "probe": False}
        write(here, {name: {"ip#0": {**ip, "name": address}} for name, address in names.items()})
        with agent(here) as ours:
            ours.all_settled(len(names))

            def repaired(number: int) -> float:
                gone = names[f"s{number}"]
                here.forget()
                return seconds(
                    lambda: (_exec(f"ip addr del {gone}/24 dev br0"), here.address(nl.NEWADDR, gone))
                )

            def by_hand(_: int) -> float:
                _exec("ip addr add 10.83.0.250/24 dev br0")
                del_add = ("ip addr del 10.83.0.250/24 dev br0", "ip addr add 10.83.0.250/24 dev br0")
                taken = seconds(lambda: [_exec(command) for command in del_add])
                _exec(del_add[0])
                return taken

            found = pairs(size.pairs, repaired, by_hand)
            what = "ip addr del → back"
            return [
                by_ratio("address", f"{what} | ip addr del; ip addr add", found, 3.0),
                by_limit("address-ms", what, [mine for mine, _ in found], 0.020, "ms"),
            ]


def kill(size: Size) -> list[Row]:
    name, what = "kill", "kill -9 of a program → new process | runit"
    if not shutil.which("runsv"):
        return [skipped(name, what, "runit is not installed")]
    with place() as here:
        services = {f"s{n}": {"app#0": here.app(f"s{n}")} for n in range(size.pairs + 1)}
        write(here, services)
        with agent(here) as ours, _runit(here) as theirs:
            pids = {service: here.started(service) for service in services}
            ours.all_settled(len(services))

            def repaired(number: int) -> float:
                service = f"s{number}"
                return seconds(lambda: (os.kill(pids[service], signal.SIGKILL), here.started(service)))

            def by_runit(_: int) -> float:
                time.sleep(1.2)  # one that ran for less than a second is not restarted at once
                pid = theirs[0]

                def killed() -> None:
                    os.kill(pid, signal.SIGKILL)
                    theirs[0] = here.started("runit")

                return seconds(killed)

            return [by_ratio(name, what, pairs(size.pairs, repaired, by_runit), 2.0)]


def unmounted(size: Size) -> list[Row]:
    with place() as here:
        services, targets = {}, {}
        for n in range(size.pairs + 1):
            stack = here.stack(f"s{n}", "")
            services[f"s{n}"] = {rid: stack[rid] for rid in ("disk#0", "fs#0")}
            targets[f"s{n}"] = Path(stack["fs#0"]["mnt"])
        write(here, services)
        image, by_hand_at = here.image("hand"), here.root / "by-hand"
        by_hand_at.mkdir()
        loop = here.bed.run(f"losetup -f --show {image}")
        _exec(f"mount -t ext4 {loop} {by_hand_at}")
        with agent(here) as ours:
            ours.all_settled(len(services))

            def repaired(number: int) -> float:
                target = targets[f"s{number}"]
                return seconds(lambda: (_exec(f"umount {target}"), here.mounted(target)))

            def by_hand(_: int) -> float:
                again = (f"umount {by_hand_at}", f"mount -t ext4 {loop} {by_hand_at}")
                return seconds(lambda: [_exec(command) for command in again])

            found = pairs(size.pairs, repaired, by_hand)
            return [by_ratio("umount", "umount → mounted | umount; mount", found, 3.0)]


def dropped(size: Size) -> list[Row]:
    """A document put in place until its program runs."""
    with place() as here, agent(here):

        def ours(number: int) -> float:
            name = f"s{number}"
            return seconds(lambda: (write(here, {name: {"app#0": here.app(name)}}), here.started(name)))

        def script(number: int) -> float:
            name = f"h{number}"

            def started() -> None:
                with subprocess.Popen([here.program, name], start_new_session=True) as process:
                    here.started(name)
                    process.kill()

            return seconds(started)

        found = pairs(size.pairs, ours, script)
        return [by_excess("file", "file renamed into place → app up | its start script alone", found, 0.1)]


@contextlib.contextmanager
def _runit(here: Place) -> Iterator[list[int]]:
    """runsv over the same program; the list holds its pid."""
    directory = here.root / "runit"
    directory.mkdir()
    run = directory / "run"
    run.write_text(f"#!/bin/sh\nexec {here.program} runit\n")
    run.chmod(0o755)
    supervisor = subprocess.Popen(["runsv", str(directory)], stderr=subprocess.DEVNULL)
    try:
        yield [here.started("runit")]
    finally:
        subprocess.run(
            ["sv", "-w", "5", "force-shutdown", str(directory)], capture_output=True, check=False
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            supervisor.wait(5)
        supervisor.kill()
        supervisor.wait()


def _exec(command: str) -> None:
    subprocess.run(command.split(), check=True)
