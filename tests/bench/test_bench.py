"""The bench itself runs: its cheap rows, in the smallest size. What they measure is not judged here."""

import json
import os

import pytest

from tests import kernel
from tests.bench import __main__ as bench
from tests.bench.measure import Size, by_excess, by_ratio
from tests.bench.table import table

SMALLEST = Size(pairs=1, load=2, loads=1, some=2, many=2, idle=0.1)


@pytest.mark.parametrize(
    ("pairs", "ok"),
    [
        pytest.param([(2.0, 1.0), (1.9, 1.0), (9.0, 1.0)], True, id="the median counts"),
        pytest.param([(2.1, 1.0), (2.2, 1.0), (0.1, 1.0)], False, id="more than the target"),
        pytest.param([(20.0, 10.0), (2.0, 1.0), (3.0, 1.0)], True, id="pairs of a slow and a fast time"),
    ],
)
def test_target_of_a_ratio(pairs, ok):
    assert by_ratio("row", "what", pairs, 2.0).ok is ok


@pytest.mark.parametrize(("ours", "ok"), [(0.109, True), (0.111, False)])
def test_target_of_an_excess(ours, ok):
    assert by_excess("row", "what", [(ours, 0.01)], 0.1).ok is ok


class TestOnTheRealKernel:
    pytestmark = kernel.needs_root

    def test_cheap_rows_run(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(bench, "QUICK", SMALLEST)
        for name in bench.UNLIKE_INSTALLED:
            monkeypatch.setenv(name, "1")  # what the bench takes away comes back
        out = tmp_path / "bench.json"
        monkeypatch.setattr(
            "sys.argv", ["bench", "--quick", "--json", str(out), "address", "file", "start"]
        )
        bench.main()
        rows = json.loads(out.read_text())["rows"]
        assert [row["name"] for row in rows] == ["address", "address-ms", "file", "start", "stop"]
        assert all(row["ours"] > 0 for row in rows)
        assert "ip addr del → back" in capsys.readouterr().out
        assert not set(bench.UNLIKE_INSTALLED) & os.environ.keys()

    def test_without_runit_its_row_says_so(self, monkeypatch):
        monkeypatch.setenv("PATH", "/nowhere")
        (row,) = bench.ROWS["kill"](SMALLEST)
        assert row.ok is None
        assert "skipped: runit is not installed" in table([row])
