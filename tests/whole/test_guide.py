"""OpenSVC's "Getting started", step by step, on one host: `om` does here what it does there.

Volume groups need device-mapper, which this kernel may lack (`tests/vm` has them): a loop device stands
in their place. The rest is the guide's: the name of the service, its launcher, the order of the steps.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import kernel
from tests.outcomes.bed import Bed, bedding

pytestmark = kernel.needs_root

LAUNCHER = """#!/bin/bash
PID={root}/launcher.pid
function status {{ [ -e $PID ] && kill -0 $(cat $PID) 2>/dev/null || return 1; }}
case $1 in
start) status && exit 0
       echo "Starting the server..."
       nohup python3 -m http.server --bind 10.83.0.20 8080 >/dev/null 2>&1 & echo $! > $PID
       echo "Server started !" ;;
stop) kill $(cat $PID) ;;
info) echo "Name: webserver" ;;
status) status; exit $? ;;
esac
exit 0
"""

SVC1 = """[DEFAULT]
app = MyApp
nodes = n1
id = d74cc963-8f18-4c73-9691-9a833dba2a22

[ip#0]
ipname = 10.83.0.20
netmask = 255.255.255.0
ipdev = br0

[disk#1]
type = loop
file = {root}/app.img

[fs#app]
type = ext4
dev = {{disk#1.exposed_devs[0]}}
mnt = {root}/{{name}}/app
"""

APP = """
[app#web]
type = forking
start = {fs#app.mnt}/weblauncher start
stop = {fs#app.mnt}/weblauncher stop
check = {fs#app.mnt}/weblauncher status
info = {fs#app.mnt}/weblauncher info
"""


OM = (sys.executable, "-c", "import sys; from reconciler.cli.om import main; sys.exit(main())")


class Operator:
    """Types `om …` and reads the answer."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed

    def om(self, *words: str, editor: str = "", code: int = 0) -> str:
        env = {**os.environ, "STANDFAST_RUN": str(self.bed.run_dir), "NO_COLOR": "1"}
        env |= {"EDITOR": editor} if editor else {}
        done = subprocess.run(
            [*OM, *words],
            capture_output=True,
            text=True,
            env=env,
            check=False,
        )
        assert done.returncode == code, f"om {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    def edit(self, text: str) -> None:
        wanted = self.bed.root / "wanted.conf"
        wanted.write_text(text)
        self.om("svc1", "edit", "config", editor=f"cp {wanted}")
        self.until(lambda: text in (self.bed.services / "svc1.conf").read_text())

    def until(self, true) -> None:
        end = time.monotonic() + 8
        while not true():
            assert time.monotonic() < end, self.om("svc1", "print", "status")
            time.sleep(0.02)  # another process is watched: there is no event to wait for

    def shows(self, *rows: str) -> None:
        self.until(lambda: all(row in " ".join(self.status().split()) for row in rows))

    def status(self) -> str:
        return self.om("svc1", "print", "status")

    def log(self) -> str:
        return (self.bed.root / "agent.log").read_text()


@pytest.fixture
def operator() -> Iterator[Operator]:
    with bedding() as bed:
        image = bed.image("app")
        bed.run(f"mkfs.ext4 -q {image}")
        with bed.process():
            operator = Operator(bed)
            operator.until(lambda: (bed.run_dir / "standfast.sock").exists())
            yield operator


def test_getting_started(operator):
    bed, om = operator.bed, operator.om
    assert "running" in om("mon")  # the agent is operational

    om("svc1", "create")
    operator.until(lambda: om("*/svc/*", "ls") == "svc1\n")
    operator.edit(SVC1.format(root=bed.root))
    assert (bed.services / "svc1.conf").exists()

    operator.shows("svc1 down", "ip#0", "10.83.0.20/24 br0", "disk#1", "fs#app")
    assert not bed.mounts()  # orchestrate = no: nothing is done that nobody asked for

    om("svc1", "start", "--local")
    operator.shows("svc1 up", "started", "disk#1 ........ up loop")
    assert bed.mounts() == [f"{bed.root}/svc1/app"]
    assert "10.83.0.20/24" in bed.addresses()
    lines = operator.log()
    order = [
        "arping -D",
        "ip addr add 10.83.0.20/24",
        "arping -U",
        "losetup -f",
        "e2fsck -p",
        "mount -t ext4",
    ]
    assert sorted(order, key=lines.index) == order

    launcher = bed.root / "svc1/app/weblauncher"
    launcher.write_text(LAUNCHER.format(root=bed.root))
    launcher.chmod(0o755)
    operator.edit(SVC1.format(root=bed.root) + APP)
    om("svc1", "start", "--rid", "app#web")
    operator.shows("app#web ...../.. up forking: weblauncher")
    assert "| Server started !" in operator.log()
    operator.until(lambda: _answers("10.83.0.20"))

    om("svc1", "stop", "--local")
    operator.shows("svc1 down", "app#web", "stopped")
    assert not bed.mounts()
    assert "10.83.0.20/24" not in bed.addresses()
    lines = operator.log()
    order = ["weblauncher stop", "umount", "losetup -d", "ip addr del"]
    assert sorted(order, key=lines.index) == order

    om("svc1", "start", "--local")
    operator.shows("svc1 up", "app#web ...../.. up")
    assert "svc1" in om("mon")


def test_an_address_that_is_answered_elsewhere_aborts_the_start(operator):
    bed = operator.bed
    operator.om("svc1", "create")
    operator.edit(SVC1.format(root=bed.root))
    operator.shows("svc1 down")
    bed.peer.run(f"ip addr add 10.83.0.20/24 dev {bed.peer.its_dev}")
    operator.om("svc1", "start", "--local", code=1)
    assert "start aborted due to resource ip#0 conflict" in operator.om("svc1", "print", "status", code=1)
    assert not bed.mounts()
    assert not bed.loops()


def _answers(address: str) -> bool:
    fetch = f"import urllib.request as u; u.urlopen('http://{address}:8080', timeout=1)"
    return subprocess.run([sys.executable, "-c", fetch], capture_output=True, check=False).returncode == 0


def test_the_guides_own_document_is_read():
    """Its slips are lint; nothing of it is refused."""
    from reconciler.decide.documents import Home, check

    path = Path(__file__).parents[2] / "examples/services-opensvc/svc1.conf"
    checked = check(
        path.read_bytes(), str(path), "root/svc1", "conf", Home("demo1", cluster_nodes=("demo1", "demo2"))
    )
    assert not checked.faults
    assert checked.service is not None
    assert [r.rid for r in checked.service.resources] == [
        "ip#0",
        "disk#0",
        "disk#1",
        "disk#2",
        "fs#app",
        "fs#data",
    ]
    assert checked.lints
