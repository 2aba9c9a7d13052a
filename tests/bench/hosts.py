"""Two hosts and a real etcd in namespaces → how long a service takes to move, asked for and after a crash.

What is timed ends with the program seen on its host: by a look at each host every 5 ms.
"""

import json
import os
import shutil
import time
from typing import Any

from reconciler.cli import client
from tests.bench.measure import Pairs, Row, Size, by_excess, by_limit, pairs, skipped
from tests.cluster.bed import TOOLS
from tests.cluster.host import Host
from tests.cluster.members import FAST, Cluster, cluster, document

PROGRAM = "program web"
MOVED = "switch to the other host | restart on its own"
CRASHED = "crash of the holder → up on the other host, fast profile"
LONGEST = 8.0
"""Seconds: T + 0.5, the probe of the address, the start."""


def switched(size: Size) -> list[Row]:
    """A move stops and starts as a restart does; what it takes more is claim and word between two hosts."""
    if why := _missing():
        return [skipped("switch", MOVED, why)]
    with cluster(hosts=2, members=3) as bed:
        _without_probe(bed)
        found: Pairs = pairs(
            size.pairs,
            lambda _: _until_up(bed, "switch", to=_other(bed).name),
            lambda _: _until_up(bed, "restart"),
        )
        return [by_excess("switch", MOVED, found, 0.1)]


def failed_over(size: Size) -> list[Row]:
    if why := _missing():
        return [skipped("failover", CRASHED, why)]
    with cluster(hosts=2, members=3) as bed:
        took = [_crashed(bed) for _ in range(size.failovers)]
        return [by_limit("failover", CRASHED, took, LONGEST, "s")]


def _without_probe(bed: Cluster) -> None:
    """A restart asks the network for the address, a move does not: neither is to."""
    whole = json.loads(document(tuple(bed.hosts)))
    whole["spec"]["resources"]["ip#0"]["probe"] = False
    holder = _holder(bed)
    before = _service(holder)["metadata"]["generation"]
    holder.write("web.yaml", json.dumps(whole))
    for host in bed.hosts.values():
        bed.bed.until(lambda host=host: _service(host)["metadata"]["generation"] != before)
    bed.bed.until(lambda: _settled(holder))


def _crashed(bed: Cluster) -> float:
    """Seconds; afterwards both hosts are there again."""
    host, other = _holder(bed), _other(bed)
    bed.units[host.name].stay_down()
    began = time.monotonic()
    host.crash()
    up = _seen(bed, other, began, FAST.failover + 10)
    bed.bed.boot(host)
    bed.units[host.name].start()
    bed.bed.until(lambda: bed.sessions() == 2, within=15)
    return up - began


def _until_up(bed: Cluster, verb: str, **words: str) -> float:
    """Seconds from the word to the holder until the program runs anew."""
    holder, to = _holder(bed), bed.hosts[words["to"]] if words else _holder(bed)
    began = time.monotonic()
    holder.post("/v1/services/root/web/wish", {"verb": verb, **words})
    up = _seen(bed, to, began, 10)
    bed.bed.until(lambda: _settled(to), within=10)
    return up - began


def _seen(bed: Cluster, host: Host, began: float, within: float) -> float:
    """When a program that was not there at `began` was seen first."""

    def later() -> list[float]:
        return [i.since for i in bed.bed.sampler.history().of(PROGRAM, host.name) if i.since > began]

    bed.bed.until(later, within)
    return later()[0]


def _settled(host: Host) -> bool:
    """It holds the service, has done all that was asked, and nothing goes on."""
    status = _service(host)["status"]
    found = {one["type"]: one["status"] for one in status["conditions"]}
    return (found["Ready"], found["Reconciling"]) == ("True", "False") and _holds(host)


def _holds(host: Host) -> bool:
    try:
        return [claim["node"] for claim in _service(host)["status"]["claims"]] == [host.name]
    except client.Failed:
        return False


def _service(host: Host) -> dict[str, Any]:
    return dict(host.get("/v1/services/root/web"))


def _holder(bed: Cluster) -> Host:
    bed.bed.until(lambda: any(map(_holds, bed.hosts.values())))  # one that was crashed may just be booting
    return next(host for host in bed.hosts.values() if _holds(host))


def _other(bed: Cluster) -> Host:
    holder = _holder(bed)
    return next(host for host in bed.hosts.values() if host is not holder)


def _missing() -> str:
    if os.geteuid():
        return "hosts in namespaces need root"
    missing = [f"{tool} ({package})" for tool, package in TOOLS.items() if not shutil.which(tool)]
    return f"not installed: {', '.join(missing)}" if missing else ""
