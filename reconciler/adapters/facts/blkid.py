"""An open device → the signature it carries, by libblkid's low-level probe, as `blkid -p` does it.

In this process: starting a program for it took three times as long as the rest of a mount.
"""

import ctypes
import os
from functools import lru_cache

from reconciler.asks import Signature
from reconciler.errors import MayHeal

LIBRARY = "libblkid.so.1"
_LABEL, _UUID, _TYPE, _USAGE = 1 << 1, 1 << 3, 1 << 5, 1 << 7  # BLKID_SUBLKS_…
_FOUND, _NOTHING, _SEVERAL = 0, 1, -2  # of blkid_do_safeprobe


def probe(file: int, path: str) -> Signature:
    """`path` is for messages. Raises MayHeal when the library is missing or cannot read the device."""
    library = _library()
    it = library.blkid_new_probe()
    if not it:
        raise MemoryError(f"no memory to probe {path}")
    try:
        if library.blkid_probe_set_device(it, file, 0, 0):
            raise MayHeal(f"{path} cannot be probed: {os.strerror(ctypes.get_errno())}")
        library.blkid_probe_enable_superblocks(it, 1)
        library.blkid_probe_set_superblocks_flags(it, _LABEL | _UUID | _TYPE | _USAGE)
        library.blkid_probe_enable_partitions(it, 1)
        match library.blkid_do_safeprobe(it):
            case code if code == _FOUND:
                return _signature(library, it)
            case code if code == _NOTHING:
                return Signature()
            case code if code == _SEVERAL:
                return Signature("several")
        raise MayHeal(f"{path} cannot be probed: {os.strerror(ctypes.get_errno())}")
    finally:
        library.blkid_free_probe(it)


def _signature(library: ctypes.CDLL, it: int) -> Signature:
    table, kind = _value(library, it, b"PTTYPE"), _value(library, it, b"TYPE")
    return Signature(
        kind or table,
        _value(library, it, b"USAGE") or ("partitions" if table else ""),
        _value(library, it, b"LABEL"),
        _value(library, it, b"UUID") or _value(library, it, b"PTUUID"),
    )


def _value(library: ctypes.CDLL, it: int, name: bytes) -> str:
    data, length = ctypes.c_char_p(), ctypes.c_size_t()
    if library.blkid_probe_lookup_value(it, name, ctypes.byref(data), ctypes.byref(length)):
        return ""
    return (data.value or b"").decode(errors="replace")


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    """mount(8) needs it too, so it is on every host that has filesystems."""
    try:
        library = ctypes.CDLL(LIBRARY, use_errno=True)
    except OSError:
        raise MayHeal(f"{LIBRARY} is not installed: apt install libblkid1") from None
    library.blkid_new_probe.restype = ctypes.c_void_p
    for name in ("free_probe", "do_safeprobe"):
        getattr(library, f"blkid_{name}").argtypes = [ctypes.c_void_p]
    for name in ("enable_superblocks", "set_superblocks_flags", "enable_partitions"):
        getattr(library, f"blkid_probe_{name}").argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.blkid_probe_set_device.argtypes = [ctypes.c_void_p, ctypes.c_int, *[ctypes.c_int64] * 2]
    library.blkid_probe_lookup_value.argtypes = [ctypes.c_void_p, ctypes.c_char_p, *[ctypes.c_void_p] * 2]
    return library
