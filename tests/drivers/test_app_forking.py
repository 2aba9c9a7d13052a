"""Cases of app.forking."""

from reconciler.asks import NOT_YET, Check, CheckResult, Failed, File, FileSeen, Memory
from reconciler.model import State
from tests.drivers.table import Case

KIND = "app.forking"
WEB = "/srv/app/web"
BASE = {
    "script_dir": "/etc/standfast/svc1.d",
    "shell": False,
    "retcodes": "0:up 1:down",
    "check_timeout": 30.0,
    "check_interval": 10.0,
    "timeout": 300.0,
    "info_timeout": 30.0,
}
PLAIN = {**BASE, "start": f"{WEB} start", "stop": f"{WEB} stop"}
CHECKED = {**PLAIN, "check": f"{WEB} status"}
THERE, GONE = {File(WEB): FileSeen("file", 0o755, "root", "root")}, {File(WEB): None}
START, STOP = f"{WEB} start", f"{WEB} stop"
HALF = "# remember started=half until reboot"
STARTED, STOPPED = "# remember started=1 until reboot", "# forget started"
STATUS = Check((WEB, "status"), timeout=30.0, every=10.0)


def remembered(value=None):
    return {Memory(): {"started": value} if value else {}, **THERE}


def said(code, output="", failures=0, check=STATUS, memory="1"):
    return {**remembered(memory), check: CheckResult(code, output, failures)}


