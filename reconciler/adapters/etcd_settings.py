"""Where etcd is and how we are known there → a checked value, and its TLS context."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.adapters.history import KEPT
from reconciler.decide.timing import Timing
from reconciler.errors import NeedsPerson
from reconciler.settings import Etcd


@dataclass(frozen=True)
class EtcdSettings:
    """Times in seconds. Raises NeedsPerson for what cannot work.

    endpoints        `https://10.0.0.1:2379`, each a member of one cluster, in the order they are tried
    ca               certificates that sign the members'; None: those the system trusts
    certificate, key what we show them; both or neither
    user, password   with etcd's authentication on; the user needs readwrite on all keys that begin
                     with the prefix without its slash
    request_timeout  bounds every call; r of the timing rules
    silence          a commit of ours that does not come back on a watch within it has the watch
                     rebuilt by another member; r + E of the timing rules
    prefix           of all our keys; `standfast/` and, for what the store itself keeps, `standfast.store/`
    kept             revisions that compaction leaves, and changes a watch may lie behind
    endpoints_file   further endpoints, one a line; read anew whenever a member fails
    """

    endpoints: tuple[str, ...]
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    user: str = ""
    password: str = field(default="", repr=False)
    request_timeout: float = 1.0
    silence: float = 3.0
    prefix: str = "standfast/"
    kept: int = KEPT
    endpoints_file: Path | None = None

    def __post_init__(self) -> None:
        if not self.endpoints:
            raise NeedsPerson("etcd: no endpoint is named: write at least one, https://HOST:2379")
        for url in self.endpoints:
            if not url.startswith(("http://", "https://")):
                raise NeedsPerson(f'etcd: endpoint "{url}" is not a URL: write https://{url}')
        if (self.certificate is None) != (self.key is None):
            raise NeedsPerson("etcd: certificate and key go together: name both or neither")
        if len(self.prefix) < 2 or not self.prefix.endswith("/"):
            raise NeedsPerson(f'etcd: prefix "{self.prefix}" does not end with a slash: write standfast/')
        if min(self.request_timeout, self.silence) <= 0:
            raise NeedsPerson("etcd: request_timeout and silence must be longer than nothing")

    @property
    def own(self) -> str:
        """Prefix of what the store keeps for itself, beside the prefix of all else."""
        return self.prefix[:-1] + ".store/"

    def further(self) -> tuple[str, ...]:
        """What the file says now; nothing, when it says nothing that can be understood."""
        if self.endpoints_file is None:
            return ()
        try:
            lines = self.endpoints_file.read_text(encoding="utf-8").split()
        except (OSError, ValueError):
            return ()
        return tuple(line for line in lines if line.startswith(("http://", "https://")))

    @property
    def encrypted(self) -> bool:
        return any(url.startswith("https://") for url in self.endpoints)


def named(at: Etcd, timing: Timing) -> EtcdSettings:
    """What node.yaml says, with the times that the failover time asks for. Raises NeedsPerson."""
    password = ""
    if at.password_file:
        try:
            password = Path(at.password_file).read_text(encoding="utf-8").strip()
        except OSError as fault:
            raise NeedsPerson(f"etcd: {at.password_file} cannot be read: {fault.strerror}") from fault
    return EtcdSettings(
        at.endpoints,
        Path(at.ca) if at.ca else None,
        Path(at.certificate) if at.certificate else None,
        Path(at.key) if at.key else None,
        at.user,
        password,
        request_timeout=timing.request,
        silence=timing.request + timing.leaderless,
        endpoints_file=Path(at.endpoints_file) if at.endpoints_file else None,
    )


def tls(settings: EtcdSettings) -> ssl.SSLContext | None:
    """None when no endpoint needs it. Raises NeedsPerson for files that cannot be used."""
    if not settings.encrypted:
        return None
    at: Path | None = settings.ca
    try:
        context = ssl.create_default_context(cafile=at)
        if settings.certificate is not None:
            at = settings.certificate
            context.load_cert_chain(settings.certificate, settings.key)
    except (OSError, ssl.SSLError) as fault:
        why = fault.strerror or fault
        raise NeedsPerson(
            f"etcd: {at} cannot be used: {why}: check that it and its key are PEM files we may read"
        ) from fault
    return context
