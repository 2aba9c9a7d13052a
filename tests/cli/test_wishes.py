"""start, stop, freeze and the like: what reaches the agent, and how their end is awaited."""

import json
import time
from typing import Any

import pytest

from reconciler.cli import output, wait
from reconciler.errors import NeedsPerson
from tests.api.fake import condition, service
from tests.cli.conftest import Command, Running

PLAIN = {
    "reason": "",
    "rids": [],
    "upto": "",
    "downto": "",
    "for": None,
    "force": False,
    "local": False,
    "to": "",
    "scope": "node",
    "until_reboot": False,
}

ASKED: list[Any] = [
    pytest.param(["start", "svc1"], {"verb": "start"}, id="start"),
    pytest.param(
        ["stop", "svc1", "--reason", "disk swap"], {"verb": "stop", "reason": "disk swap"}, id="why"
    ),
    pytest.param(["start", "svc1", "--for", "2h"], {"verb": "start", "for": 7200.0}, id="for two hours"),
    pytest.param(
        ["stop", "svc1", "--rid", "fs#app,app#web", "--rid", "ip#0"],
        {"verb": "stop", "rids": ["fs#app", "app#web", "ip#0"]},
        id="parts",
    ),
    pytest.param(["start", "svc1", "--upto", "disk"], {"verb": "start", "upto": "disk"}, id="up to"),
    pytest.param(["stop", "svc1", "--downto", "fs"], {"verb": "stop", "downto": "fs"}, id="down to"),
    pytest.param(["start", "svc1", "--local"], {"verb": "start", "local": True}, id="here alone"),
    pytest.param(["stop", "svc1", "--force"], {"verb": "stop", "force": True}, id="by force"),
    pytest.param(["restart", "svc1"], {"verb": "restart"}, id="restart"),
    pytest.param(["provision", "svc1"], {"verb": "provision"}, id="provision"),
    pytest.param(["unprovision", "svc1", "--yes"], {"verb": "unprovision"}, id="unprovision"),
    pytest.param(["clear", "svc1"], {"verb": "clear"}, id="clear"),
    pytest.param(["freeze", "svc1", "--for", "1h"], {"verb": "freeze", "for": 3600.0}, id="freeze"),
    pytest.param(["thaw", "svc1"], {"verb": "thaw"}, id="thaw"),
    pytest.param(["switch", "svc1"], {"verb": "switch"}, id="switch"),
    pytest.param(["switch", "svc1", "--to", "n2"], {"verb": "switch", "to": "n2"}, id="switch to"),
    pytest.param(["takeover", "svc1"], {"verb": "takeover"}, id="takeover"),
    pytest.param(["giveback", "svc1"], {"verb": "giveback"}, id="giveback"),
]


@pytest.mark.parametrize(("words", "wish"), ASKED)
def test_asks_for(standfast: Command, running: Running, words: list[str], wish: dict[str, Any]) -> None:
    assert standfast(*words) == 0, standfast.err
    assert [(key, asked) for key, asked, _ in running.agent.asked] == [("root/svc1", {**PLAIN, **wish})]
    assert standfast.out.startswith("svc1: ")


def test_a_glob_asks_of_all_that_it_means(standfast: Command, running: Running) -> None:
    assert standfast("stop", "prod/*") == 0
    assert [key for key, _, _ in running.agent.asked] == ["prod/web", "prod/web2"]
    assert standfast.out == "prod/web: down\nprod/web2: down\n"


def test_a_drain_may_end_with_the_next_boot(standfast: Command, running: Running) -> None:
    assert standfast("drain", "--no-wait") == 0
    assert standfast("drain", "--until-reboot", "--no-wait") == 0
    assert [(key, wish["verb"], wish["until_reboot"]) for key, wish, _ in running.agent.asked] == [
        ("", "drain", False),
        ("", "drain", True),
    ]


@pytest.mark.parametrize("verb", ["freeze", "thaw"])
def test_the_whole_host(standfast: Command, running: Running, verb: str) -> None:
    assert standfast(verb, "--node", "--reason", "move") == 0
    assert [(key, wish["verb"], wish["reason"]) for key, wish, _ in running.agent.asked] == [
        ("", verb, "move")
    ]
    assert standfast(verb) == 2
    assert standfast(verb, "--node", "svc1") == 2


def test_a_host_is_frozen_when_nothing_runs_any_more(standfast: Command, running: Running) -> None:
    agent = running.agent
    agent.holds = True
    frozen = {"scope": "node", "who": "alice", "since": 0.0, "reason": "", "until": None}
    for key in agent.objects:
        running.later(0.1, lambda key=key: agent.change(key, frozen=frozen))  # type: ignore[misc]
    running.do(agent.change, "root/svc1", **busy())
    assert standfast("freeze", "--node", "--time", "1s") == 1
    assert "svc1: freeze not done within 1 s" in standfast.err
    running.later(0.2, lambda: agent.become("root/svc1", "up", frozen=frozen))
    assert standfast("freeze", "--node", "--time", "5s") == 0
    assert sorted(standfast.out.splitlines()) == sorted(
        f"{key.removeprefix('root/')}: frozen" for key in agent.objects
    )
    running.later(0.2, lambda: [agent.change(key, frozen=None) for key in agent.objects])
    assert standfast("thaw", "--node", "--no-wait") == 0
    assert standfast.out == "node: thaw asked\n"
    assert standfast("thaw", "--node", "--time", "5s") == 0
    assert "svc1: thawed\n" in standfast.out


