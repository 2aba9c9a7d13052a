"""Operation → the line that undoes it, by owner and places; or None for what leaves nothing behind."""

import pytest

from reconciler import operations as op
from reconciler.adapters.cgroups import Groups
from reconciler.decide.triggers import NOT_BLOCKING
from reconciler.decide.undo import Places, line
from reconciler.guard.lines import Address, Loop, Mount, Program, Volumes
from reconciler.model import Owner

OWNER, NAME = Owner("root/web", "app#0"), "root/web:app#0"
PLACES = Places("/cg/n1", "/run/programs")
NO_GROUPS = Places("", "/run/programs")
USERS = ("checks",)


@pytest.mark.parametrize(
    ("operation", "wanted"),
    [
        (
            op.Spawn(("sleep", "9")),
            Program(NAME, "/cg/n1/root.web/app#0", "/run/programs/root/web/app#0", grace=5.0),
        ),
        (
            op.Exec(("/etc/web", "start"), touching=USERS),
            Program(NAME, "/cg/n1/root.web/app#0.left", grace=5.0),
        ),
        (
            op.Exec(("notify-all",), shell=True, ok=NOT_BLOCKING, touching=USERS),
            Program(NAME, "/cg/n1/root.web/app#0.left", grace=5.0),
        ),
        (op.Exec(("e2fsck", "-p", "/dev/loop0")), None),
        (op.Exec(("vgchange", "-a", "y", "vg1")), Volumes(NAME, "vg1")),
        (op.Exec(("vgchange", "-a", "n", "vg1")), None),
        (op.Exec(("vgchange", "--addtag", "@n1", "vg1")), None),
        (op.Exec(("lvchange", "-a", "y", "vg1/app")), Volumes(NAME, "vg1", "app")),
        (op.Exec(("lvchange", "-a", "n", "vg1/app")), None),
        (op.AddAddress("192.0.2.10/24", "br0", "br0:web"), Address(NAME, "192.0.2.10/24", "br0")),
        (op.Mount("/dev/vg/a", "/srv", "ext4", "noatime"), Mount(NAME, "/srv", "/dev/vg/a", "ext4")),
        (op.Mount("/dev/vg/a", "/srv", "ext4", "remount,ro"), None),
        (op.Mount("/a", "/b", "bind"), Mount(NAME, "/b", "/a", "bind")),
        (op.AttachLoop("/img", 512), Loop(NAME, "/img", 512)),
        (op.Terminate(1, 1), None),
        (op.DeleteAddress("192.0.2.10/24", "br0"), None),
        (op.SetLinkUp("br0"), None),
        (op.ProbeAddress("192.0.2.10/24", "br0"), None),
        (op.Announce("192.0.2.10/24", "br0"), None),
        (op.AddRoute("default", "192.0.2.1"), None),
        (op.DeleteRoute("default", "192.0.2.1"), None),
        (op.Unmount("/srv"), None),
        (op.DetachLoop("/dev/loop0", "/img"), None),
        (op.MakeDirectory("/srv"), None),
        (op.RemoveDirectory("/srv"), None),
        (op.WriteFile("/srv/flag"), None),
        (op.RemoveFile("/srv/flag"), None),
        (op.CreateImage("/img", 1 << 20), None),
        (op.Remember("started", "1"), None),
    ],
    ids=str,
)
def test_what_undoes_it(operation, wanted):
    assert line(operation, OWNER, {"stop_timeout": 5.0}, PLACES) == wanted
    standby = line(operation, OWNER, {"stop_timeout": 5.0}, PLACES, standby=True)
    assert standby == (wanted._replace(standby=True) if wanted else None)


def test_without_control_groups_a_program_is_found_by_its_record_and_what_a_command_left_is_not():
    spawned = line(op.Spawn(("sleep", "9")), OWNER, {}, NO_GROUPS)
    assert spawned == Program(NAME, "", "/run/programs/root/web/app#0")
    assert line(op.Exec(("/etc/web", "start"), touching=USERS), OWNER, {}, NO_GROUPS) is None


def test_programs_are_looked_for_where_they_are_started(tmp_path):
    groups = Groups(tmp_path)
    places = Places(str(tmp_path), "")
    assert places.group(OWNER) == str(groups.of(OWNER))
    assert places.left(OWNER) == str(groups.left(OWNER))
