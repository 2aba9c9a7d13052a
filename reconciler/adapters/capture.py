"""What a command prints → its head and tail, at most 64 KiB; what it leaves running keeps a log."""

import contextlib
import fcntl
import os
from pathlib import Path

HALF = 32 * 1024
MOST = 8 * 1024 * 1024
"""Bytes of output kept while the command runs; of more, the middle is dropped."""


class Capture:
    """A file without a name as stdout and stderr: never a pipe.

    A pipe would kill a program that a start script left behind as soon as the daemon is gone, and
    would never come to its end as long as that program lives. In `directory` where it may be kept;
    without one, in memory.
    """

    def __init__(self, directory: Path | None) -> None:
        self._given = -1
        if directory:
            # A disk that is full or read-only must not keep anything from being stopped.
            with contextlib.suppress(OSError):
                self._given = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_APPEND, 0o640)
        if self._given < 0:
            self._given = os.memfd_create("standfast-output", os.MFD_CLOEXEC)
            fcntl.fcntl(self._given, fcntl.F_SETFL, os.O_APPEND)
        # The lock belongs to the description that the command inherits: see `still_open`.
        with contextlib.suppress(OSError):
            fcntl.flock(self._given, fcntl.LOCK_SH)
        self._mine = os.open(f"/proc/self/fd/{self._given}", os.O_RDWR)
        self._head = b""
        self._dropped = 0

    @property
    def fd(self) -> int:
        """For the command; `handed_over` when it has been started."""
        return self._given

    def handed_over(self) -> None:
        os.close(self._given)
        self._given = -1

    def trim(self) -> None:
        """Called now and then while it runs: the command may print without end."""
        size = os.fstat(self._mine).st_size
        if size > MOST:
            self._head = self._head or os.pread(self._mine, HALF, 0)
            os.ftruncate(self._mine, 0)
            self._dropped += size

    def text(self) -> str:
        size = os.fstat(self._mine).st_size
        total = self._dropped + size
        if total <= 2 * HALF:
            return os.pread(self._mine, 2 * HALF, 0).decode(errors="replace")
        head = self._head or os.pread(self._mine, HALF, 0)
        tail = os.pread(self._mine, HALF, max(0, size - HALF))
        left_out = total - len(head) - len(tail)
        middle = f"\n… {left_out} bytes left out …\n".encode()
        return (head + middle + tail).decode(errors="replace")

    def still_open(self) -> bool:
        """Whether a process that the command left behind can still write to it."""
        try:
            fcntl.flock(self._mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def keep_as(self, path: Path) -> bool:
        """Give the file a name; False when it cannot be had (another filesystem, or memory)."""
        try:
            # A directory descriptor, unused, makes Python call linkat, which follows the link in /proc.
            os.link(f"/proc/self/fd/{self._mine}", path, src_dir_fd=self._mine, follow_symlinks=True)
        except OSError:
            return False
        return True

    def close(self) -> None:
        for fd in (self._given, self._mine):
            if fd >= 0:
                os.close(fd)
        self._given = self._mine = -1
