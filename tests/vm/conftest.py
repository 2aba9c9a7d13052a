"""The guest, built and booted once for all tests of this folder."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm.bench import Bench
from tests.vm.guest import Guest

HERE = Path(__file__).parent
TOOLS = ("qemu-system-x86_64", "cpio", "dpkg-deb", "apt-get", "lvm", "mke2fs", "setpriv")


def build() -> Path:
    """The bed is kept in build/vm (or STANDFAST_VM_DIR): a second run boots in seconds."""
    if missing := [tool for tool in TOOLS if not shutil.which(tool)]:
        pytest.fail(f"missing: {', '.join(missing)}; apt-get install qemu-system-x86 cpio lvm2 e2fsprogs")
    bed = Path(os.environ.get("STANDFAST_VM_DIR", HERE.parents[1] / "build" / "vm"))
    subprocess.run([HERE / "bed" / "build.sh", bed], check=True)
    return bed


@pytest.fixture(scope="session")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    made = Guest(build(), tmp_path_factory.mktemp("guest"))
    yield made
    made.close()


@pytest.fixture
def bench(guest: Guest) -> Bench:
    """Blank disks. With STANDFAST_VM_RECORD=1 the reports seen are kept for test_recorded.py."""
    return Bench(guest, HERE / "data" if os.environ.get("STANDFAST_VM_RECORD") else None)
