"""Files of tests → in the order that has several workers done soonest: some wait while others calculate."""

from itertools import chain, groupby, zip_longest
from pathlib import Path

import pytest

WAIT = ("cluster", "life")
"""Directories whose tests mostly wait for real hosts."""
CALCULATE = ("sim", "explorer", "whole")
"""Of the others, those that take longest."""
HERE = Path(__file__).parent


def _place(file: Path) -> int:
    first = file.relative_to(HERE).parts[0]
    return CALCULATE.index(first) if first in CALCULATE else len(CALCULATE)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    files = {file: list(mine) for file, mine in groupby(items, key=lambda item: item.path)}
    waiting = [file for file in files if file.relative_to(HERE).parts[0] in WAIT]
    others = sorted((file for file in files if file not in waiting), key=_place)
    turns = chain.from_iterable(zip_longest(waiting, others))
    items[:] = [item for file in turns if file for item in files[file]]
