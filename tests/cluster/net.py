"""Nothing → a wire that no packet leaves: a bridge in a machine of its own, to which machines are joined.

Cuts are silent drops in the bridge, as where a switch or a cable fails half-way: nobody sees a carrier
change or a refusal, connections that stand hang.
"""

import itertools
import os
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.cluster.machine import Machine

NETWORK = "10.77.0"
PLACE = "/mnt"
"""A tmpfs that all machines of one wire see, and nobody else; gone with the wire."""
_NUMBERS = itertools.count(1)
_RULES = """
table bridge cuts {
    set pairs { type ifname . ifname; }
    set deaf { type ifname; }
    set mute { type ifname; }
    chain forward {
        type filter hook forward priority 0; policy accept;
        iifname . oifname @pairs drop
        oifname @deaf drop
        iifname @mute drop
    }
}
"""


class Net:
    """The wire. Machines are known by name; `group` is the control group that holds theirs, or ""."""

    def __init__(self) -> None:
        self.group = _group()
        directory = {"do": "mount", "what": "bed", "at": PLACE, "type": "tmpfs"}
        self.wire = Machine("wire", [directory], sweep=(self.group, PLACE))
        self.machines: dict[str, Machine] = {}
        """All that are joined."""
        self.addresses: dict[str, str] = {}
        self._boots = itertools.count(1)
        self.wire.network("link add br0 type bridge stp_state 0 mcast_snooping 0 forward_delay 0\n")
        self.wire.network("link set br0 addrgenmode none\nlink set br0 up\n")
        self._rules(_RULES)

    @property
    def root(self) -> Path:
        """Of the files that the machines see in PLACE."""
        return self.wire.path(PLACE)

    def machine(self, name: str, number: int, steps: Sequence[Any] = (), own_group: bool = True) -> Machine:
        """Another one on the wire, with the address of its number; each boot has a clock of its own."""
        group = f"{self.group}/{name}" if self.group and own_group else ""
        clock = next(self._boots) * 86_400
        made = Machine(name, steps, self.wire, group, clock)
        port, mac = _port(name), f"02:00:0a:4d:00:{number:02x}"
        self.wire.network(f"link add {port} type veth peer name eth0 address {mac} netns {made.pid}\n")
        self.wire.network(f"link set {port} addrgenmode none\nlink set {port} master br0 up\n")
        made.network(f"link set lo up\nlink set eth0 up\naddr add {NETWORK}.{number}/24 dev eth0\n")
        self.machines[name], self.addresses[name] = made, f"{NETWORK}.{number}"
        return made

    def remove(self, name: str) -> Machine:
        """Its cable is pulled, for good; it goes on."""
        self.wire.network(f"link del {_port(name)}\n")
        return self.machines.pop(name)

    # --- cuts ------------------------------------------------------------------------------

    def cut(self, one: str, others: Iterable[str]) -> None:
        """Nothing passes between it and each of the others, in either direction."""
        for other in others:
            self.cut_one_way(one, other)
            self.cut_one_way(other, one)

    def cut_one_way(self, sender: str, receiver: str) -> None:
        """What the one sends does not reach the other, which still is heard by it."""
        self._add("pairs", f'"{_port(sender)}" . "{_port(receiver)}"')

    def isolate(self, name: str) -> None:
        """From everybody, both ways."""
        self.deafen(name)
        self.mute(name)

    def deafen(self, name: str) -> None:
        """It sends, and hears nothing."""
        self._add("deaf", f'"{_port(name)}"')

    def mute(self, name: str) -> None:
        """It hears, and is not heard."""
        self._add("mute", f'"{_port(name)}"')

    def heal(self) -> None:
        """End all cuts."""
        self._rules(f"delete table bridge cuts\n{_RULES}")

    def _add(self, which: str, element: str) -> None:
        self._rules(f"add element bridge cuts {which} {{ {element} }}")

    def _rules(self, text: str) -> None:
        """In one transaction."""
        words = ["nsenter", f"--net=/proc/{self.wire.pid}/ns/net", "nft", "-f", "-"]
        done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{text}: {done.stderr}"

    # --- the end ---------------------------------------------------------------------------

    def close(self) -> None:
        for machine in self.machines.values():
            machine.kill()
        self.wire.kill()


def _port(name: str) -> str:
    return f"p-{name}"


def _group() -> str:
    """Below the first control groups of version 2 where one can be made, named so that no two meet."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        tables = [line.split() for line in file]
    for words in tables:
        if words[words.index("-") + 1] == "cgroup2":
            made = Path(words[4]) / f"standfast-cluster-{os.getpid()}-{next(_NUMBERS)}"
            try:
                made.mkdir()
            except OSError:
                continue
            return str(made)
    return ""
