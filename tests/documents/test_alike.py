"""What documents say in the same words is one value; what they say is still the same."""

from pathlib import Path

import pytest

from reconciler.decide.documents import check
from reconciler.decide.documents.alike import MOST, Alike
from tests.documents.bed import HOME

EXAMPLES = sorted(Path("examples/services").glob("*.yaml"))
TEXT = """\
apiVersion: standfast/v1
kind: Service
metadata: {name: NAME}
spec:
  resources:
    ip#0: {type: host, name: 10.0.0.1, netmask: 24, dev: br0, tags: [a], timeouts: {start: 5s}}
    ip#1: {type: host, name: 10.0.0.2, netmask: 24, dev: br0, tags: [a], timeouts: {start: 5s}}
    fs#0: {type: flag}
"""


def checked(text, name="one"):
    made = check(text.encode(), f"/s/{name}.yaml", f"root/{name}", "yaml", HOME)
    assert made.service is not None, made.faults
    return made


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_nothing_is_said_differently(path):
    made, alike = checked(path.read_text(), path.stem), Alike()
    assert alike.service(made.service) == made.service
    assert alike.tree(made.document) == made.document


def test_common_keywords_words_and_sets_are_shared_by_services():
    alike = Alike()
    one, two = (alike.service(checked(TEXT.replace("NAME", name), name).service) for name in ("one", "two"))
    for mine, other in zip(one.resources, two.resources, strict=True):
        assert mine.common is other.common
        assert mine.refs is other.refs
        assert mine.rid is other.rid
    assert one.resources[0].common is one.resources[1].common
    assert one.resources[0].common is not one.resources[2].common
    assert one.resources[0].spec["dev"] is two.resources[1].spec["dev"]


def test_words_of_a_tree_are_shared_and_the_tree_is_not():
    alike = Alike()
    one, two = (alike.tree(checked(TEXT.replace("NAME", name), name).document) for name in ("one", "two"))
    mine, other = one["spec"]["resources"]["ip#0"], two["spec"]["resources"]["ip#0"]
    assert mine["dev"] is other["dev"]
    assert mine is not other


def test_what_is_rare_is_not_kept_for_ever():
    alike = Alike()
    alike.tree([f"word {n}" for n in range(3 * MOST)])
    assert len(alike._known) <= MOST
