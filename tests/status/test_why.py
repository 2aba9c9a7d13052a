"""What is in the way, or went wrong → what `why` and the condition say of it."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from reconciler.decide import shown
from reconciler.decide.asked import Asked, Ended, Wish
from reconciler.decide.conditions import Stalled
from reconciler.decide.explain import why
from reconciler.decide.placement import Decision
from reconciler.errors import Fault
from reconciler.model import Plan, ServiceGoal

UP = Decision(ServiceGoal.UP, "Wanted", ("the document wants it up",))
SWITCH = Wish("switch", "alice", 100.0, to="n2")


@dataclass
class Passed:
    faults: tuple[Fault, ...]
    decision: Decision = UP
    stops: dict = field(default_factory=dict)
    attempt: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(conflict="", failed=""))


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("two files describe root/web: also a.yaml", Stalled.CONFLICTING_DOCUMENTS),
        ("is not what is in force: another one was applied later, on n2", Stalled.CONFLICTING_DOCUMENTS),
        ("was removed on n2 after it was applied here", Stalled.CONFLICTING_DOCUMENTS),
        ("is not in force yet: waits for stop on n1: topology", Stalled.WAITS_FOR_STOP),
        ("no such keyword", Stalled.INVALID_DOCUMENT),
    ],
)
def test_a_file_that_is_not_in_force_is_not_always_a_bad_one(what: str, reason: Stalled) -> None:
    found = shown.trouble(Passed((Fault("web.yaml", 0, "", what),)), "")
    assert found is not None
    assert found.reason is reason


@pytest.mark.parametrize(
    ("state", "standing", "says"),
    [
        ("expired", None, "asked by alice: switch --to n2: 20 s ago, expired: n1 is silent"),
        ("failed", Wish("start", "bob", 50.0), "20 s ago, failed: n1 is silent"),
        ("failed", Wish("start", "bob", 110.0), ""),  # nobody waits for that any more
        ("fulfilled", None, ""),
    ],
)
def test_what_was_asked_and_did_not_come_about_is_told(state: str, standing: Wish, says: str) -> None:
    asked = Asked(standing=standing, ended=Ended(SWITCH, state, "n1 is silent"))
    lines = why("root/web", UP, asked, {}, Plan(), (), "", 120.0)
    told = [text for _, text in lines if "switch" in text]
    assert [says in text for text in told] == ([True] if says else [])
