"""`standfast status` → how long a person waits for it."""

import os
import subprocess
import sys
from pathlib import Path

from tests.bench.measure import Row, Size, by_ratio, pairs, seconds
from tests.bench.place import COMMAND, agent, place, write


def status(size: Size) -> list[Row]:
    """One service beside a bare interpreter; a hundred beside one."""
    with place() as here:
        address = {"type": "host", "netmask": 24, "dev": "br0", "probe": False}
        one = {"s0": {"ip#0": {**address, "name": "10.83.0.9"}, **here.flags(4)}}
        many = {
            f"s{n}": {"ip#0": {**address, "name": f"10.83.0.{10 + n}"}, **here.flags(4)}
            for n in range(size.some)
        }
        write(here, one, "one")
        write(here, many, "many")
        with agent(here, "one") as first, agent(here, "many") as second:
            first.all_settled(1)
            second.all_settled(size.some)

            def bare(_: int) -> float:
                return seconds(lambda: _run((sys.executable, "-c", "pass")))

            def of_one(_: int) -> float:
                return seconds(lambda: _run((*COMMAND, "status"), first.run))

            def of_many(_: int) -> float:
                return seconds(lambda: _run((*COMMAND, "status"), second.run))

            return [
                by_ratio(
                    "status-1", "status, 1 service | python -c pass", pairs(size.pairs, of_one, bare), 4.5
                ),
                by_ratio(
                    "status-100",
                    f"status, {size.some} services | status, 1 service",
                    pairs(size.pairs, of_many, of_one),
                    1.3,
                ),
            ]


def _run(argv: tuple[str, ...], run: Path | None = None) -> None:
    env = {**os.environ, "STANDFAST_RUN": str(run)}
    subprocess.run(argv, stdout=subprocess.DEVNULL, check=True, env=env)
