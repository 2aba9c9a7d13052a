"""`make cluster` → three hosts and a store in namespaces, to be played with until "q" is typed."""

import os
import shutil
import sys

from tests.cluster.bed import TOOLS, Bed, bedding
from tests.cluster.host import HOME, STANDFAST
from tests.cluster.machine import ROOT

HELP = """
  crash n1    the power of n1 is gone          boot n1     it boots, and its agent starts
  cut n1      nobody hears n1, nor it anybody  heal        all cuts end
  get         what the client gets             status      as the first host that is up has it
  q           the end of everything
"""


def main() -> int:
    if missing := [f"{tool} ({package})" for tool, package in TOOLS.items() if not shutil.which(tool)]:
        print(f"not installed: {', '.join(missing)}")
        return 1
    if os.geteuid():
        print("three hosts in namespaces need root: sudo make cluster")
        return 1
    with bedding(hosts=3, members=3, cluster_nodes=["n1", "n2", "n3"]) as bed:
        bed.disk()
        bed.store.start()
        for document in sorted((ROOT / "examples" / "cluster").glob("*.yaml")):
            bed.hosts["n1"].write(document.name, document.read_text())
        for host in bed.hosts.values():
            host.start()
        for host in bed.hosts.values():
            bed.until(host.answers)
        _tell(bed)
        while _obey(bed, _typed()):
            pass
    return 0


def _tell(bed: Bed) -> None:
    for host in bed.hosts.values():
        if host.up:
            print(f"{host.name}: nsenter --all --target {host.machine.pid} env STANDFAST_RUN={HOME}/run sh")
    print(f"there: {' '.join(STANDFAST)} status web{HELP}", flush=True)


def _typed() -> list[str]:
    """An end of input is the end."""
    print("> ", end="", flush=True)
    line = sys.stdin.readline()
    return line.split() if line else ["q"]


def _obey(bed: Bed, words: list[str]) -> bool:
    """False at the end."""
    match words:
        case ["q"]:
            return False
        case ["crash", name] if name in bed.hosts and bed.hosts[name].up:
            bed.hosts[name].crash()
        case ["boot", name] if name in bed.hosts and not bed.hosts[name].up:
            bed.boot(bed.hosts[name])
            bed.hosts[name].start()
            _tell(bed)
        case ["cut", name] if name in bed.hosts:
            bed.net.isolate(name)
        case ["heal"]:
            bed.net.heal()
        case ["get"]:
            print(bed.client.page("10.77.0.50:8080") or "nobody answers")
        case ["status"]:
            up = [host for host in bed.hosts.values() if host.up]
            print(up[0].cli("status", "web", code=None) if up else "all hosts are down")
        case _:
            print(HELP)
    return True


if __name__ == "__main__":
    sys.exit(main())
