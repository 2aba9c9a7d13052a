"""Short ways to a checked document, shared by the tests of documents."""

from reconciler.decide.documents import Checked, Home, check

HOME = Home("demo1", labels={"zone": "a"}, cluster_nodes=("demo1", "demo2", "demo10"), run="/run/x")


def yaml(text: str, home: Home = HOME, key: str = "root/svc1") -> Checked:
    return check(text.encode(), "svc1.yaml", key, "yaml", home)


def conf(text: str, home: Home = HOME, key: str = "root/svc1") -> Checked:
    return check(text.encode(), "svc1.conf", key, "conf", home)


def service(spec: str) -> str:
    """A YAML document with this spec, whose first line is line 5."""
    indented = "\n".join(f"  {line}" for line in spec.strip("\n").split("\n"))
    return f"apiVersion: standfast/v1\nkind: Service\nmetadata: {{name: svc1}}\nspec:\n{indented}\n"


def resources(text: str, vars: str = "{}") -> str:
    """A YAML document with these resources, the first of them in line 7."""
    indented = "\n".join(f"  {line}" for line in text.strip("\n").split("\n"))
    return service(f"vars: {vars}\nresources:\n{indented}")


def good(checked: Checked):
    assert checked.service, "\n".join(map(str, checked.faults))
    return checked.service


def spec_of(checked: Checked, rid: str):
    return good(checked).resource(rid).spec


def said(checked: Checked) -> list[str]:
    return [str(fault).replace("\n    ", " ") for fault in checked.faults]
