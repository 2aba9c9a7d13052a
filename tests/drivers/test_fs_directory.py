"""Cases of fs.directory."""

from reconciler.asks import Failed, File, FileSeen
from reconciler.model import State
from tests.drivers.table import Case

KIND = "fs.directory"
PATH = "/srv/shop"
ASK = File(PATH)
PLAIN = {"path": PATH}
OWNED = {"path": PATH, "user": "shop", "group": "33", "perm": "2750"}
MADE = f"install -d -o shop -g 33 -m 2750 {PATH}"


def seen(mode=0o755, user="root", group="root", uid=0, gid=0, kind="directory"):
    return FileSeen(kind, mode, user, group, uid=uid, gid=gid, real=PATH)


CASES = [
    Case("missing", PLAIN, {ASK: None}, State.DOWN, up=[f"mkdir -p {PATH}"], down=[], blocked="", notes=()),
    Case("missing, made with its owner", OWNED, {ASK: None}, State.DOWN, up=[MADE], down=[]),
    Case("there: nothing to start or stop", PLAIN, {ASK: seen()}, State.NA, up=[], down=[], standby=[]),
    Case(
        "as named, the group by number",
        OWNED,
        {ASK: seen(0o2750, "shop", "www-data", 1001, 33)},
        State.NA,
        up=[],
        down=[],
        notes=(),
        label=f"directory {PATH}",
    ),
    Case(
        "another owner: put right by a start",
        OWNED,
        {ASK: seen(0o2750, "root", "www-data", 0, 33)},
        State.DOWN,
        notes=("owner is root, not shop",),
        up=[MADE],
        down=[],
    ),
    Case("another group", OWNED, {ASK: seen(0o2750, "shop", "root")}, State.DOWN, notes=("group is root",)),
    Case(
        "another mode",
        OWNED,
        {ASK: seen(0o755, "shop", "www-data", 1001, 33)},
        State.DOWN,
        notes=("mode is 0755, not 2750",),
        up=[MADE],
    ),
    Case(
        "an owner without a name", {**PLAIN, "user": "4711"}, {ASK: seen(user="4711", uid=4711)}, State.NA
    ),
    Case("modes compare as numbers", {**PLAIN, "perm": "755"}, {ASK: seen()}, State.NA, notes=()),
    Case(
        "a file of that name",
        PLAIN,
        {ASK: seen(kind="file")},
        State.DOWN,
        blocked="/srv/shop is a file, not a directory",
        down=[],
    ),
    Case(
        "cannot look", PLAIN, {ASK: Failed("Permission denied")}, State.UNKNOWN, notes=("denied",), down=[]
    ),
    Case("written with a trailing slash", {"path": f"{PATH}/"}, {ASK: seen()}, State.NA),
    Case(
        "a reference without a value",
        {"path": "/srv/{disk#0.exposed_devs[0]}"},
        {File("/srv/{disk#0.exposed_devs[0]}"): None},
        State.DOWN,
        blocked="has no value yet",
        up=["mkdir -p '/srv/{disk#0.exposed_devs[0]}'"],
    ),
]
