"""What an edit calls for, keyword by keyword."""

import pytest

from reconciler.decide import edits
from reconciler.decide.edits import Change


@pytest.mark.parametrize(
    ("kind", "keyword", "wanted"),
    [
        ("fs.flag", "path", "replace"),
        ("fs.ext4", "mnt_opt", "update"),
        ("fs.ext4", "stat_timeout", "none"),
        ("fs.ext4", "restart", "none"),
        ("fs.ext4", "monitor", "none"),
        ("fs.ext4", "timeouts", "none"),
        ("fs.ext4", "type", "replace"),
        ("fs.ext4", "no_such_keyword", "replace"),
        ("fs.gone", "mnt", "replace"),
        ("fs.gone", "restart", "none"),
    ],
)
def test_effect(kind, keyword, wanted):
    assert edits.effect(kind, keyword) == wanted


@pytest.mark.parametrize(
    ("kind", "old", "new", "wanted"),
    [
        pytest.param("fs.flag", {"path": "/a"}, {"path": "/a"}, [], id="nothing"),
        pytest.param("disk.raw", {"devs": ["/a"]}, {"devs": ("/a",)}, [], id="a list back from a store"),
        pytest.param("fs.flag", {"path": "/a"}, {"path": "/b"}, [("path", "replace")], id="a path"),
        pytest.param(
            "fs.ext4",
            {"dev": "/a", "mnt_opt": "", "stat_timeout": 5.0},
            {"dev": "/b", "mnt_opt": "ro", "stat_timeout": 6.0},
            [("dev", "replace"), ("mnt_opt", "update"), ("stat_timeout", "none")],
            id="the strongest first",
        ),
        pytest.param("fs.ext4", {"perm": "0755"}, {}, [("perm", "update")], id="a keyword that left"),
        pytest.param("fs.ext4", {}, {"perm": "0755"}, [("perm", "update")], id="a keyword that came"),
    ],
)
def test_compare(kind, old, new, wanted):
    changes = edits.compare(kind, old, new)
    assert [(change.keyword, change.effect) for change in changes] == wanted
    assert edits.overall(changes) == (wanted[0][1] if wanted else "none")


def test_a_change_is_printed_with_what_it_calls_for():
    assert str(Change("mnt", "replace", "/a", "/b")) == "mnt: /a → /b (replace)"
    assert str(Change("perm", "update", None, "0755")) == "perm: not set → 0755 (update)"
