"""Every word that decides something has a case in which it does."""

import ast
import json
from functools import cache
from pathlib import Path

import pytest

from reconciler.decide.asked import VERBS
from reconciler.decide.cases import Case
from reconciler.decide.conditions import Ready, Stalled
from reconciler.decide.sessions import Level
from reconciler.model import GROUPS
from tests.golden.cases import DECIDED, HERE, goldens

ROOT = HERE.parent.parent
SPEC = json.loads((ROOT / "schemas" / "service.json").read_text())["properties"]["spec"]["properties"]
ENUMS = [(word, value) for word, said in SPEC.items() for value in said.get("enum", ())]

BEHAVIOUR = {  # opensvc.md §4.8, row by row
    "A crashes": "failover/crash-session-closed",
    "A crashes, B frozen": "failover/crash-and-the-other-node-is-frozen",
    "monitored resource lost on A": "failover/monitored-resource-lost",
    "the same, B frozen": "failover/monitored-resource-lost-and-nobody-else",
    "the same, B down": "failover/monitored-resource-lost-and-the-other-is-down",
    "A frozen, resource lost": "failover/resource-lost-on-a-frozen-node",
    "stop --local on A": "failover/local-stop",
    "stop": "failover/stop-for-all",
    "daemon stop on A": "failover/agent-restarted",
    "reboot A": "failover/reboot-and-taken-over",
    "A is back before the timeout": "failover/reboot-and-back-before-T",
    "start --local on B while A is up": "failover/start-local-beside-the-holder",
    "address conflict before a start": "failover/address-answered-by-a-stranger",
    "both reboot": "failover/both-rebooted",
    "network split, minority": "failover/split-minority",
    "network split, majority": "failover/crash-after-T",
}
COMPLAINTS = {  # peers.md §4, those that a decision answers
    1: "complaints/address-wiped-by-networkd",
    2: "complaints/reload-touches-one-service",
    4: "complaints/no-priority-arithmetic",
    5: "complaints/a-move-leaves-nothing-behind",
    6: "budgets/stable-again",
    7: "complaints/slow-check-under-load",
    8: "complaints/unmount-fails-and-nobody-is-shot",
    9: "complaints/many-filesystems-stop-together",
    10: "safety-levels/shared-disk-with-a-watchdog",
    11: "complaints/store-away-demotes-nobody-at-once",
    14: "complaints/who-and-why",
    16: "safety-levels/shared-disk-fenced",
    17: "placement/drained",
    18: "complaints/dependents-start-later",
    19: "complaints/hung-filesystem-stops-nobody-else",
    22: "who-wins/deleted-stop",
    24: "complaints/no-hot-loop",
}
WITHOUT = {"Claims"}  # in the same pass it becomes Wanted or Waits
UNDECIDED = {  # known to the engine only: of files, passes and the store
    Stalled.INVALID_DOCUMENT,
    Stalled.CONFLICTING_DOCUMENTS,
    Stalled.WAITS_FOR_STOP,
    Stalled.WISH_REFUSED,
    Stalled.PASS_FAILED,
    Stalled.STORE_UNREACHABLE,
}


@cache
def decided() -> str:
    return "\n".join((golden.path / DECIDED).read_text() for golden in goldens())


@cache
def cases() -> list[Case]:
    return [golden.case() for golden in goldens()]


@cache
def codes() -> set[str]:
    """All codes that a decision may have, as the source names them."""
    found: set[str] = set()
    for name in ("placement.py", "turn.py"):
        for node in ast.walk(ast.parse((ROOT / "reconciler" / "decide" / name).read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                at = {"Decision": 1, "_waits": 1, "_leaves": 1}.get(node.func.id)
                if at is not None and len(node.args) > at and isinstance(node.args[at], ast.Constant):
                    found.add(str(node.args[at].value))
    return found | {"AskedStart", "AskedStop"}


def test_there_are_as_many_as_were_asked_for():
    assert len(goldens()) >= 150


def test_no_two_say_the_same():
    seen: dict[str, str] = {}
    for golden in goldens():
        text = "".join(
            line
            for line in (golden.path / "cluster.yaml").read_text().splitlines()
            if not line.startswith("#")
        )
        assert text not in seen, f"{golden.name} is {seen[text]} once more"
        seen[text] = golden.name


@pytest.mark.parametrize(("word", "value"), ENUMS)
def test_every_policy_of_a_document_has_a_case(word, value):
    services = [service for case in cases() for service in case.services.values()]
    assert any(getattr(service, word) == value for service in services), f"no case has {word}: {value}"


@pytest.mark.parametrize("verb", VERBS)
def test_every_wish_has_a_case(verb):
    if verb == "drain":
        assert "is drained by" in decided()
        return
    texts = [(golden.path / "cluster.yaml").read_text() for golden in goldens()]
    assert any(f"{{{verb}: " in text for text in texts), f"nobody asks for {verb}"


@pytest.mark.parametrize("code", sorted(codes() - WITHOUT))
def test_every_reason_has_a_case(code):
    assert f'because: "{code}: ' in decided(), f"no decision has the code {code}"


@pytest.mark.parametrize("reason", [one for one in Stalled if one not in UNDECIDED])
def test_every_reason_to_be_stalled_has_a_case(reason):
    assert f'stalled: "{reason}' in decided() or f"stalled: {reason}" in decided()


@pytest.mark.parametrize("reason", list(Ready))
def test_every_reason_to_be_ready_or_not_has_a_case(reason):
    assert any(f"{status} {reason}" in decided() for status in ("True", "False", "Unknown"))


@pytest.mark.parametrize("level", list(Level))
def test_every_safety_level_has_a_case(level):
    assert any(
        session and session.level is level and not session.open
        for case in cases()
        for session in case.cluster.sessions.values()
    )


@pytest.mark.parametrize("case", [*BEHAVIOUR.values(), *COMPLAINTS.values()])
def test_every_row_of_the_tables_has_a_case(case):
    assert (Path(HERE) / case / DECIDED).exists(), f"{case} is gone"


def test_groups_that_there_are_drivers_for_have_a_case():
    kinds = {path.stem.partition("_")[0] for path in (ROOT / "resources").glob("*_*.py")} & set(GROUPS)
    assert all(f" {group}#" in decided() for group in kinds)
