"""Cases of app.simple."""

from reconciler.asks import Check, CheckResult, Failed, File, FileSeen, Program, ProgramSeen
from reconciler.model import State
from tests.drivers.table import Case

KIND = "app.simple"
BIN = "/usr/bin/webd"
SPEC = {
    "start": f"{BIN} --port 80",
    "shell": False,
    "stop_signal": "TERM",
    "stop_timeout": 5.0,
    "start_grace": 0.0,
    "retcodes": "0:up",
    "check_timeout": 30.0,
    "check_interval": 10.0,
}
ASK = File(BIN)
THERE = {ASK: FileSeen("file", 0o755, "root", "root")}
CHECKED = {**SPEC, "check": "curl -sf localhost"}
CHECK = Check(("curl", "-sf", "localhost"), timeout=30.0, every=10.0)
SPAWN, KILL = f"{BIN} --port 80 &", "kill -TERM -- -4711"


def program(running=True, **more):
    return {Program(): ProgramSeen(4711, 99, running, **more), **THERE}


CASES = [
    Case(
        "never started",
        SPEC,
        {Program(): None, **THERE},
        State.DOWN,
        up=[SPAWN],
        standby=[SPAWN],
        down=[],
        label="simple: webd",
        notes=(),
        blocked="",
    ),
    Case("runs", SPEC, program(), State.UP, up=[], standby=[], down=[KILL], notes=()),
    Case(
        "runs since an earlier agent", SPEC, program(adopted=True), State.UP, up=[], down=[KILL], notes=()
    ),
    Case("runs with children", SPEC, program(leftovers=3), State.UP, up=[], down=[KILL], notes=()),
    Case(
        "exited",
        SPEC,
        program(False, code=3),
        State.DOWN,
        up=[SPAWN],
        down=[],
        notes=("process 4711 exited with code 3",),
    ),
    Case(
        "exited with 0: a program that stays does not",
        SPEC,
        program(False, code=0),
        State.DOWN,
        up=[SPAWN],
        down=[],
    ),
    Case(
        "killed",
        SPEC,
        program(False, code=-9),
        State.DOWN,
        up=[SPAWN],
        down=[],
        notes=("killed by signal 9",),
    ),
    Case(
        "adopted, then ended",
        SPEC,
        program(False, adopted=True),
        State.DOWN,
        up=[SPAWN],
        notes=("its exit code is not known",),
    ),
    Case(
        "forked away: ended whole before another starts",
        SPEC,
        program(False, code=0, leftovers=2),
        State.WARN,
        up=[KILL, SPAWN],
        down=[KILL],
        notes=("exited with code 0", "2 processes it started still run"),
    ),
    Case(
        "killed, and a child of it lives on",
        SPEC,
        program(False, code=-9, leftovers=1),
        State.WARN,
        up=[KILL, SPAWN],
        down=[KILL],
        notes=("killed by signal 9", "one process it started still run"),
    ),
    Case(
        "the program is missing",
        SPEC,
        {Program(): None, ASK: None},
        State.DOWN,
        down=[],
        blocked=f"{BIN} does not exist",
    ),
    Case(
        "the program is not executable",
        SPEC,
        {Program(): None, ASK: FileSeen("file", 0o644, "root", "root")},
        State.DOWN,
        blocked=f"{BIN} is not executable: chmod +x {BIN}",
    ),
    Case(
        "it runs from a file that is gone",
        SPEC,
        {**program(), ASK: None},
        State.UP,
        up=[],
        down=[KILL],
        blocked="",
    ),
    Case(
        "cannot look for the program",
        SPEC,
        {Program(): Failed("/proc: gone"), **THERE},
        State.UNKNOWN,
        down=[],
    ),
    Case(
        "found by its name alone: the PATH is the agent's affair",
        {**SPEC, "start": "webd"},
        {Program(): None},
        State.DOWN,
        up=["webd &"],
        blocked="",
    ),
    Case(
        "a word that is not known yet",
        {**SPEC, "start": "{disk#0.exposed_devs[0]}/webd"},
        {Program(): None},
        State.DOWN,
        up=["'{disk#0.exposed_devs[0]}/webd' &"],
        blocked="",
    ),
    Case(
        "by a shell, as one string",
        {**SPEC, "start": "exec webd > /dev/null", "shell": True},
        {Program(): None},
        State.DOWN,
        up=["exec webd > /dev/null &"],
        label="simple: exec",
    ),
    Case(
        "with another signal",
        {**SPEC, "stop_signal": "QUIT", "stop_timeout": 90.0},
        program(),
        State.UP,
        down=["kill -QUIT -- -4711"],
    ),
    # --- with a check ---
    Case(
        "runs and is well",
        CHECKED,
        {**program(), CHECK: CheckResult(0)},
        State.UP,
        up=[],
        down=[KILL],
        notes=(),
    ),
    Case(
        "runs but is not well",
        CHECKED,
        {**program(), CHECK: CheckResult(22, "HTTP 500")},
        State.WARN,
        up=[KILL, SPAWN],
        down=[KILL],
        notes=("the check exited with code 22: HTTP 500",),
    ),
    Case(
        "runs, and its check says down: it runs all the same",
        {**CHECKED, "retcodes": "0:up 1:down"},
        {**program(), CHECK: CheckResult(1)},
        State.WARN,
        up=[KILL, SPAWN],
        notes=("it runs, but the check says down",),
    ),
    Case(
        "runs, and its check hangs: unknown, but it can be stopped",
        CHECKED,
        {**program(), CHECK: CheckResult(None, failures=2)},
        State.UNKNOWN,
        down=[KILL],
        notes=("did not end in time, 2 times in a row",),
    ),
    Case(
        "the check of that name",
        {**SPEC, "check": "true"},
        {**program(), Check(("true",), timeout=30.0, every=10.0): CheckResult(0)},
        State.UP,
    ),
    Case(
        "does not run: its check is not asked",
        CHECKED,
        {**program(False, code=1), CHECK: Failed("must not be read")},
        State.DOWN,
        up=[SPAWN],
    ),
]
