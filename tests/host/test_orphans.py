"""What a daemon that died left running is under way until it has ended."""

import subprocess

from reconciler.adapters.orphans import Orphans
from reconciler.model import Owner

APP = Owner("root/web", "app#0")


def test_what_was_left_is_under_way_until_it_has_ended(tmp_path):
    with subprocess.Popen(["sleep", "600"]) as child:
        Orphans(tmp_path).note(APP, child.pid, 60.0, None)
        after = Orphans(tmp_path)
        assert after.owners() == [APP]
        assert after.under_way("root/web") == {"app#0"}
        assert after.under_way("root/mail") == set()
        child.kill()
        child.wait()
        assert after.under_way("root/web") == set()
        for orphan in after.of(APP) * 2:  # by two who waited for it
            after.settled(APP, orphan)
        assert after.owners() == []
    assert Orphans(tmp_path).owners() == []
