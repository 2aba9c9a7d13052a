"""A state directory without a state: a first start, or one that was lost."""

import os
import time

import pytest

from reconciler.adapters.places import KEPT, lost_state, note_state
from reconciler.settings import Settings


@pytest.fixture
def settings(tmp_path):
    made = Settings("n1", tmp_path / "s", tmp_path / "var" / "state", tmp_path / "run")
    made.run.mkdir()
    made.state.mkdir(parents=True)
    return made


def fstab(settings, text):
    path = settings.run / "fstab"
    path.write_text(text)
    return path


def test_a_first_start(settings):
    note_state(settings)  # there is none yet
    assert lost_state(settings, fstab(settings, "# nothing\n/dev/x none swap sw\n")) == ""


def test_a_state_that_went_since_the_last_boot(settings):
    database = settings.state / "state.db"
    database.touch()
    note_state(settings)
    assert lost_state(settings) == ""
    database.unlink()
    assert "state.db is gone" in lost_state(settings)
    before = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) - 60
    os.utime(settings.run / KEPT, (before, before))
    assert lost_state(settings, fstab(settings, "")) == ""


def test_a_state_whose_filesystem_is_not_mounted(settings):
    var = settings.state.parent
    named = fstab(settings, f"/dev/root / ext4 defaults 0 1\n/dev/var {var} ext4 defaults 0 2\n")
    assert f"{var}, which {named} names, is not mounted" in lost_state(settings, named)
    assert lost_state(settings, fstab(settings, f"/dev/x {var}2 ext4\n/dev/y / ext4")) == ""
