"""Where paths lead in a mount table, and what the drivers of mounts and addresses name as theirs alone."""

import pytest

from reconciler.asks import Mount
from resources import fs_bind, fs_btrfs, fs_ext4, fs_nfs, fs_tmpfs, ip_host, ip_route
from resources.mount_table import Table, indexed, tidy
from tests.drivers.worlds import LATE, spec


def mount(id, parent, target, device="0:1", root="/"):
    return Mount(id, parent, device, root, target, "ext4", "/dev/x")


ROOT = mount(1, 0, "/")
DATA, OVER, DEEP = mount(2, 1, "/data"), mount(3, 2, "/data"), mount(4, 3, "/data/deep")
HIDDEN = mount(5, 2, "/data/deep")  # mounted before OVER came


@pytest.mark.parametrize(
    ("path", "mounts", "leads_to"),
    [
        pytest.param("/srv", (ROOT, DATA), ROOT, id="outside all others: the root"),
        pytest.param("/data", (ROOT, DATA), DATA, id="a mount point"),
        pytest.param("/data/a/b", (ROOT, DATA), DATA, id="below a mount point"),
        pytest.param("/database", (ROOT, DATA), ROOT, id="a name that only begins like one"),
        pytest.param("/data/a", (ROOT, DATA, OVER), OVER, id="two on one place: the upper one"),
        pytest.param("/data/deep/a", (ROOT, DATA, OVER, DEEP), DEEP, id="a mount on a mount"),
        pytest.param(
            "/data/deep/a", (ROOT, DATA, HIDDEN, OVER), OVER, id="hidden by a later mount above it"
        ),
        pytest.param(
            "/a", (mount(9, 9, "/"), mount(1, 9, "/")), mount(1, 9, "/"), id="a root over the rootfs"
        ),
        pytest.param("/a", (DATA,), None, id="a table without a root"),
    ],
)
def test_a_path_leads_to_what_the_kernel_would_walk_into(path, mounts, leads_to):
    assert Table(mounts).leads_to(path) == leads_to


def test_one_answer_is_indexed_once_and_a_new_one_anew():
    first = (ROOT, DATA)
    assert indexed(first) is indexed(first)
    assert indexed((ROOT,)).at("/data") == ()
    assert indexed(first).at("/data") == (DATA,)


@pytest.mark.parametrize(
    ("written", "path"), [("/a/b", "/a/b"), ("/a//b/", "/a/b"), ("/", "/"), ("/a/./b", "/a/b"), ("//", "/")]
)
def test_paths_are_compared_as_the_kernel_writes_them(written, path):
    assert tidy(written) == path


ADDRESS = {"dev": "br0", "family": "any", "check_carrier": True, "probe": True}


@pytest.mark.parametrize(
    ("driver", "wanted", "names"),
    [
        pytest.param(
            fs_ext4,
            spec(mnt="/svc1/app/"),
            ("mount point /svc1/app", "device /dev/vgsvc1/app"),
            id="a device and its mount point",
        ),
        pytest.param(fs_ext4, spec(dev=LATE), ("mount point /svc1/app",), id="a device not known yet"),
        pytest.param(
            fs_ext4, spec(mnt="/{fs#0.mnt}", dev="/dev/x"), ("device /dev/x",), id="a place not known"
        ),
        pytest.param(
            fs_btrfs,
            spec(mnt_opt="noatime,subvol=app"),
            ("mount point /svc1/app", "device /dev/vgsvc1/app subvolume /app"),
            id="a subvolume leaves room for others",
        ),
        pytest.param(fs_tmpfs, spec(dev="tmpfs"), ("mount point /svc1/app",), id="tmpfs: the place"),
        pytest.param(fs_bind, spec(dev="/data"), ("mount point /svc1/app",), id="bind: the place"),
        pytest.param(fs_nfs, spec(dev="filer:/x"), ("mount point /svc1/app",), id="nfs: the place"),
        pytest.param(
            ip_host, {**ADDRESS, "name": "2001:DB8::0A/64"}, ("address 2001:db8::a",), id="an address"
        ),
        pytest.param(ip_host, {**ADDRESS, "name": "db.example"}, ("address db.example",), id="a name"),
        pytest.param(ip_host, {**ADDRESS, "name": "{env.x[0]}"}, (), id="a name not known yet"),
        pytest.param(
            ip_route,
            {"to": "0.0.0.0/0", "via": "192.0.2.1", "table": 254, "metric": 0},
            ("route to default table 254 metric 0",),
            id="a route by its place in the table",
        ),
    ],
)
def test_what_only_one_service_may_name(driver, wanted, names):
    assert driver.exclusive(wanted) == names
