"""Agents with much to look after and nothing to do → what that costs: CPU, memory, a scrape."""

import contextlib
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.bench.measure import Row, Size, by_limit, by_ratio, pairs, seconds
from tests.bench.place import Agent, Place, agent, place, write

SETTLE = 14.0
"""Seconds between all up and rest: what was announced is announced again, helpers end."""

OURS = ("reconciler", "resources", "metrics", "schemas", "tests")


def some(size: Size) -> list[Row]:
    """A hundred services of address, flags and program."""
    with place() as here:
        ip = {"type": "host", "netmask": 16, "dev": "br0", "probe": False}
        services = {
            f"s{n}": {
                "ip#0": {**ip, "name": f"10.84.{n // 250}.{1 + n % 250}"},
                **here.flags(3),
                "app#0": here.app(f"s{n}"),
            }
            for n in range(size.some)
        }
        write(here, services)
        with agent(here) as ours:
            ours.all_settled(size.some)
            time.sleep(SETTLE)
            return [
                by_limit(
                    "idle-100", f"CPU at rest, {size.some} services × 5", [_idle(ours, size)], 0.01, "%"
                ),
                by_ratio(
                    "memory-100",
                    f"memory, {size.some} services × 5 | Python with the same imports",
                    [(_memory(ours.process.pid), bare) for bare in _bare()],
                    1.5,
                    "MiB",
                ),
            ]


def many(size: Size) -> list[Row]:
    """A thousand services of ten: what passes and scrapes cost, and whether others have to wait."""
    with place() as here, _many(here, size) as (ours, port, loaded):
        number = size.many
        rows = [
            by_limit(
                "load-held",
                f"longest hold of the loop, load → {number} × 10 up",
                [loaded["held"]],
                0.02,
                "ms",
            )
        ]
        time.sleep(SETTLE)
        idle = _idle(ours, size)
        memory = [(_memory(ours.process.pid), bare) for bare in _bare()]
        rows += [
            by_limit("idle-1000", f"CPU at rest, {number} services × 10", [idle], 0.03, "%"),
            by_ratio(
                "memory-1000",
                f"memory, {number} services × 10 | Python with the same imports",
                memory,
                3.0,
                "MiB",
            ),
        ]
        looks = [ours.say("noop") for _ in range(size.pairs)]
        what = f"over {looks[0]['resources']} resources"
        rows += [
            by_limit("noop", f"CPU of a no-op pass {what}", [look["cpu"] for look in looks], 1.0, "ms"),
            by_limit(
                "noop-held", "longest hold of the loop by it", [look["held"] for look in looks], 0.02, "ms"
            ),
        ]
        return rows + _scrape(ours, port, size)


@contextlib.contextmanager
def _many(here: Place, size: Size) -> Iterator[tuple[Agent, int, dict[str, float]]]:
    ip = {"type": "host", "netmask": 16, "dev": "br0", "probe": False}
    services = {}
    for n in range(size.many):
        two = {f"ip#{k}": {**ip, "name": f"10.{84 + k}.{n // 250}.{1 + n % 250}"} for k in range(2)}
        services[f"s{n}"] = {**two, **here.flags(8)}
    write(here, services)
    port = _free_port()
    with agent(here, "", "--metrics", f"127.0.0.1:{port}", meter=True) as ours:
        ours.all_up(size.many, within=300)
        yield ours, port, ours.say("end")


def _scrape(ours: Agent, port: int, size: Size) -> list[Row]:
    """One HTTP request, beside the usual library rendering as many series in memory."""
    url = f"http://127.0.0.1:{port}/metrics"
    held: list[float] = []
    body = urllib.request.urlopen(url).read().decode()
    series = sum(not line.startswith("#") for line in body.splitlines())
    with _renderer(body) as render:

        def scraped(_: int) -> float:
            ours.say("begin")
            taken = seconds(lambda: urllib.request.urlopen(url).read())
            held.append(ours.say("end")["held"])
            return taken

        found = pairs(size.pairs, scraped, lambda _: render())
    what = f"scrape of {series} series | prometheus_client rendering as many"
    return [
        by_ratio("scrape", what, found, 1.5),
        by_limit("scrape-held", "longest hold of the loop by it", held[1:], 0.02, "ms"),
    ]


@contextlib.contextmanager
def _renderer(body: str) -> Iterator:
    """A process in which prometheus_client holds the same series; called, it tells how long it took."""
    argv = [sys.executable, "-m", "tests.bench.renderer"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{len(body)}\n{body}")

        def render() -> float:
            process.stdin.write("render\n")
            process.stdin.flush()
            return float(process.stdout.readline())

        yield render
        process.stdin.close()


def _idle(ours: Agent, size: Size) -> float:
    """Share of a core, with what the agent starts and has ended."""
    before, began = _cpu(ours.process.pid), time.monotonic()
    time.sleep(size.idle)
    return (_cpu(ours.process.pid) - before) / (time.monotonic() - began)


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> float:
    """MiB of the agent, and of helpers of its own that are still there; not of the services' programs."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    helpers = [child for child in children if b"program" not in Path(f"/proc/{child}/cmdline").read_bytes()]
    helpers = [child for child in helpers if b"sleep" not in Path(f"/proc/{child}/cmdline").read_bytes()]
    return _resident(pid) + sum(_own(int(child)) for child in helpers)


def _resident(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def _own(pid: int) -> float:
    """What it shares with nobody."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def _bare() -> list[float]:
    """MiB of a Python that has imported what the agent imports, but nothing of ours."""
    listing = "import sys, reconciler.cli.run, reconciler.cli.foreground; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)
    others = [name for name in modules.stdout.split() if name.partition(".")[0] not in OURS]
    script = (
        "import importlib, contextlib, sys\n"
        "for name in sys.stdin.read().split():\n"
        "    with contextlib.suppress(Exception): importlib.import_module(name)\n"
        "print(open('/proc/self/statm').read().split()[1])"
    )
    found = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", script],
            input=" ".join(others),
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(int(done.stdout) * os.sysconf("SC_PAGE_SIZE") / (1 << 20))
    return [statistics.median(found)]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