CASES = [
    # --- without a check ---
    Case(
        "no check, not started",
        PLAIN,
        remembered(),
        State.DOWN,
        up=[HALF, START, STARTED],
        down=[],
        label="forking: web",
        notes=(),
        blocked="",
    ),
    Case(
        "no check, started",
        PLAIN,
        remembered("1"),
        State.UP,
        up=[],
        standby=[],
        down=[HALF, STOP, STOPPED],
        notes=(),
    ),
    Case(
        "no check, a start or stop broke off: stopped before it is started again",
        PLAIN,
        remembered("half"),
        State.WARN,
        up=[STOP, START, STARTED],
        down=[STOP, STOPPED],
        notes=("did not come to its end",),
    ),
    Case(
        "neither check nor stop: forgotten is all there is to a stop",
        {**BASE, "start": START},
        remembered("1"),
        State.UP,
        up=[],
        down=[STOPPED],
        notes=(),
    ),
    Case(
        "only something to be done at a stop",
        {**BASE, "stop": STOP},
        {Memory(): {}},
        State.DOWN,
        up=[STARTED],
        down=[],
    ),
    Case(
        "nothing given",
        BASE,
        {Memory(): {}},
        State.NA,
        up=[],
        down=[],
        notes=("none of start, stop and check",),
    ),
    Case(
        "cannot read what is remembered", PLAIN, {Memory(): Failed("store is away"), **THERE}, State.UNKNOWN
    ),
    Case(
        "the launcher is missing",
        PLAIN,
        {**remembered(), **GONE},
        State.DOWN,
        down=[],
        blocked=f"{WEB} does not exist",
    ),
    Case(
        "the launcher is not executable",
        PLAIN,
        {**remembered(), File(WEB): FileSeen("file", 0o644, "root", "root")},
        State.DOWN,
        blocked=f"{WEB} is not executable: chmod +x {WEB}",
    ),
    Case(
        "the launcher is a directory",
        PLAIN,
        {**remembered(), File(WEB): FileSeen("directory", 0o755, "root", "root")},
        State.DOWN,
        blocked=f"{WEB} is a directory, not a program",
    ),
    Case(
        "the launcher is on a device that is not known yet",
        {**BASE, "start": "{disk#0.exposed_devs[0]}/web start"},
        {Memory(): {}},
        State.DOWN,
        up=[HALF, "'{disk#0.exposed_devs[0]}/web' start", STARTED],
        blocked="",
    ),
    # --- with a check ---
    Case("check says up", CHECKED, said(0, "all fine"), State.UP, up=[], down=[STOP, STOPPED], notes=()),
    Case(
        "check says up, not started by us",
        CHECKED,
        said(0, memory=None),
        State.UP,
        up=[],
        down=[STOP, STOPPED],
    ),
    Case(
        "check says down", CHECKED, said(1), State.DOWN, up=[START, STARTED], down=[], notes=(), blocked=""
    ),
    Case(
        "check says anything else: stop, then start",
        CHECKED,
        said(3, "worker 2 is gone\n"),
        State.WARN,
        up=[STOP, START, STARTED],
        down=[STOP, STOPPED],
        notes=("the check exited with code 3: worker 2 is gone",),
    ),
    Case(
        "retcodes of one's own",
        {**CHECKED, "retcodes": "0:down 4:up 5:warn"},
        said(4),
        State.UP,
        up=[],
        down=[STOP, STOPPED],
    ),
    Case(
        "a code that means nothing to do",
        {**CHECKED, "retcodes": "0:up 2:n/a"},
        said(2),
        State.NA,
        up=[],
        down=[],
    ),
    Case(
        "no check can be run at all",
        CHECKED,
        {**remembered(), STATUS: Failed("cannot fork")},
        State.UNKNOWN,
    ),
    Case(
        "the check hangs: it has not said that the app is down",
        CHECKED,
        said(None),
        State.UNKNOWN,
        down=[STOP, STOPPED],
        notes=("did not end in time",),
    ),
    Case("the check hangs on", CHECKED, said(None, failures=4), State.UNKNOWN, notes=("4 times in a row",)),
    Case("the check was killed", CHECKED, said(-9), State.UNKNOWN, notes=("killed by signal 9",)),
    Case(
        "the check could not be run",
        CHECKED,
        said(127, "sh: curl: not found"),
        State.UNKNOWN,
        notes=("could not be run (exit code 127: sh: curl: not found)",),
    ),
    Case(
        "the check's own 127",
        {**CHECKED, "retcodes": "0:up 127:down"},
        said(127),
        State.DOWN,
        up=[START, STARTED],
    ),
    Case(
        "the check is missing, and the app was not started: its filesystem is not mounted",
        CHECKED,
        {**remembered(), **GONE},
        State.DOWN,
        up=[START, STARTED],
        down=[],
        blocked=f"{WEB} does not exist",
    ),
    Case(
        "the check is missing, and the app was started: nothing says that it ended",
        CHECKED,
        {**remembered("1"), **GONE},
        State.UNKNOWN,
        down=[STOP, STOPPED],
        notes=(f"{WEB} does not exist",),
    ),
    Case(
        "down, and nothing starts it",
        {**BASE, "check": f"{WEB} status"},
        said(1, memory=None),
        State.DOWN,
        down=[],
        blocked="no start command is given",
    ),
    Case(
        "up, and nothing stops it",
        {**BASE, "start": START, "check": f"{WEB} status"},
        said(0),
        State.UP,
        down=[STOPPED],
        notes=("no stop command is given",),
    ),
    # --- how commands are written ---
    Case(
        "a script in the service's own directory",
        {**BASE, "script": "web", "start": True, "stop": "true", "check": True},
        {
            Memory(): {},
            File("/etc/standfast/svc1.d/web"): FileSeen("file", 0o755, "root", "root"),
            Check(("/etc/standfast/svc1.d/web", "check"), timeout=30.0, every=10.0): CheckResult(3),
        },
        State.WARN,
        up=["/etc/standfast/svc1.d/web stop", "/etc/standfast/svc1.d/web start", STARTED],
        label="forking: web",
    ),
    Case(
        "false is nothing to run",
        {**BASE, "script": WEB, "start": True, "stop": False, "check": False},
        remembered("1"),
        State.UP,
        down=[STOPPED],
    ),
    Case(
        "true without a script: which command is meant cannot be known",
        {**BASE, "start": START, "stop": True, "check": True},
        remembered("1"),
        State.UNKNOWN,
        notes=("stop, check: true needs a script",),
    ),
    Case(
        "the program of that name",
        {**BASE, "start": "true", "check": "false"},
        {Memory(): {}, Check(("false",), timeout=30.0, every=10.0): CheckResult(1)},
        State.DOWN,
        up=["true", STARTED],
    ),
    Case(
        "by a shell, as one string",
        {**BASE, "shell": True, "start": "cd /srv && ./web &", "check": "pgrep -f web | grep -q ."},
        {
            Memory(): {},
            Check(("pgrep -f web | grep -q .",), timeout=30.0, every=10.0, shell=True): CheckResult(1),
        },
        State.DOWN,
        up=["cd /srv && ./web &", STARTED],
        label="forking: cd",
    ),
    Case(
        "an open quote is no program's name",
        {**BASE, "start": "/srv/web 'start"},
        {Memory(): {}, File("/srv/web 'start"): None},
        State.DOWN,
        blocked="does not exist",
    ),
    Case(
        "who runs it reaches the check too",
        {
            **CHECKED,
            "user": "www",
            "umask": "027",
            "environment": {"PORT": 8080},
            "limit_nofile": 1024,
            "limit_cpu": 1.5,
        },
        said(
            0,
            check=Check(
                (WEB, "status"),
                user="www",
                umask="027",
                env=(("PORT", "8080"),),
                limits=(("nofile", "1024"), ("cpu", "2")),
                timeout=30.0,
                every=10.0,
            ),
        ),
        State.UP,
    ),
    Case(
        "info is for people",
        {**CHECKED, "info": f"{WEB} info"},
        {
            **said(0),
            Check((WEB, "info"), timeout=30.0, every=600.0): CheckResult(
                0, "version: 1.2\nnoise\nport: 80\n"
            ),
        },
        State.UP,
        notes=(),
        exposes={"info": ("version: 1.2", "port: 80")},
    ),
    Case(
        "info without an answer changes nothing",
        {**CHECKED, "info": f"{WEB} info"},
        {**said(0), Check((WEB, "info"), timeout=30.0, every=600.0): NOT_YET},
        State.UP,
        exposes={"info": ()},
    ),
]
