"""Each case: what is decided in it is what was last looked at and found right."""

import difflib

import pytest

from tests.golden.cases import goldens


@pytest.mark.parametrize("golden", [pytest.param(golden, id=golden.name) for golden in goldens()])
def test_decides_as_before(golden, request):
    if request.config.getoption("--update", default=False):
        golden.renew()
    now, kept = golden.now(), golden.kept()
    diff = [
        line
        for name in now
        for line in difflib.unified_diff(
            kept[name].splitlines(),
            now[name].splitlines(),
            f"{name}, as it was",
            f"{name}, as it is now",
            n=2,
        )
    ]
    if diff:
        text = "\n".join(line.rstrip("\n") for line in diff)
        pytest.fail(
            f"{golden.name}: {golden.comment}\n{text}\nIs it right so? `pytest tests/golden --update`",
            pytrace=False,
        )


@pytest.mark.parametrize("golden", [pytest.param(golden, id=golden.name) for golden in goldens()])
def test_says_what_it_is_about(golden):
    assert len(golden.comment.split()) >= 5, (
        "begin with a sentence: the situation, and what ought to happen"
    )
