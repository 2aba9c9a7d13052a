"""Namespaces of our own → a place where services can be played with and nothing of the host is touched.

The kernel ends what runs inside when the outer process dies, however it dies: processes with the
pid namespace, addresses with the network namespace, mounts with the mount namespace.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

BRIDGE, NETWORK = "br0", "10.83.0.1/24"

SETUP = f"""mount --make-rprivate / &&
ip link set lo up &&
ip link add {BRIDGE} type bridge &&
ip link add port0 type veth peer name port1 &&
ip link set port0 master {BRIDGE} up && ip link set port1 up &&
ip addr add {NETWORK} dev {BRIDGE} && ip link set {BRIDGE} up"""
"""A bridge with a live port, so that it has carrier."""

NOT_PREPARED = 125
LOCK = "lock"


def base() -> Path:
    """Where a sandbox of this user keeps its directories; outside of the namespaces, for clients."""
    parent = os.environ.get("XDG_RUNTIME_DIR") or "/tmp"  # a directory per user, checked below
    return Path(parent) / f"standfast-sandbox-{os.getuid()}"


def prepare(examples: Path) -> Path:
    """A fresh directory with a copy of the examples, ours alone until this process ends.

    Raises OSError when it cannot be made, is somebody else's, or another sandbox runs in it.
    """
    root = base()
    root.mkdir(mode=0o755, exist_ok=True)
    if root.is_symlink() or root.stat().st_uid != os.getuid():
        raise PermissionError(f"{root} belongs to somebody else: remove it, or set XDG_RUNTIME_DIR")
    descriptor = os.open(root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OSError(f"one runs already in {root}: `standfast shell` enters it") from None
    release_loops(root)
    for child in root.iterdir():
        if child.name == LOCK:
            continue
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child, ignore_errors=True)
        else:
            child.unlink()
    (root / "services").mkdir()
    for path in sorted(examples.iterdir()):
        if path.is_file():
            copy = root / "services" / path.name
            shutil.copyfile(path, copy)
            copy.chmod(0o644)
    return root


def release_loops(root: Path) -> None:
    """Loop devices over files below `root` that an earlier sandbox left: they outlive a namespace."""
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            if backing.read_text().startswith(f"{root}/"):
                subprocess.run(
                    ["losetup", "-d", f"/dev/{backing.parts[3]}"], check=False, capture_output=True
                )


def _inside(script: str, inner: Sequence[str], network: bool) -> list[str]:
    """`inner` as the first process of new namespaces, after `script` has prepared them."""
    words = ["unshare", *(["--user", "--map-root-user"] if os.geteuid() else [])]
    words += ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", *(["--net"] if network else [])]
    return [*words, "--", "sh", "-c", f'{script} || exit {NOT_PREPARED}\nexec "$@"', "sandbox", *inner]


def trial() -> str:
    """Why a bridge and a mount cannot be made in namespaces of our own, "" when they can."""
    for tool, package in (("unshare", "util-linux"), ("ip", "iproute2")):
        if shutil.which(tool) is None:
            return f"{tool} is missing (package {package})"
    words = _inside(f"{SETUP} && mount -t tmpfs none /mnt", ["true"], network=True)
    tried = subprocess.run(words, capture_output=True, text=True, check=False, timeout=20)
    if tried.returncode == 0:
        return ""
    lines = tried.stderr.strip().splitlines()
    return lines[-1] if lines else f"unshare ended with code {tried.returncode}"


def run(inner: Sequence[str], pid_file: Path) -> int:
    """Run it inside to its end; signals that would end us end it first, in order. Its exit code.

    The pid of the first process inside, as seen from outside, is written to `pid_file`.
    """
    process = subprocess.Popen(_inside(SETUP, inner, network=True))

    def pass_on(number: int, _frame: object) -> None:
        # Not to unshare, which would take the whole namespace with it at once.
        for child in _children(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, pass_on)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to the agent as well
    while process.poll() is None and not (children := _children(process.pid)):
        time.sleep(0.005)
    if process.returncode is None:
        pid_file.write_text(f"{children[0]}\n", encoding="ascii")
    code = process.wait()
    release_loops(base())
    return code if code >= 0 else 128 - code


def enter(pid: int, inner: Sequence[str]) -> list[str]:
    """`inner` inside the namespaces of a sandbox's first process."""
    user = ["--user", "--preserve-credentials"] if os.geteuid() else []
    return ["nsenter", f"--target={pid}", *user, "--net", "--mount", "--pid", "--", *inner]


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(w) for w in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []
