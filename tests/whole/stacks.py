"""Documents of every kind of resource that this kernel can run, and a bit of what is between them."""

from collections.abc import Mapping
from typing import Any

from tests.outcomes.bed import Bed

Resources = Mapping[str, Mapping[str, Any]]


def whole(bed: Bed) -> Resources:
    """One service with everything: an address and a route, a disk, filesystems, programs."""
    root = bed.root
    web = "echo hello > {fs#public.mnt}/hello; exec sleep 1000"
    return {
        "ip#0": {"type": "host", "name": "10.83.0.10/24", "dev": "br0", "probe": False},
        "ip#1": {
            "type": "route",
            "to": "10.99.0.0/16",
            "via": "10.83.0.2",
            "dev": "br0",
            "after": ["ip#0"],
        },
        "disk#0": {"type": "loop", "file": f"{root}/disk.img", "size": "16MiB"},
        "fs#data": {"type": "ext4", "dev": "{disk#0.exposed_devs[0]}", "mnt": f"{root}/data"},
        "fs#dir": {"type": "directory", "path": "{fs#data.mnt}/public", "perm": "0750"},
        "fs#public": {"type": "bind", "dev": "{fs#dir.path}", "mnt": f"{root}/public"},
        "fs#tmp": {"type": "tmpfs", "mnt": f"{root}/tmp", "mnt_opt": "size=1m"},
        "fs#flag": {"type": "flag", "path": "{fs#tmp.mnt}/flag"},
        "app#1": {
            "type": "forking",
            "shell": True,
            "start": "touch {fs#tmp.mnt}/up",
            "stop": "rm -f {fs#tmp.mnt}/up",
            "check": "test -e {fs#tmp.mnt}/up",
            "check_interval": "1s",
        },
        "app#2": {"type": "forking", "start": "true", "stop": "true"},
        "app#3": {"type": "simple", "shell": True, "start": web},
    }


def disks(bed: Bed, kind: str, megabytes: int) -> Resources:
    """A filesystem of this kind on a loop device."""
    return {
        "disk#0": {"type": "loop", "file": f"{bed.root}/{kind}.img", "size": f"{megabytes}MiB"},
        "fs#data": {"type": kind, "dev": "{disk#0.exposed_devs[0]}", "mnt": f"{bed.root}/{kind}"},
    }


def raw(bed: Bed) -> Resources:
    """A device that something else made."""
    image = bed.image("raw")
    bed.run(f"mkfs.ext2 -q {image}")
    device = bed.run(f"losetup -f --show {image}")
    return {
        "disk#0": {"type": "raw", "devs": [device]},
        "fs#data": {"type": "ext2", "dev": "{disk#0.exposed_devs[0]}", "mnt": f"{bed.root}/raw"},
    }


def names(bed: Bed) -> Resources:
    """An address by name, probed, and one of version 6."""
    bed.run("printf '10.83.0.30 db.standfast.test\\n' >> " + hosts(bed))
    return {
        "ip#0": {"type": "host", "name": "db.standfast.test", "netmask": 24, "dev": "br0"},
        "ip#1": {"type": "host", "name": "2001:db8::10/64", "dev": "br0"},
    }


def hosts(bed: Bed) -> str:
    """A hosts file of the bed's own."""
    copy = bed.root / "hosts"
    bed.run(f"cp /etc/hosts {copy}; mount --bind {copy} /etc/hosts")
    return "/etc/hosts"


def parallel(bed: Bed) -> Resources:
    """Programs started together, with commands around them."""
    app = {"type": "simple", "start": "sleep 1000", "subset": "workers"}
    around = {"triggers": {"pre_start": "true", "post_stop": f"rm -f {bed.root}/nothing"}}
    return {"fs#a": {"type": "flag"}, "app#1": {**app, **around}, "app#2": app, "app#10": app}
