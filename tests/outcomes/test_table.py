"""The tables of outcomes and the tests are the same lists."""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
TABLES = TESTS.parent / "docs" / "outcomes.md"
WHERE = {"One host": "outcomes/test_*.py", "Several hosts": "cluster/test_faults_*.py"}
tables = pytest.mark.parametrize("heading", WHERE)


def rows(heading: str) -> list[list[str]]:
    """Of the table under that heading, its own head left out."""
    section = TABLES.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def written(heading: str) -> list[str]:
    found = []
    for path in sorted(TESTS.glob(WHERE[heading])):
        if path != Path(__file__):
            tree = ast.parse(path.read_text())
            found += [n.name for n in tree.body if getattr(n, "name", "").startswith("test_")]
    return found


@tables
def test_each_row_is_a_test_and_each_test_a_row(heading):
    names = ["test_" + row[0].replace(" ", "_").replace("-", "_") for row in rows(heading)]
    assert sorted(names) == sorted(written(heading))


@tables
def test_no_row_leaves_anything_out(heading):
    assert [row[0] for row in rows(heading) if len(row) != 5 or not all(row)] == []


def test_there_is_no_other_table():
    headings = [line for line in TABLES.read_text().splitlines() if line.startswith("## ")]
    assert headings == [f"## {heading}" for heading in WHERE]
