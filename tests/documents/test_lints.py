"""Things that only one of two can have."""

import pytest

from reconciler.adapters.drivers import Drivers
from reconciler.decide.documents import lint_together
from tests.documents.bed import good, resources, yaml

DRIVERS = Drivers()
LATE = """
disk#0: {{type: loop, file: /{0}}}
fs#a: {{type: ext4, dev: "{{disk#0.exposed_devs[0]}}", mnt: /{0}}}
"""


def together(*texts: str) -> list[str]:
    services = []
    for number, text in enumerate(texts, 1):
        document = resources(text).replace("svc1", f"svc{number}")
        services.append(good(yaml(document, key=f"root/svc{number}")))
    return [lint.what for lint in lint_together(services, DRIVERS)]


@pytest.mark.parametrize(
    ("texts", "part"),
    [
        pytest.param(
            ["fs#a: {type: tmpfs, mnt: /m}\nfs#b: {type: tmpfs, mnt: /m}"],
            "fs#a does",
            id="one mount point twice",
        ),
        pytest.param(
            ["fs#a: {type: ext4, dev: /dev/x, mnt: /a}\nfs#b: {type: xfs, dev: /dev/x, mnt: /b}"],
            "device /dev/x",
            id="two filesystems on one device",
        ),
        pytest.param(
            ["ip#0: {name: 10.0.0.1, dev: a}", "ip#0: {name: 10.0.0.1, dev: b}"],
            "ip#0 of root/svc1",
            id="an address in two services",
        ),
    ],
)
def test_named_twice(texts, part):
    found = together(*texts)
    assert len(found) == 1
    assert part in found[0]


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param(
            ["fs#a: {type: tmpfs, mnt: /m}\nfs#b: {type: tmpfs, mnt: /m, disable: true}"], id="disabled"
        ),
        pytest.param(["fs#a: {type: tmpfs, mnt: /m}\nfs#b: {type: tmpfs, mnt: /n}"], id="two mount points"),
        pytest.param(
            [
                LATE.format("a"),
                LATE.format("b"),
            ],
            id="one reference in two services is two things",
        ),
    ],
)
def test_not_named_twice(texts):
    assert together(*texts) == []


def test_monitored_and_optional_is_odd():
    assert (
        "monitored and optional"
        in yaml(resources("fs#a: {type: flag, monitor: true, optional: true}")).lints[0].what
    )


@pytest.mark.parametrize(
    ("group", "told"),
    [("vgsc1", True), ("vgsvc1", False), ("vgsvc2", False), ("vgsvc12", False), ("data", False)],
)
def test_a_volume_group_one_letter_off(group, told):
    assert bool(yaml(resources(f"disk#0: {{type: vg, name: {group}}}")).lints) is told
