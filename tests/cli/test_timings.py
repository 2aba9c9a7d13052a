"""`standfast timings`: the numbers, and what they mean."""

import json

import pytest

from tests.cli.conftest import Command


def test_all_profiles_side_by_side(standfast: Command) -> None:
    assert standfast("timings") == 0
    lines = standfast.out.splitlines()
    assert lines[0].split() == ["fast", "default", "conservative"]
    claimed = next(line for line in lines if "host dies" in line)
    assert claimed.split()[-6:] == ["7.5", "s", "19", "s", "57.5", "s"]
    assert "fast: 1 s are left for a stop" in standfast.out


@pytest.mark.parametrize(
    ("words", "claimed", "unmount"),
    [
        pytest.param(["--failover-time", "default"], 19.0, 6.5, id="a profile"),
        pytest.param(["--failover-time", "7s500ms"], 7.5, 1.0, id="a duration"),
        pytest.param(["--failover-time", "default", "--watchdog", "10"], 19.0, 8.5, id="granted another"),
        pytest.param(["--failover-time", "default", "--unlocked"], 19.0, 2.5, id="a guard not locked"),
    ],
)
def test_one_of_them(standfast: Command, words: list[str], claimed: float, unmount: float) -> None:
    assert standfast("timings", *words, "-o", "json") == 0
    (item,) = json.loads(standfast.out)["items"]
    assert (item["means"]["claimed"], item["means"]["unmount"]) == (claimed, unmount)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        pytest.param(["--failover-time", "4s"], 1, "choose at least 6.5s", id="too short: what would do"),
        pytest.param(["--failover-time", "slow"], 1, "write fast, default", id="no such name"),
        pytest.param(["--failover-time", "30x"], 2, "is not a duration", id="not a duration"),
        pytest.param(["--unlocked"], 1, "failover_time fast with a guard", id="one of three is refused"),
    ],
)
def test_refused(standfast: Command, words: list[str], code: int, says: str) -> None:
    assert standfast("timings", *words) == code
    assert says in standfast.err
