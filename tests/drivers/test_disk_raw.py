"""Cases of disk.raw."""

from reconciler.asks import Block, BlockDevice, Failed
from reconciler.model import State
from tests.drivers.table import Case

KIND = "disk.raw"
SDB, SDC = BlockDevice("/dev/sdb"), BlockDevice("/dev/sdc")
ONE, TWO = {"devs": ("/dev/sdb",)}, {"devs": ("/dev/sdb", "/dev/sdc")}
LABEL = {"devs": ("LABEL=data",)}
LATE = "{disk#0.exposed_devs[0]}"


def block(path, number, readonly=False):
    return Block(path, number, 1 << 30, readonly)


CASES = [
    Case(
        "there: nothing to start, nothing to stop",
        ONE,
        {SDB: block("/dev/sdb", "8:16")},
        State.NA,
        up=[],
        down=[],
        standby=[],
        label="raw /dev/sdb",
        notes=(),
        blocked="",
        exposes={"exposed_devs": ("/dev/sdb",)},
    ),
    Case(
        "all of several are there",
        TWO,
        {SDB: block("/dev/sdb", "8:16"), SDC: block("/dev/sdc", "8:32")},
        State.NA,
        label="raw /dev/sdb /dev/sdc",
        exposes={"exposed_devs": ("/dev/sdb", "/dev/sdc")},
    ),
    Case(
        "vanished",
        ONE,
        {SDB: None},
        State.DOWN,
        down=[],
        blocked="device /dev/sdb does not exist",
    ),
    Case(
        "one of two vanished",
        TWO,
        {SDB: block("/dev/sdb", "8:16"), SDC: None},
        State.DOWN,
        down=[],
        blocked="device /dev/sdc does not exist",
    ),
    Case("both vanished", TWO, {SDB: None, SDC: None}, State.DOWN, blocked="/dev/sdb, /dev/sdc does not"),
    Case(
        "by label: what refers to it gets the path",
        LABEL,
        {BlockDevice("LABEL=data"): block("/dev/vdb", "254:16")},
        State.NA,
        exposes={"exposed_devs": ("/dev/vdb",)},
    ),
    Case(
        "a stable name is handed on as written",
        {"devs": ("/dev/disk/by-id/wwn-1",)},
        {BlockDevice("/dev/disk/by-id/wwn-1"): block("/dev/sdq", "65:0")},
        State.NA,
        exposes={"exposed_devs": ("/dev/disk/by-id/wwn-1",)},
    ),
    Case(
        "write protected",
        ONE,
        {SDB: block("/dev/sdb", "8:16", readonly=True)},
        State.NA,
        notes=("/dev/sdb is read-only",),
    ),
    Case(
        "not known yet",
        {"devs": (LATE,)},
        {BlockDevice(LATE): None},
        State.DOWN,
        down=[],
        label=f"raw {LATE}",
        blocked="does not exist",
    ),
    Case(
        "cannot look", ONE, {SDB: Failed("I/O error")}, State.UNKNOWN, up=[], down=[], notes=("I/O error",)
    ),
    Case(
        "cannot look at one of two",
        TWO,
        {SDB: block("/dev/sdb", "8:16"), SDC: Failed("no answer within 5 s")},
        State.UNKNOWN,
        notes=("no answer within 5 s",),
    ),
]
