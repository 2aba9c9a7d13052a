"""A profile of failover times → a store whose leader is killed, alone or with a holder, and who noticed.

    with scene("fast", victims=2) as made:
        made.kill_alone(20)
        made.kill_with_holders()
        made.restore()  # and again
        print(made.said())

One host, n1, holds a service and is never hurt; each of the others holds one that n1 takes over. How old
an acknowledged renewal became before the next one is read off the deadlines that the guards were given.
"""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from reconciler.decide.timing import PROFILES, Timing
from tests.cluster.bed import Bed, answering, bedding
from tests.cluster.host import Host
from tests.cluster.unit import Unit

KEPT = "kept"
FIRST = 50
"""The first service has the address 10.77.0.50 and this port; the next ones, the next of both."""
PROBE, START = 0.4, 1.5
ENDED = "no renewal was acknowledged", "the deadline passed", "is over"
"""What a guard says when it ends a session."""


class Ages:
    """Of each host, the oldest that its last acknowledged renewal ever was, in seconds."""

    def __init__(self, hosts: list[Host], timing: Timing) -> None:
        self._hosts, self._limit = hosts, timing.deadline
        self.oldest: dict[str, float] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="ages", daemon=True)
        self._thread.start()

    def sent(self, host: Host) -> float:
        """When the last acknowledged renewal was sent, by the host's clock; 0 when there is none."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            return float(host.path("run/guard/deadline").read_text().split()[1]) - self._limit
        return 0.0

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.01):
            for host in self._hosts:
                with contextlib.suppress(OSError, AssertionError, StopIteration):  # it is down right now
                    if sent := self.sent(host):
                        self._note(host.name, _clock(host.machine.pid) - sent)

    def _note(self, name: str, age: float) -> None:
        if age > self.oldest.get(name, 0.0):
            self.oldest[name] = age


class Scene:
    def __init__(self, bed: Bed, profile: str, ages: Ages) -> None:
        self.bed, self.profile, self.timing, self.ages = bed, profile, PROFILES[profile], ages
        self.stays, *self.victims = bed.hosts.values()
        self.units = {name: Unit(host) for name, host in bed.hosts.items()}
        self.kills, self.took = 0, list[float]()

    def begin(self) -> None:
        self.bed.store.start()
        for name, host in self.bed.hosts.items():
            self.units[name].start()
            self.bed.until(host.answers, what=f"{name} does not answer")
        self._all_alive()
        self.stays.write(f"{KEPT}.yaml", document(KEPT, FIRST, (self.stays.name,)))
        for number, victim in enumerate(self.victims, FIRST + 1):
            nodes = (victim.name, self.stays.name)
            victim.write(f"of-{victim.name}.yaml", document(f"of-{victim.name}", number, nodes))
        for name, host in self._homes().items():
            self.bed.until(lambda name=name, host=host: self.answers(name) == host.name, what=name)

    def close(self) -> None:
        for unit in self.units.values():
            unit.close()

    # --- what befalls it -------------------------------------------------------------------

    def kill_alone(self, times: int) -> None:
        """The leader dies, another leads, everybody renews; it comes back, and so on."""
        programs = self._programs()
        for _ in range(times):
            self._killed(self.bed.store.leader())
            assert self._programs() == programs, "something was stopped"
        self.nobody_stopped()

    def kill_with_holders(self) -> None:
        """The same, each time with one of the victims; all their services are taken over in time."""
        crashed: dict[str, float] = {}
        for victim in self.victims:
            left = {name: pid for name, pid in self._programs().items() if name not in crashed}
            left.pop(f"of-{victim.name}")
            leader = self.bed.store.leader()
            self.units[victim.name].stay_down()
            crashed[f"of-{victim.name}"] = time.monotonic()
            self._killed(leader, victim)
            assert {name: self._programs()[name] for name in left} == left, "something was stopped"
        self._taken_over(crashed)
        self.nobody_stopped()

    def _killed(self, leader: str, victim: Host | None = None) -> None:
        """Until all who are left have renewed under another leader, and this member is back."""
        self.bed.store.kill(leader)
        if victim:
            victim.crash()
        self.kills += 1
        before = {host.name: self.ages.sent(host) for host in self._up()}
        assert self.bed.store.leader() != leader
        self.bed.until(
            lambda: all(self.ages.sent(host) > before[host.name] for host in self._up()),
            self.timing.deadline,
            "somebody does not renew",
        )
        self.bed.store.restart(leader)

    def _taken_over(self, crashed: dict[str, float]) -> None:
        """By n1, each as soon after its crash as is promised, and later by what the leader's death costs.

        Its last renewal may be heard of late: once another leader serves, and one of n1's own renewals
        has not come back on the watch that the old one served.
        """
        t = self.timing
        late_news = t.leaderless + t.renew + t.request + (t.request + t.leaderless)
        most = t.failover + late_news + PROBE + START
        waits = dict(crashed)
        while waits:
            self.bed.client.forget()
            for name in [name for name in waits if self.answers(name) == self.stays.name]:
                self.took.append(time.monotonic() - waits.pop(name))
            late = [name for name, at in waits.items() if time.monotonic() - at > most]
            assert not late, f"{late} not taken over within {most:.1f} s\n{self.bed.report()}"

    def restore(self) -> None:
        """The victims are back, each with its service."""
        for victim in self.victims:
            self.bed.boot(victim)
            self.units[victim.name].start()
        self._all_alive()
        for victim in self.victims:
            self.stays.cli("switch", f"of-{victim.name}", "--to", victim.name)
        self.bed.client.forget()
        for name, host in self._homes().items():
            self.bed.until(lambda name=name, host=host: self.answers(name) == host.name, what=name)

    # --- seen ------------------------------------------------------------------------------

    def answers(self, name: str) -> str:
        number = self._number(name)
        said = self.bed.client.get(f"{_address(number)}:{number}", 0.2)
        return str(said["host"]) if said.get("name") == name else ""

    def nobody_stopped(self) -> None:
        """No guard of who is up has ended a session, and nothing was ever twice."""
        for host in self._up():
            log = host.path("run/guard/log")
            said = log.read_text() if log.exists() else ""
            assert not any(words in said for words in ENDED), f"{host.name}: {said}"
        names = list(self._homes())
        things = [f"address {_address(self._number(name))}" for name in names]
        self.bed.sampler.history().assert_never_twice(*things, *(f"program {name}" for name in names))

    def said(self) -> str:
        """What was measured, in one line."""
        slowest = max(self.ages.oldest.values(), default=0.0)
        took = f", taken over after {min(self.took):.1f} to {max(self.took):.1f} s" if self.took else ""
        return (
            f"{self.profile}: the leader killed {self.kills} times{took}; "
            f"slowest renewal after {slowest:.2f} s of {self.timing.deadline:g} s"
        )

    def _programs(self) -> dict[str, str]:
        """Of each service that runs on a host that is up: where, and which process it is."""
        found = {}
        for host in self._up():
            for pid, words in host.machine.processes().items():
                for name in self._homes():
                    if f"answer.py {name} " in words:
                        found[name] = f"{host.name} {pid}"
        return found

    def _homes(self) -> dict[str, Host]:
        return {KEPT: self.stays, **{f"of-{victim.name}": victim for victim in self.victims}}

    def _number(self, name: str) -> int:
        return FIRST + list(self._homes()).index(name)

    def _up(self) -> list[Host]:
        return [host for host in self.bed.hosts.values() if host.up]

    def _all_alive(self) -> None:
        wanted = len(self.bed.hosts)

        def alive() -> bool:
            nodes = self.stays.get("/v1/node")["cluster"]["nodes"]
            return sum(one["alive"] for one in nodes.values()) == wanted

        self.bed.until(alive, self.timing.wait + 10, "not all have a session")


def _address(number: int) -> str:
    return f"10.77.0.{number}"


def document(name: str, number: int, nodes: tuple[str, ...]) -> str:
    resources = {
        "ip#0": {"type": "host", "name": _address(number), "netmask": 24, "dev": "eth0"},
        "app#0": {"type": "simple", "start": answering(name, number)},
    }
    spec = {"nodes": list(nodes), "requires_safety": "lease", "resources": resources}
    whole = {"apiVersion": "standfast/v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}
    return json.dumps(whole)


def _clock(pid: int) -> float:
    """The boot-time clock of a machine of ours."""
    offsets = Path(f"/proc/{pid}/timens_offsets").read_text().splitlines()
    ahead = next(int(line.split()[1]) for line in offsets if line.startswith("boottime"))
    return time.clock_gettime(time.CLOCK_BOOTTIME) + ahead


@contextlib.contextmanager
def scene(profile: str, victims: int) -> Iterator[Scene]:
    hosts = victims + 1
    programs = [KEPT, *(f"of-n{number}" for number in range(2, hosts + 1))]
    with (
        bedding(hosts=hosts, members=3, programs=programs, failover_time=profile) as bed,
        contextlib.closing(Ages(list(bed.hosts.values()), PROFILES[profile])) as ages,
        contextlib.closing(Scene(bed, profile, ages)) as made,
    ):
        made.begin()
        ages.oldest.clear()
        yield made
