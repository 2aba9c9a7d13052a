"""YAML 1.2 as written, and what is wrong with text that is not."""

import json

import pytest

from reconciler.decide.documents import yaml_text
from tests.documents.bed import good, resources, said, service, yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("True", True),
        ("tRue", "tRue"),
        ("~", None),
        ("null", None),
        ("0755", 755),
        ("0o755", 493),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("1e3", 1000.0),
        ("1e999", "1e999"),
        (".5", 0.5),
        (".inf", ".inf"),
        ("-", "-"),
        ("+", "+"),
        (".", "."),
        ("9" * 40, "9" * 40),
        ("10.0.0.1", "10.0.0.1"),
        ("2024-01-01", "2024-01-01"),
    ],
)
def test_scalar_by_the_core_schema(text, value):
    if text != "-":
        assert yaml_text.read(f"k: {text}", "f").tree == {"k": value}
    found = yaml_text.scalar(text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        pytest.param("", 0, "is empty", id="nothing at all"),
        pytest.param("---\n", 0, "is empty", id="only a mark"),
        pytest.param("# only a comment\n", 0, "is empty", id="only a comment"),
        pytest.param("a: 1\nb: [\n", 3, "is not YAML", id="a list left open"),
        pytest.param("a:\n\tb: 1\n", 2, "no tabs", id="a tab"),
        pytest.param("a: 1\nb: 2\na: 3\n", 3, "written twice, first in line 1", id="a key twice"),
        pytest.param("a: 1\n---\nb: 2\n", 2, "more than one document", id="two documents"),
        pytest.param("a: !!python/object 1\n", 1, "uses the tag", id="a tag"),
        pytest.param("a: &x {b: *x}\n", 1, "contains itself", id="a circle"),
        pytest.param("a: *x\n", 1, "anchor", id="an alias of nothing"),
        pytest.param("a: &x {b: 1}\nc:\n  <<: *x\n", 3, "not part of YAML 1.2", id="a merge key"),
        pytest.param("? {a: 1}\n: 2\n", 1, "where a key is wanted", id="a map as key"),
        pytest.param("a: {name}/x\n", 1, "must be quoted", id="a reference that starts a value"),
        pytest.param("a: {disk#1.exposed_devs[0]}\n", 1, "must be quoted", id="a reference with brackets"),
        pytest.param("a: " + "[" * 60 + "]" * 60, 1, "nested more than", id="too deep"),
        pytest.param("a: \x00\n", 0, "is not YAML", id="a control character"),
        pytest.param("- 1\n", 1, "is not a map", id="a list"),
        pytest.param("hello", 1, "is not a map", id="a word"),
    ],
)
def test_cannot_be_read(text, line, part):
    checked = yaml(text)
    assert checked.service is None
    hits = [fault for fault, text in zip(checked.faults, said(checked), strict=True) if part in text]
    assert [fault.line for fault in hits] == [line], said(checked)


def test_a_few_lines_do_not_become_millions():
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for number in range(1, 9):
        text += f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 10)}]\n"
    assert "more than 100000 values" in said(yaml(text))[0]


def test_bytes_that_are_no_text():
    from reconciler.decide.documents import check
    from tests.documents.bed import HOME

    checked = check(b"a: 1\nb: \xff\xfe\n", "f.yaml", "root/f", "yaml", HOME)
    assert str(checked.faults[0]).startswith("f.yaml:2: is not UTF-8")
    assert "larger than 1 MiB" in check(b"#" * (2 << 20), "f.yaml", "root/f", "yaml", HOME).faults[0].what


def test_a_byte_order_mark_and_dos_line_ends_are_no_fault():
    text = "\ufeff" + service("app: x").replace("\n", "\r\n")
    assert good(yaml(text)).app == "x"


def test_an_anchor_stands_for_its_value():
    found = good(yaml(resources("fs#a: &x {type: flag, path: '/f/{rid}'}\nfs#b: *x")))
    assert [r.spec["path"] for r in found.resources] == ["/f/fs#a", "/f/fs#b"]


def test_the_document_is_kept_as_written_and_fits_json():
    document = yaml(resources("fs#a: {type: flag, path: '{run}/{name}'}")).document
    assert json.loads(json.dumps(document)) == document
    assert document["spec"]["resources"]["fs#a"]["path"] == "{run}/{name}"
