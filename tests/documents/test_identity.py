"""A path in the watched directory names a service, is no document, or is a fault."""

import pytest

from reconciler.decide.documents import identity
from reconciler.errors import Fault


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("shop.yaml", ("root/shop", "yaml")),
        ("shop.conf", ("root/shop", "conf")),
        ("web/shop.yaml", ("web/shop", "yaml")),
        ("root/shop.yaml", ("root/shop", "yaml")),
        ("a.b-c.yaml", ("root/a.b-c", "yaml")),
        ("./web//shop.yaml", ("web/shop", "yaml")),
    ],
)
def test_names_a_service(path, wanted):
    assert identity(path) == wanted


@pytest.mark.parametrize(
    "path",
    [
        "",
        "README.md",
        ".shop.yaml",
        ".git/shop.yaml",
        "shop.yaml~",
        "shop.yaml.swp",
        ".shop.yaml.swp",
        "shop.tmp",
        "shop.yaml.tmp",
        "svc1.d/launcher",
        "svc1.d/httpd.conf",
        "yaml",
        "web/notes.txt",
        "a/b/c/deep.txt",
    ],
)
def test_is_no_document(path):
    assert identity(path) is None


@pytest.mark.parametrize(
    ("path", "todo"),
    [
        ("a/b/c.yaml", "b/c.yaml"),
        ("shop.yml", "shop.yaml"),
        ("my shop.yaml", "Letters"),
        ("my_shop.yaml", "Letters"),
        ("-x.yaml", "Letters"),
        (f"{'x' * 64}.yaml", "63"),
        ("b@d/shop.yaml", "Letters"),
    ],
)
def test_is_a_fault(path, todo):
    fault = identity(path)
    assert isinstance(fault, Fault)
    assert todo in fault.todo
