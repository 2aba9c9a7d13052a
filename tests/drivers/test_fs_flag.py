"""Cases of fs.flag."""

from reconciler.asks import Failed, File, FileSeen
from reconciler.model import State
from tests.drivers.table import Case

KIND = "fs.flag"
SPEC = {"path": "/run/x/flag"}
ASK = File("/run/x/flag")

CASES = [
    Case("missing", SPEC, {ASK: None}, State.DOWN, up=["touch /run/x/flag"], down=[], notes=()),
    Case(
        "there",
        SPEC,
        {ASK: FileSeen("file", 0o644, "root", "root")},
        State.UP,
        up=[],
        down=["rm -f /run/x/flag"],
        label="flag /run/x/flag",
    ),
    Case(
        "a directory of that name",
        SPEC,
        {ASK: FileSeen("directory", 0o755, "root", "root")},
        State.DOWN,
        blocked="is a directory, not a file",
        down=[],
    ),
    Case(
        "cannot look", SPEC, {ASK: Failed("Permission denied")}, State.UNKNOWN, notes=("Permission denied",)
    ),
]
