"""The shape of the house, as sentences: what fails here says which rule of DESIGN.md is broken."""

import ast
import importlib
import json
import re
import sys
from pathlib import Path

import pytest

from reconciler import operations
from reconciler.decide import undo

ROOT = Path(__file__).parent.parent
PACKAGES = ("reconciler", "resources", "metrics")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
NAMED = [pytest.param(path, id=str(path.relative_to(ROOT))) for path in MODULES]
DRIVERS = [path for path in (ROOT / "resources").glob("*.py") if "\nKIND = " in path.read_text()]

PURE_BANNED = {"asyncio", "os", "time", "random", "socket", "subprocess", "pathlib", "threading"}
STARTS_PROCESSES = {
    "reconciler/adapters/starter.py",  # the starter, and by it operations, programs, checks, probes
    "reconciler/adapters/helper.py",  # our own interpreter, for documents in bulk
    "reconciler/adapters/guard.py",  # the guard, which outlives us
    "reconciler/guard/kernel.py",  # the guard's own undoing commands
    "reconciler/guard/__main__.py",  # which detaches itself
    "reconciler/adapters/etcd_keeper.py",  # etcd, which outlives us, and its systemd unit
    "reconciler/adapters/sandbox.py",  # the playground's namespaces
    "reconciler/cli/tour.py",  # the playground's shell
    "reconciler/cli/damage.py",  # the playground's damage
    "reconciler/cli/om.py",  # the editor of `edit config`
}
LONGEST_MODULE, LONGEST_FUNCTION = 400, 60


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("path", NAMED)
def test_first_line_says_what_becomes_of_what(path):
    if path.name == "__init__.py" and not path.read_text().strip():
        return
    said = ast.get_docstring(tree(path))
    assert said, f"{path.name} does not begin by saying what it turns into what"
    assert len(said.splitlines()[0]) <= 112, f"the first line of {path.name} is not one line's thought"


@pytest.mark.parametrize("path", NAMED)
def test_no_module_is_longer_than_one_idea(path):
    lines = len(path.read_text().splitlines())
    assert lines <= LONGEST_MODULE, f"{path.name} has {lines} lines: split it by idea"


@pytest.mark.parametrize("path", NAMED)
def test_no_function_is_longer_than_a_screen(path):
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            assert lines <= LONGEST_FUNCTION, f"{path.name}: {node.name} has {lines} lines"


@pytest.mark.parametrize(
    "path", [p for p in NAMED if "/decide/" in str(p.values[0]) or "/resources/" in str(p.values[0])]
)
def test_decisions_and_drivers_are_pure(path):
    impure = {name for name in imported(path) if name.partition(".")[0] in PURE_BANNED}
    assert not impure, f"{path.name} decides, and imports {', '.join(impure)}: hand it the answer instead"


@pytest.mark.parametrize("path", NAMED)
def test_processes_start_behind_one_door(path):
    if str(path.relative_to(ROOT)) in STARTS_PROCESSES:
        return
    text = path.read_text()
    started = [
        w
        for w in ("subprocess.run(", "Popen(", "create_subprocess", "posix_spawn", "os.fork(")
        if w in text
    ]
    assert not started, f"{path.name} starts processes ({started[0]}…): that is adapters/starter.py's alone"


@pytest.mark.parametrize("path", [pytest.param(p, id=p.stem) for p in DRIVERS])
def test_a_driver_has_its_schema_its_spec_and_its_cases(path):
    module = importlib.import_module(f"resources.{path.stem}")
    assert path.stem.replace("_", ".", 1) == module.KIND, f"{path.name} calls itself {module.KIND}"
    schema = ROOT / "schemas" / "resources" / f"{module.KIND}.json"
    assert schema.exists(), f"{module.KIND} has no schemas/resources/{module.KIND}.json"
    assert json.loads(schema.read_text()).get("description"), f"{schema.name} does not say what it is for"
    assert hasattr(module, "Spec"), f"{path.name} has no TypedDict Spec"
    cases = ROOT / "tests" / "drivers" / f"test_{path.stem}.py"
    assert cases.exists(), f"{module.KIND} has no cases in {cases.relative_to(ROOT)}"


def test_every_operation_says_how_the_guard_undoes_it():
    def all_below(kind):
        return {kind}.union(*map(all_below, kind.__subclasses__()))

    there = {kind for kind in all_below(operations.Operation) if kind.__module__ == operations.__name__}
    told = set(undo.KINDS) | {operations.Operation}
    assert told == there, f"decide/undo.py does not classify {there - told}"


def test_the_guard_imports_the_standard_library_and_itself():
    for path in (ROOT / "reconciler" / "guard").glob("*.py"):
        foreign = {
            name
            for name in imported(path)
            if name.partition(".")[0] not in sys.stdlib_module_names
            and not name.startswith("reconciler.guard")
        }
        assert not foreign, f"{path.name} imports {', '.join(foreign)}"


def test_the_guard_reads_no_wall_clock():
    """But for its log: somebody may step that clock at any time."""
    sources = "".join(path.read_text() for path in (ROOT / "reconciler" / "guard").glob("*.py"))
    read = set(re.findall(r"\btime\.(\w+)", sources))
    assert read == {"clock_gettime", "CLOCK_BOOTTIME", "sleep", "strftime", "gmtime"}
    assert "datetime" not in sources


def test_every_schema_of_a_resource_has_its_driver():
    kinds = {path.stem for path in (ROOT / "schemas" / "resources").glob("*.json")}
    modules = {path.stem.replace("_", ".", 1) for path in DRIVERS}
    assert kinds == modules, (
        f"schemas without a driver: {kinds - modules}; drivers without: {modules - kinds}"
    )
