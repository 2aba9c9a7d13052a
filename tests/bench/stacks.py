"""A whole stack, and a hundred of them → how long a start and a stop take, beside a shell script."""

import asyncio
import subprocess
import time
from pathlib import Path

from reconciler.adapters import arp
from reconciler.adapters.facts import rtnetlink as nl
from tests.bench.measure import Pairs, Row, Size, by_ratio, pairs, seconds
from tests.bench.place import Agent, Place, agent, place, write

SCRIPT = """set -e
name=$2 ip=$3 image=$4 mnt=$5
case $1 in
start)
    ip addr add $ip/24 dev br0
    loop=$(losetup -f --show $image)
    e2fsck -p $loop >/dev/null
    mkdir -p $mnt
    mount -t ext4 $loop $mnt
    setsid {program} $name </dev/null >/dev/null 2>&1 &
    echo "$! $loop" > $image.started
    ;;
stop)
    read pid loop < $image.started
    kill $pid
    while [ -e /proc/$pid/exe ]; do :; done
    umount $mnt
    losetup -d $loop
    ip addr del $ip/24 dev br0
    ;;
esac"""


class Script:
    """The same stack as ours, by hand."""

    def __init__(self, here: Place) -> None:
        self._here = here
        self._script = here.bed.script("stack", SCRIPT.replace("{program}", str(here.program)))

    def do(self, verb: str, name: str, ip: str, image: Path) -> None:
        mnt = self._here.root / "by-hand" / name
        subprocess.run(["sh", self._script, verb, name, ip, image, mnt], check=True)


def start_and_stop(size: Size) -> list[Row]:
    """Asked over the API until the program runs; asked to stop until the address, the last, is gone."""
    with place() as here:
        script, image = Script(here), here.image("hand")
        write(here, {"web": here.stack("web", "10.83.0.10")})
        with agent(here) as ours:
            here.started("web")
            stops: Pairs = []

            def our_turn(_: int) -> float:
                ours.settled("web")
                here.forget()
                stopping = seconds(
                    lambda: (ours.ask("web", "stop"), here.address(nl.DELADDR, "10.83.0.10"))
                )
                ours.settled("web")
                stops.append((stopping, 0.0))
                return seconds(lambda: (ours.ask("web", "start"), here.started("web")))

            def by_hand(_: int) -> float:
                begun = seconds(
                    lambda: (script.do("start", "hand", "10.83.0.11", image), here.started("hand"))
                )
                ended = seconds(lambda: script.do("stop", "hand", "10.83.0.11", image))
                stops[-1] = (stops[-1][0], ended)
                return begun

            starts = pairs(size.pairs, our_turn, by_hand)
            return [
                by_ratio("start", "start of ip, loop, e2fsck, ext4, process | shell script", starts, 2.0),
                by_ratio("stop", "stop of the same | shell script", stops[1:], 2.0),
            ]


def start_with_probe(size: Size) -> list[Row]:
    """The probe comes first, then all the rest."""
    with place() as here:
        write(here, {"web": here.stack("web", "10.83.0.10", probe=True)})
        with agent(here) as ours:
            here.started("web")

            def our_turn(_: int) -> float:
                ours.settled("web")
                ours.ask("web", "stop")
                here.address(nl.DELADDR, "10.83.0.10")
                ours.settled("web")
                here.forget()
                return seconds(lambda: (ours.ask("web", "start"), here.started("web")))

            def probe(_: int) -> float:
                return seconds(lambda: asyncio.run(arp.probe("10.83.0.12/24", "br0", 3, 0.4)))

            what = "start of the same with the address probe | the probe alone"
            return [by_ratio("start-probe", what, pairs(size.pairs, our_turn, probe), 1.2)]


def load(size: Size) -> list[Row]:
    """Many documents put in place at once, until the last program runs."""
    with place() as here:
        script, count = Script(here), size.load
        images = {f"h{n}": here.image(f"h{n}") for n in range(count)}
        stacks = {
            f"s{n}": {**here.stack(f"s{n}", f"10.83.0.{10 + n}"), **here.flags(1, 1)} for n in range(count)
        }

        def our_turn(number: int) -> float:
            for path in (here.root / str(number) / "services").glob("*.yaml"):
                path.unlink()
            with agent(here, str(number), "--stop-on-exit") as ours:
                began = time.perf_counter()
                write(here, stacks, str(number))
                here.all_started(set(stacks))
                taken = time.perf_counter() - began
                _all_down(ours)
            return taken

        def by_hand(_: int) -> float:
            began = time.perf_counter()
            for n, (name, image) in enumerate(images.items()):
                script.do("start", name, f"10.83.0.{130 + n}", image)
            here.all_started(set(images))
            taken = time.perf_counter() - began
            for n, (name, image) in enumerate(images.items()):
                script.do("stop", name, f"10.83.0.{130 + n}", image)
            return taken

        found = [(our_turn(number), by_hand(number)) for number in range(size.loads)]
        what = f"{count} services × 5: load → all up | {count} × the shell script in series"
        return [by_ratio("load-100", what, found, 1.5, "s")]


def _all_down(ours: Agent) -> None:
    ours.stop()
    assert ours.process.returncode == 0, "the agent could not stop all it had started"
