"""The table of outcomes and the tests are the same list."""

import ast
from pathlib import Path

HERE = Path(__file__).parent
TABLE = HERE.parent.parent / "docs" / "outcomes.md"


def rows() -> list[list[str]]:
    lines = [line for line in TABLE.read_text().splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def written() -> list[str]:
    found = []
    for path in sorted(HERE.glob("test_*.py")):
        if path != Path(__file__):
            tree = ast.parse(path.read_text())
            found += [n.name for n in tree.body if getattr(n, "name", "").startswith("test_")]
    return found


def test_each_row_is_a_test_and_each_test_a_row():
    names = ["test_" + row[0].replace(" ", "_").replace("-", "_") for row in rows()]
    assert sorted(names) == sorted(written())


def test_no_row_leaves_anything_out():
    assert [row[0] for row in rows() if len(row) != 5 or not all(row)] == []
