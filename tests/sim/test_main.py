"""`make sim` → what it prints of several seeds."""

import sys

from tests.sim.__main__ import main


def test_several_seeds_in_processes_of_their_own(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["sim", "--seeds", "2", "--start", "3", "--jobs", "1"])
    assert main() == 0
    assert capsys.readouterr().out.startswith("2 clusters in ")