def test_of_a_group_the_agent_says_when_it_is_done(standfast: Command, running: Running) -> None:
    """No resource is called `fs`: that none of that name is up says nothing."""
    running.agent.holds = True
    assert standfast("stop", "svc1", "--rid", "fs", "--time", "500ms") == 1
    assert "stop not done within 0.5 s" in standfast.err


def test_without_waiting_it_returns_at_once(standfast: Command, running: Running) -> None:
    running.agent.holds = True
    assert standfast("stop", "svc1", "--no-wait") == 0
    assert standfast.out == "svc1: stop asked\n"
    assert standfast("stop", "svc1", "--no-wait", "-o", "json") == 0
    assert '"service": "root/svc1"' in standfast.out


def test_a_refusal_is_told_in_one_line_and_has_its_code(standfast: Command, running: Running) -> None:
    running.agent.fails = NeedsPerson("git says stopped (svc1.yaml:7)", "`start --for 2h` overrides it")
    # The list is read first; only the wish is refused.
    running.agent.services = lambda: [running.agent.objects["root/svc1"]]  # type: ignore[method-assign]
    assert standfast("start", "svc1") == 4
    assert standfast.err == "standfast: git says stopped (svc1.yaml:7): `start --for 2h` overrides it\n"


# --- waiting -------------------------------------------------------------------------------------


def busy(avail: str = "down") -> dict[str, Any]:
    """The status of a service that is on its way up."""
    status: dict[str, Any] = service("svc1", avail=avail)["status"]
    first = status["instances"]["demo1"]["resources"]["ip#0"]
    first.update(running=True)
    return {"instances": status["instances"]}


def test_waits_until_it_is_up(standfast: Command, running: Running) -> None:
    """Also over changes on the way, and over a restart of the agent."""
    agent = running.agent
    agent.holds = True
    running.do(agent.become, "root/svc1", "down")
    running.later(0.2, lambda: agent.change("root/svc1", goal="up", **busy()))
    running.later(0.4, lambda: agent.become("root/svc1", "up"))
    before = time.monotonic()
    assert standfast("start", "svc1") == 0
    assert time.monotonic() - before >= 0.35
    assert standfast.out == "svc1: up\n"


def test_an_agent_that_restarts_meanwhile_is_waited_for(standfast: Command, running: Running) -> None:
    import threading

    agent = running.agent
    agent.holds = True
    running.do(agent.become, "root/svc1", "down")

    def restart() -> None:
        running.end()
        running.do(agent.become, "root/svc1", "up")
        running.begin()

    timer = threading.Timer(0.3, restart)
    timer.start()
    assert standfast("start", "svc1") == 0
    timer.join()
    assert standfast.out == "svc1: up\n"


def ended(state: str, message: str = "") -> dict[str, Any]:
    wish = {"id": "1", "verb": "restart", "who": "root", "since": 0.0, "reason": "", "deadline": None}
    return {"wish": {**wish, "rids": [], "state": state, "message": message}}


ENDS: list[Any] = [
    pytest.param("restart", {"wish": None}, 0, "svc1: up", id="a one-off wish that is gone is fulfilled"),
    pytest.param("restart", ended("fulfilled"), 0, "svc1: up", id="fulfilled"),
    pytest.param("restart", ended("refused", "in use"), 4, "svc1: in use", id="refused"),
    pytest.param("restart", ended("expired"), 1, "svc1: expired", id="expired"),
    pytest.param("restart", ended("failed", "fsck"), 1, "svc1: fsck", id="failed"),
    pytest.param(
        "start",
        {"wish": {**ended("pending")["wish"], "id": "9", "verb": "stop", "who": "bob"}},
        1,
        "svc1: replaced: bob asked for stop",
        id="replaced by somebody else",
    ),
    pytest.param(
        "restart",
        {"wish": {**ended("pending")["wish"], "id": "9", "verb": "stop", "who": "bob"}},
        1,
        "svc1: replaced: bob asked for stop",
        id="a one-off wish that a stop has replaced",
    ),
    pytest.param(
        "restart",
        {"conditions": [condition("Stalled", "True", "BudgetSpent", "app#web is down")]},
        1,
        "svc1: restart stalled: BudgetSpent: app#web is down (`standfast why svc1`)",
        id="stalled",
    ),
]


