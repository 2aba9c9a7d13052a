"""Every driver against its own table, and all of them against the rules that hold for each."""

import contextlib
import importlib
import pkgutil
from types import ModuleType

import pytest

import resources
from reconciler.asks import Facts, Unanswered
from reconciler.model import Goal, Observed, State, settled, unknown
from tests import drivers as tables
from tests.drivers.table import Case

DRIVERS: dict[str, ModuleType] = {}
for found in pkgutil.iter_modules(resources.__path__, "resources."):
    module = importlib.import_module(found.name)
    if hasattr(module, "KIND"):
        DRIVERS[module.KIND] = module
TABLES: dict[str, ModuleType] = {}
for found in pkgutil.iter_modules(tables.__path__, "tests.drivers."):
    if found.name.startswith("tests.drivers.test_") and found.name != __name__:
        module = importlib.import_module(found.name)
        if hasattr(module, "KIND"):
            TABLES[module.KIND] = module
ALL = [
    pytest.param(kind, case, id=f"{kind}: {case.name}") for kind, m in TABLES.items() for case in m.CASES
]


def look(driver: ModuleType, case: Case) -> Observed:
    try:
        return driver.observe(case.spec, Facts.given(case.answers))
    except Unanswered as missing:
        assert not missing.pending, f"observe reads {missing.ask}, which the case does not answer"
        return unknown(missing.why)


def printed(operations) -> list[str]:
    return [str(operation) for operation in operations]


@pytest.mark.parametrize("kind", sorted(DRIVERS))
def test_has_a_table(kind):
    assert kind in TABLES, f"driver {kind} has no cases in tests/drivers/"


@pytest.mark.parametrize(("kind", "case"), ALL)
def test_case(kind, case):
    driver = DRIVERS[kind]
    seen = look(driver, case)
    assert seen.state is case.state, seen
    if case.label is not None:
        assert seen.label == case.label
    if case.notes is not None:
        texts = [note.text for note in seen.notes]
        assert all(any(part in text for text in texts) for part in case.notes), texts
        assert case.notes or not texts
    if case.blocked is not None:
        assert case.blocked in seen.blocked
        assert bool(case.blocked) == bool(seen.blocked)
    if case.provisioned is not None:
        assert seen.provisioned is case.provisioned
    assert seen.left is case.left
    if case.holder is not None:
        assert seen.holder == case.holder
    for name, value in case.exposes.items():
        assert seen.exposes[name] == value
    for goal, wanted in ((Goal.UP, case.up), (Goal.DOWN, case.down), (Goal.STANDBY, case.standby)):
        if wanted is not None:
            assert printed(driver.operations(case.spec, seen, goal)) == wanted, goal
    for act in ("preflight", "create", "destroy"):
        wanted = getattr(case, act)
        if wanted is not None:
            assert printed(getattr(driver, act)(case.spec, seen)) == wanted, act


@pytest.mark.parametrize(("kind", "case"), ALL)
def test_reads_only_what_it_asks(kind, case):
    """An answer that `observe` reads without asking would never be looked at."""
    driver, read = DRIVERS[kind], []

    def lookup(ask):
        read.append(ask)
        return case.answers[ask]

    with contextlib.suppress(Unanswered):
        driver.observe(case.spec, Facts(lookup))
    assert set(read) <= set(driver.asks(case.spec))


@pytest.mark.parametrize(("kind", "case"), ALL)
def test_operations_are_empty_exactly_when_settled(kind, case):
    """The engine never asks for steps up while unknown, elsewhere or blocked."""
    driver = DRIVERS[kind]
    seen = look(driver, case)
    for goal in Goal:
        upward = goal in (Goal.UP, Goal.STANDBY)
        if upward and (seen.blocked or seen.state in (State.UNKNOWN, State.ELSEWHERE)):
            continue
        if goal is Goal.DOWN and seen.state is State.UNKNOWN:
            continue
        assert (not driver.operations(case.spec, seen, goal)) == settled(goal, seen), goal
