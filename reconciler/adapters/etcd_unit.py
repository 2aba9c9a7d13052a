"""What our own etcd is (etcd.json) → its command line, its files, and a systemd unit."""

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from reconciler.adapters.history import KEPT
from reconciler.adapters.keepsake import replace_file
from reconciler.decide.voters import WITNESS
from reconciler.errors import NeedsPerson
from reconciler.settings import Etcd

QUOTA = 2 << 30
"""Bytes; what our keys need is thousands of times less."""
SERVICE = "standfast-etcd.service"
PEER_NAME = "standfast-member"
"""Common name of what members show each other: no other certificate is let in between them."""


@dataclass(frozen=True)
class Unit:
    """`cluster`: peer URLs by member name, as they were when this one was made. Times in seconds.

    enrol     port on which others may ask to join; 0 where nobody can, as at a witness
    founding  it was the first
    """

    name: str
    address: str
    client_port: int
    peer_port: int
    enrol_port: int
    token: str
    cluster: Mapping[str, tuple[str, ...]]
    founding: bool
    election: float
    failover_time: str | float

    @property
    def client_url(self) -> str:
        return url(self.address, self.client_port)

    @property
    def peer_url(self) -> str:
        return url(self.address, self.peer_port)

    @property
    def witness(self) -> bool:
        return self.name.startswith(WITNESS)


@dataclass(frozen=True)
class Files:
    """Where everything of it is."""

    state: Path
    run: Path

    @property
    def unit(self) -> Path:
        return self.state / "etcd.json"

    @property
    def data(self) -> Path:
        return self.state / "etcd"

    @property
    def pki(self) -> Path:
        return self.state / "pki"

    @property
    def endpoints(self) -> Path:
        """Of all members, one a line; under the run directory, so that no disk is in a reader's way."""
        return self.run / "etcd.endpoints"

    @property
    def endpoints_kept(self) -> Path:
        return self.state / "etcd.endpoints"

    @property
    def lock(self) -> Path:
        return self.run / "etcd.pid"

    @property
    def log(self) -> Path:
        return self.run / "etcd.log"

    def reached(self, endpoints: Sequence[str]) -> Etcd:
        """How the agent of this host comes to the store."""
        return Etcd(
            tuple(endpoints),
            str(self.pki / "ca.pem"),
            str(self.pki / "client.pem"),
            str(self.pki / "client.key"),
            endpoints_file=str(self.endpoints),
        )


def host_port(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def url(address: str, port: int) -> str:
    return f"https://{host_port(address, port)}"


def load(files: Files) -> Unit | None:
    """None when this host has none. Raises NeedsPerson for one that cannot be read."""
    try:
        kept = json.loads(files.unit.read_text(encoding="utf-8"))
        cluster = {name: tuple(urls) for name, urls in kept.pop("cluster").items()}
        return Unit(cluster=cluster, **kept)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as fault:
        raise NeedsPerson(f"{files.unit} cannot be read: {fault}") from fault


def keep(files: Files, unit: Unit) -> None:
    replace_file(files.unit, json.dumps(asdict(unit), indent=2, sort_keys=True) + "\n", 0o644)


def put_pem(files: Files, name: str, text: str) -> None:
    """Keys are for their owner alone, and so is the directory."""
    files.pki.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(files.pki / name, text, 0o600 if name.endswith(".key") else 0o644)


def argv(unit: Unit, files: Files, etcd: str = "etcd", force: bool = False) -> list[str]:
    """`force`: alone from now on, whatever members there were (a recovery)."""
    first = ",".join(f"{name}={one}" for name, urls in unit.cluster.items() for one in urls)
    words = {
        "name": unit.name,
        "data-dir": files.data,
        "listen-client-urls": unit.client_url,
        "advertise-client-urls": unit.client_url,
        "listen-peer-urls": unit.peer_url,
        "initial-advertise-peer-urls": unit.peer_url,
        "initial-cluster": first,
        "initial-cluster-token": unit.token,
        "initial-cluster-state": "new" if unit.founding else "existing",
        "heartbeat-interval": round(unit.election * 100),
        "election-timeout": round(unit.election * 1000),
        "auto-compaction-mode": "revision",
        "auto-compaction-retention": KEPT,
        "quota-backend-bytes": QUOTA,
        "trusted-ca-file": files.pki / "ca.pem",
        "cert-file": files.pki / "member.pem",
        "key-file": files.pki / "member.key",
        "peer-trusted-ca-file": files.pki / "ca.pem",
        "peer-cert-file": files.pki / "peer.pem",
        "peer-key-file": files.pki / "member.key",
        "peer-cert-allowed-cn": PEER_NAME,
        "logger": "zap",
        "log-outputs": "stderr",
    }
    flags = ["--pre-vote", "--client-cert-auth", "--peer-client-cert-auth"]
    flags += ["--force-new-cluster"] if force else []
    return [etcd, *(f"--{name}={value}" for name, value in words.items()), *flags]


def command(files: Files) -> list[str]:
    """What supervises it."""
    words = [sys.executable, "-m", "reconciler.cli.main", "cluster", "etcd"]
    return [*words, "--state", str(files.state), "--run", str(files.run)]


def service(files: Files) -> str:
    """The text of its systemd unit, which restarts of the agent's do not touch."""
    return f"""\
# Written by `standfast cluster`.
[Unit]
Description=The store of the Standfast cluster (etcd)
Wants=network-online.target
After=network-online.target
RequiresMountsFor={shlex.quote(str(files.state))}

[Service]
ExecStart={shlex.join(command(files))}
KillMode=mixed
Restart=always
RestartSec=1
OOMScoreAdjust=-900
LimitNOFILE=65536

[Install]
WantedBy=multi-user.target
"""
