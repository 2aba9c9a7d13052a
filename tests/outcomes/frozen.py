"""A FUSE filesystem served by this process, which can stop answering: as real as a hung mount gets."""

import contextlib
import ctypes
import os
import select
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_IN = struct.Struct("=IIQQIIIHH")
_FORGETS = (2, 42)
_ENOENT, _ENOSYS = 2, 38
_DIRECTORY = struct.pack("=6Q10I", 1, 0, 0, 0, 0, 0, 0, 0, 0, 0o40755, 2, 0, 0, 0, 4096, 0)


class Frozen:
    """An empty directory. `freeze`: from now on nobody gets an answer; `thaw`: all get theirs."""

    def __init__(self, target: Path) -> None:
        self.target = target
        target.mkdir()
        self._device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={self._device},rootmode=40000,user_id=0,group_id=0,allow_other"
        if _LIBC.mount(b"frozen", os.fsencode(target), b"fuse", ctypes.c_ulong(0), options.encode()):
            os.close(self._device)
            raise OSError(ctypes.get_errno(), "no FUSE here")
        self._answering = threading.Event()
        self._answering.set()
        self._ended = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def freeze(self) -> None:
        self._answering.clear()

    def thaw(self) -> None:
        self._answering.set()

    def close(self) -> None:
        """Whoever waits for it gets an error."""
        self._ended = True
        self._answering.set()
        self._thread.join()
        os.close(self._device)

    def _serve(self) -> None:
        while not self._ended:
            self._answering.wait()
            if not select.select([self._device], [], [], 0.05)[0] or not self._answering.is_set():
                continue
            try:
                request = os.read(self._device, 1 << 20)
            except OSError:  # unmounted
                return
            _length, code, unique, *_ = _IN.unpack_from(request)
            if code not in _FORGETS:
                error, body = _answer(code, request[_IN.size :])
                with contextlib.suppress(OSError):
                    os.write(self._device, struct.pack("=IiQ", 16 + len(body), -error, unique) + body)


def _answer(code: int, body: bytes) -> tuple[int, bytes]:
    match code:
        case 26:  # INIT
            _major, minor, ahead = struct.unpack_from("=III", body)
            return 0, struct.pack("=IIIIHHIIHHI28x", 7, min(minor, 31), ahead, 0, 12, 9, 4096, 1, 1, 0, 0)
        case 3:  # GETATTR
            return 0, struct.pack("=QII", 0, 0, 0) + _DIRECTORY
        case 17:  # STATFS
            return 0, struct.pack("=5Q4I24x", 100, 100, 100, 100, 100, 4096, 255, 4096, 0)
        case 27:  # OPENDIR
            return 0, bytes(16)
        case 28 | 29:  # READDIR, RELEASEDIR
            return 0, b""
        case 1:  # LOOKUP
            return _ENOENT, b""
        case _:
            return _ENOSYS, b""


@contextlib.contextmanager
def frozen(target: Path) -> Iterator[Frozen]:
    made = Frozen(target)
    try:
        yield made
    finally:
        made.close()
