"""A node's settings as a value; read from node.yaml and the command line, defaults for one host."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Etcd:
    """Where the store that several hosts share is, and how we are known there; paths of PEM files.

    endpoints_file       further endpoints, one a line; read when it is needed, for members come and go
    user, password_file  with etcd's authentication on
    """

    endpoints: tuple[str, ...]
    ca: str = ""
    certificate: str = ""
    key: str = ""
    endpoints_file: str = ""
    user: str = ""
    password_file: str = ""


@dataclass(frozen=True)
class Fence:
    """How a node is switched off: a program of fence-agents and the options that it reads. Seconds."""

    agent: str
    options: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 60.0


@dataclass(frozen=True)
class Api:
    """Where the API is served over TCP with TLS; paths of PEM files.

    client_ca  certificates that sign those of clients
    roles      name in a client's certificate → viewer, operator or admin
    default    the role of any other name, "" for none
    """

    listen: str
    certificate: str
    key: str
    client_ca: str
    roles: Mapping[str, str] = field(default_factory=dict)
    default: str = ""


@dataclass(frozen=True)
class Settings:
    """Times in seconds. Every path can be moved, so that many nodes live on one machine."""

    node: str
    services: Path = Path("/etc/standfast/services")
    state: Path = Path("/var/lib/standfast")
    run: Path = Path("/run/standfast")
    env: str = "TST"
    labels: Mapping[str, str] = field(default_factory=dict)
    cluster_nodes: tuple[str, ...] = ()

    etcd: Etcd | None = None  # None: this host alone, its state in a file of its own
    failover_time: str | float = "default"  # fast, default, conservative, or seconds from crash to claim
    watchdog: str = ""  # its device; "" : none
    softdog: bool = False  # the kernel's own timer will do for one
    fencing: Mapping[str, Fence] = field(default_factory=dict)  # by the node that is switched off
    sysrq: bool = False  # the guard may reset the machine by /proc/sysrq-trigger

    look_every: float = 30.0  # periodic look, jittered by a tenth
    events: bool = True  # False: the periodic look alone, for tests and odd kernels
    directory_every: float = 30.0
    debounce: float = 0.05
    removal_after: float = 0.2  # never believe a removal sooner

    max_jobs: int = 32  # jobs at once on this node
    max_checks: int = 10  # users' checks at once on this node
    stable_after: float = 60.0  # a resource up that long has its budget back
    retry_max: float = 300.0  # ceiling of every backoff

    roles: Mapping[str, str] = field(default_factory=dict)  # unix group → operator or viewer
    api: Api | None = None  # None: on the unix socket alone
    metrics_listen: str = "127.0.0.1:9833"  # "" : no listener
    events_days: float = 30.0
    events_mb: float = 64.0
    log_format: str = "text"  # or json

    @property
    def socket(self) -> Path:
        return self.run / "standfast.sock"