@pytest.mark.parametrize(("verb", "change", "code", "says"), ENDS)
def test_how_a_wish_ends(
    standfast: Command,
    running: Running,
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
    change: dict[str, Any],
    code: int,
    says: str,
) -> None:
    monkeypatch.setattr(wait, "GRACE", 0.1)
    monkeypatch.setattr(wait, "TICK", 0.1)
    agent = running.agent
    agent.holds = True
    if verb == "start":
        running.do(agent.become, "root/svc1", "down")
    running.later(0.2, lambda: agent.change("root/svc1", **change))
    assert standfast(verb, "svc1") == code
    assert standfast.out == says + "\n"


def test_a_service_that_was_purged_is_gone(standfast: Command, running: Running) -> None:
    assert standfast("purge", "svc1", "--yes") == 0
    assert standfast.out == "svc1: gone\n"


def test_gives_up_in_time(standfast: Command, running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wait, "TICK", 0.1)
    running.agent.holds = True
    assert standfast("stop", "svc1", "--time", "300ms") == 1
    assert "svc1: stop not done within 0.3 s: this goes on without you" in standfast.err


def test_the_end_can_be_had_as_json(standfast: Command, running: Running) -> None:
    assert standfast("stop", "prod/*", "-o", "json") == 0
    assert json.loads(standfast.out) == {
        "items": [
            {"service": "prod/web", "code": 0, "message": "down"},
            {"service": "prod/web2", "code": 0, "message": "down"},
        ]
    }


def test_the_worst_end_of_several_counts(standfast: Command, running: Running) -> None:
    agent = running.agent
    agent.holds = True
    running.later(0.1, lambda: agent.change("prod/web", **ended("refused", "no")))
    running.later(0.1, lambda: agent.change("prod/web2", wish=None))
    assert standfast("restart", "prod/*") == 4
    assert sorted(standfast.out.splitlines()) == ["prod/web2: down", "prod/web: no"]


def test_on_a_terminal_one_line_says_what_is_done_and_then_goes(
    standfast: Command, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    agent = running.agent
    agent.holds = True
    running.do(agent.become, "root/svc1", "down")
    status = busy()
    status["instances"]["demo1"]["resources"]["fs#app"]["waiting"] = "waits for ip#0"
    running.later(0.1, lambda: agent.change("root/svc1", goal="up", **status))
    running.later(0.4, lambda: agent.become("root/svc1", "up"))
    assert standfast("start", "svc1") == 0
    assert "svc1: ip#0 at work; fs#app waits for ip#0" in standfast.err
    assert standfast.err.endswith("\r\x1b[K"), "the line is gone in the end"


def test_without_a_terminal_there_is_no_such_line(standfast: Command, running: Running) -> None:
    running.later(0.2, lambda: running.agent.become("root/svc1", "down"))
    running.agent.holds = True
    running.do(running.agent.change, "root/svc1", **busy("up"))
    assert standfast("stop", "svc1", "--time", "5s") == 0
    assert standfast.err == ""


# --- by word -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "done"),
    [
        pytest.param("svc1", True, id="the name"),
        pytest.param("y", False, id="not the name"),
        pytest.param("", False, id="nothing"),
        pytest.param(None, False, id="nobody to ask"),
    ],
)
@pytest.mark.parametrize("verb", ["purge", "unprovision"])
def test_destroying_is_asked_for_by_word(
    standfast: Command,
    running: Running,
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
    typed: str | None,
    done: bool,
) -> None:
    if typed is not None:
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        monkeypatch.setattr("builtins.input", lambda question: typed)
    assert standfast(verb, "svc1") == (0 if done else 4)
    assert [wish["verb"] for _, wish, _ in running.agent.asked] == ([verb] if done else [])


def test_an_end_of_input_is_a_no(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(question: str) -> str:
        raise EOFError

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", nothing)
    assert output.confirmed("? ") is False


@pytest.mark.parametrize(
    ("claim", "code"),
    [
        pytest.param({"node": "demo1", "free": False}, 0, id="this node was quicker than who asked"),
        pytest.param({"node": "demo2", "free": False}, 4, id="another node was"),
        pytest.param({"node": "demo1", "free": True}, 4, id="it held it before"),
    ],
)
def test_a_takeover_that_came_about_by_itself_is_no_failure(
    standfast: Command, running: Running, monkeypatch: pytest.MonkeyPatch, claim: dict[str, Any], code: int
) -> None:
    """With the session of the dead node closed, its services are free for everybody at once."""

    async def refuse(*_: object) -> None:
        raise NeedsPerson("root/svc1: demo1 holds it already")

    monkeypatch.setattr(running.agent, "ask", refuse)
    claims = [{"slot": 0, "epoch": 3, **claim}]
    running.do(running.agent.become, "root/svc1", "up", claims=claims, node="demo1")
    assert standfast("takeover", "svc1", "--confirmed-off", "demo2", "--yes") == code
    assert [asked["verb"] for _, asked, _ in running.agent.asked] == ["confirmed-off"]
