"""Questions a driver needs answered about the host, and the values that answer them.

An ask is hashable and typed by its answer: `Facts.of(Links())` is a mapping of links. Equal asks
of all services are answered once. A *relative* ask means the resource that asks (its memory, its
program) and is answered for that one alone. A *costly* one is answered only when `observe` reads
it, never ahead.
"""

from reconciler.asks.ask import NOT_YET, Ask, Facts, Failed, NotYet, Unanswered
from reconciler.asks.network import Address, Addresses, AddressHeld, Link, Links, Name, Route, Routes
from reconciler.asks.programs import Check, CheckResult, Memory, Node, NodeSeen, Program, ProgramSeen
from reconciler.asks.storage import (
    Block,
    BlockDevice,
    File,
    FileSeen,
    LogicalVolume,
    Loop,
    Loops,
    Lvm,
    LvmReport,
    Mount,
    MountHealth,
    Mounts,
    Signature,
    Signatures,
    VolumeGroup,
)

__all__ = [
    "NOT_YET",
    "Address",
    "AddressHeld",
    "Addresses",
    "Ask",
    "Block",
    "BlockDevice",
    "Check",
    "CheckResult",
    "Facts",
    "Failed",
    "File",
    "FileSeen",
    "Link",
    "Links",
    "LogicalVolume",
    "Loop",
    "Loops",
    "Lvm",
    "LvmReport",
    "Memory",
    "Mount",
    "MountHealth",
    "Mounts",
    "Name",
    "Node",
    "NodeSeen",
    "NotYet",
    "Program",
    "ProgramSeen",
    "Route",
    "Routes",
    "Signature",
    "Signatures",
    "Unanswered",
    "VolumeGroup",
]
