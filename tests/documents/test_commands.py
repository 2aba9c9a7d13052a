"""validate, lint, convert and explain as a person runs them."""

from pathlib import Path

import pytest

from reconciler.cli.main import main
from reconciler.decide.documents import check
from tests.documents.bed import HOME, good, resources

GOOD = resources("fs#a: {type: flag}")
BAD = resources("fs#a: {type: flag, pth: /x}\nfs#b: {type: flagg}")


@pytest.fixture
def services(tmp_path):
    (tmp_path / "services" / "web").mkdir(parents=True)
    return tmp_path / "services"


def put(where: Path, name: str, text: str) -> Path:
    path = where / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_validate_a_file_in_order(services, capsys):
    assert main(["validate", str(put(services, "svc1.yaml", GOOD))]) == 0
    assert capsys.readouterr().out == ""


def test_validate_prints_every_fault_as_it_is(services, capsys):
    path = put(services, "svc1.yaml", BAD)
    assert main(["validate", str(path)]) == 1
    shown = capsys.readouterr()
    assert shown.out == (
        f'{path}:7: spec.resources.fs#a.pth: "pth" is no keyword of fs.flag.\n    Did you mean "path"?\n'
        f'{path}:8: spec.resources.fs#b.type: there is no kind "fs.flagg".\n    Did you mean "flag"?\n'
    )
    assert "2 faults in 1 of 1 document" in shown.err


def test_validate_a_directory(services, capsys):
    put(services, "svc1.yaml", GOOD)
    put(services, "web/svc1.yaml", GOOD)
    put(services, "svc1.yaml~", BAD)
    put(services, "svc1.d/launcher.conf", "not a document")
    put(services, "README", "hello")
    assert main(["validate", str(services)]) == 0
    assert "2 documents, no faults" in capsys.readouterr().err
    put(services, "web/deep/er.yaml", GOOD) if (services / "web/deep").mkdir() is None else None
    put(services, "svc1.conf", "[fs#a]\ntype = flag\n")
    put(services, "b.yml", GOOD)
    assert main(["validate", str(services)]) == 1
    out = capsys.readouterr().out
    assert out.count("is not the only file for root/svc1") == 2
    assert "Put it at NAMESPACE/NAME" in out
    assert "Rename it to b.yaml" in out


def test_a_file_by_itself_may_be_of_any_namespace(services, capsys):
    path = put(services, "svc1.yaml", GOOD.replace("{name: svc1}", "{name: svc1, namespace: web}"))
    assert main(["validate", str(path)]) == 0


@pytest.mark.parametrize(
    "words", [["validate", "/no/such"], ["lint", "/no/such"], ["convert", "/no/such.conf"]]
)
def test_a_file_that_is_not_there(words, capsys):
    assert main(words) == 2
    assert "/no/such" in capsys.readouterr().err


def test_validate_as_the_node_is(services, tmp_path, capsys):
    path = put(services, "svc1.yaml", GOOD.replace("resources:", "env: PRD\n  resources:"))
    node = put(tmp_path, "node.yaml", "apiVersion: standfast/v1\nkind: Node\nspec: {env: PRD}\n")
    assert main(["validate", str(path)]) == 1
    assert main(["validate", "--node", str(node), str(path)]) == 0
    put(tmp_path, "node.yaml", "kind: Node\n")
    capsys.readouterr()
    assert main(["validate", "--node", str(node), str(path)]) == 1
    assert "apiVersion is missing" in capsys.readouterr().err


def test_lint_looks_across_documents(services, capsys):
    for name in ("svc1", "svc2"):
        put(services, f"{name}.yaml", resources("fs#a: {type: tmpfs, mnt: /m}").replace("svc1", name))
    assert main(["lint", str(services)]) == 1
    out = capsys.readouterr().out
    assert (
        f"{services}/svc2.yaml:7: spec.resources.fs#a: names mount point /m, as fs#a of root/svc1 does."
        in out
    )


def test_lint_is_silent_about_what_is_right(services):
    assert main(["lint", str(put(services, "svc1.yaml", GOOD))]) == 0


def test_convert_writes_a_document(services, capsys):
    path = put(services, "svc1.conf", "[fs#a]\ntype = flag\npath = /x/{nix}\n")
    assert main(["convert", str(path), "--namespace", "web"]) == 0
    shown = capsys.readouterr()
    found = good(check(shown.out.encode(), "svc1.yaml", "web/svc1", "yaml", HOME))
    assert found.resources[0].spec["path"] == "/x/{nix}"
    assert "cannot be resolved" in shown.err
    assert main(["convert", str(put(services, "svc2.conf", "[fs#a]\ntype = nix\n"))]) == 1
    assert capsys.readouterr().out == ""
    assert main(["convert", str(put(services, "svc1.yaml", GOOD))]) == 2


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ([], ["fs.ext4", "ip.host", "service", "common"]),
        (["fs.flag"], ["path", "marker file", "a change stops and starts it", "{run}/flags"]),
        (["fs.ext4", "mnt_opt"], ["a change is made in place"]),
        (["ip.host", "name"], ["required", "also ipname"]),
        (["fs.flag", "restart"], ["default 3, 0 in .conf", "a change touches nothing"]),
        (["common", "provision"], ["true | false | command", "default true, command in .conf"]),
        (["service", "orchestrate"], ["ha | start | no", "default ha, no in .conf"]),
        (["service"], ["nodes", "placement"]),
    ],
)
def test_explain(words, parts, capsys):
    assert main(["explain", *words]) == 0
    out = capsys.readouterr().out
    assert all(part in out for part in parts), out


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["fs.etx4"], "did you mean fs.ext4?"),
        (["fs.ext4", "mnt_opts"], "did you mean mnt_opt?"),
        (["nix"], "lists them"),
    ],
)
def test_explain_what_is_not_there(words, hint, capsys):
    assert main(["explain", *words]) == 2
    assert hint in capsys.readouterr().err


def test_the_examples_are_in_order_and_have_no_lints(capsys):
    assert main(["lint", "examples/services"]) == 0, capsys.readouterr().out
    found = sorted(path.name for path in Path("examples/services").iterdir())
    assert "hello.yaml" in found
