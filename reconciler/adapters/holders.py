"""A mount or a block device → who holds it: by mount id and device number, never by path."""

import os
from collections.abc import Iterator

from reconciler.adapters import mounting, proc
from reconciler.adapters.proc import Process
from reconciler.asks import Mount

_PLACES = ("cwd", "root", "exe")


def of_mount(mount: Mount) -> list[Process]:
    """Blocking. Processes with a file, a directory or a mapping on just this mount.

    By mount id and not by device: a bind mount has the device of the filesystem it shows a part of,
    and those who work elsewhere on that filesystem hold nothing of ours.
    """
    return [process for process in proc.processes() if _holds(process.pid, mount)]


def of_device(number: str) -> list[Process]:
    """Blocking. Processes that have the block device ("major:minor") open."""
    return [process for process in proc.processes() if number in _devices(process.pid)]


def of_loop(device: str, number: str) -> str:
    """Blocking. In words, who keeps a loop device from being detached; "" when nobody is found."""
    name = os.path.basename(device)
    words = [f"mounted on {mount.target}" for mount in mounting.table() if mount.device == number]
    words += [f"used by {holder}" for holder in _listed(f"/sys/class/block/{name}/holders")]
    words += [f"open in {process}" for process in of_device(number)]
    return ", ".join(words)


def loops_on(mount: Mount) -> list[str]:
    """Loop devices whose file is on the mount: they hold it, and no process does."""
    found = []
    for name in _listed("/sys/class/block"):
        try:
            with open(f"/sys/class/block/{name}/loop/backing_file", encoding="utf-8") as file:
                backing = file.read().strip()
        except OSError:
            continue
        if backing.startswith(mount.target.rstrip("/") + "/"):
            found.append(f"/dev/{name}")
    return found


def _holds(pid: int, mount: Mount) -> bool:
    if any(_mount_id(f"/proc/{pid}/{place}") == mount.id for place in _PLACES):
        return True
    for fd in _listed(f"/proc/{pid}/fdinfo"):
        if _told_id(f"/proc/{pid}/fdinfo/{fd}") == mount.id:
            return True
    return any(
        _mount_id(f"/proc/{pid}/map_files/{area}") == mount.id for area in _mapped(pid, mount.device)
    )


def _mapped(pid: int, device: str) -> Iterator[str]:
    """Address ranges that map files of the device."""
    major, _, minor = device.partition(":")
    wanted = f"{int(major):02x}:{int(minor):02x}"
    try:
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:
            for line in file:
                words = line.split(maxsplit=5)
                if len(words) > 3 and words[3] == wanted:
                    yield "-".join(part.lstrip("0") or "0" for part in words[0].split("-"))
    except OSError:
        return


def _mount_id(path: str) -> int:
    """Of what a link in /proc leads to, opened as a mere place: its filesystem is not asked."""
    try:
        fd = os.open(path, os.O_PATH)
    except OSError:
        return -1
    try:
        return _told_id(f"/proc/thread-self/fdinfo/{fd}")
    finally:
        os.close(fd)


def _told_id(path: str) -> int:
    try:
        with open(path, encoding="ascii") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("mnt_id:")), -1)
    except OSError:
        return -1


def _devices(pid: int) -> set[str]:
    found = set()
    for fd in _listed(f"/proc/{pid}/fd"):
        path = f"/proc/{pid}/fd/{fd}"
        try:
            if os.readlink(path).startswith("/dev/"):
                number = os.stat(path).st_rdev
                found.add(f"{os.major(number)}:{os.minor(number)}")
        except OSError:
            continue
    return found


def _listed(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []
