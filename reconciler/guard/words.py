"""The guard's own words: what it hears (events), what it does (actions), what it remembers (records)."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from reconciler.guard.lines import Line


class Phase(StrEnum):
    """idle      nothing exclusive is listed and no session is open.
    held      a session is open and its deadline lies ahead.
    found     lines of an earlier guard, and no deadline yet.
    killing   the session is over: the agent and what it had in flight are being ended.
    stopping  they are gone; what is listed is being stopped.
    """

    IDLE = "idle"
    HELD = "held"
    FOUND = "found"
    KILLING = "killing"
    STOPPING = "stopping"


class Peer(NamedTuple):
    """A process for ever, this boot."""

    pid: int
    start_time: int


class Terms(NamedTuple):
    """watchdog  [W] seconds as granted. margin  [m] of them, kept free of the stop."""

    watchdog: float
    margin: float


class Session(NamedTuple):
    """What a guard must know to end it.

    operations  control group with one group for each operation in flight; "" where there are none.
    notes       directory with a file for each command in flight, named by its pid, START_TIME first.
    real        a watchdog was armed for it: going on without one would be less than was promised.
    """

    epoch: int
    agent: Peer
    operations: str
    notes: str
    terms: Terms
    real: bool = False


# --- events --------------------------------------------------------------------------------


class Tick(NamedTuple):
    """Time passed."""


class Request(NamedTuple):
    """Something that a process beyond the socket asks for."""

    connection: int
    peer: Peer
    id: int
    do: str
    words: Mapping[str, Any]


class Gone(NamedTuple):
    """A process has no connection any more."""

    peer: Peer


class Armed(NamedTuple):
    """The watchdog's answer. `why` it could not be armed, "" when it is; then `granted` seconds.

    real    there is a device that resets; without one the same seconds bound the guard's stop.
    closes  it can be disarmed again.
    """

    request: Request | None
    granted: float = 0.0
    real: bool = False
    closes: bool = True
    why: str = ""


class Unwritten(NamedTuple):
    """A record could not be written; nothing that was to follow it was done."""

    request: Request
    record: Mapping[str, Any]
    why: str


class Killed(NamedTuple):
    """`left`: who is still there of the agent and its operations, "" for nobody."""

    left: str


class Stopped(NamedTuple):
    """`left`: why the thing of this line is not seen gone, "" when it is."""

    number: int
    left: str


class Terminate(NamedTuple):
    """The system asks the guard itself to end (SIGTERM)."""


Event = Tick | Request | Gone | Armed | Unwritten | Killed | Stopped | Terminate


# --- actions -------------------------------------------------------------------------------


class Pet(NamedTuple):
    pass


class Arm(NamedTuple):
    """Pet it for the first time, too. `request` waits for what is granted."""

    seconds: float
    request: Request | None = None


class Disarm(NamedTuple):
    pass


class Write(NamedTuple):
    """Append a record to the ledger; `request` is told if that fails, and what follows is not done."""

    record: Mapping[str, Any]
    request: Request | None = None


class Keep(NamedTuple):
    """Note the deadline where a guard after this one finds it."""

    deadline: float


class Reply(NamedTuple):
    connection: int
    id: int
    words: Mapping[str, Any]
    why: str = ""  # it was refused


class Kill(NamedTuple):
    """End the agent and all operations in flight; trying may go on until `by`."""

    session: Session | None
    by: float


class Stop(NamedTuple):
    """Undo one line and see it gone, until `by`. `late`: time is over, anything helps."""

    number: int
    line: Line
    by: float
    late: bool


class Sysrq(NamedTuple):
    """Reset the machine now."""


class Say(NamedTuple):
    text: str
    loud: bool = False  # to the kernel's log as well: it may be the last word


class End(NamedTuple):
    """The guard itself ends."""


Action = Pet | Arm | Disarm | Write | Keep | Reply | Kill | Stop | Sysrq | Say | End
