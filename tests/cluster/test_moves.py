"""What is asked for, and no fault: moves, restarts, many services at once, hosts of other times."""

import contextlib
import json
import os
import signal
import time
from importlib.resources import files

import jsonschema

from reconciler.cli.client import Failed
from reconciler.decide.timing import PROFILES
from tests.cluster.bed import bedding, needs_cluster
from tests.cluster.host import Host
from tests.cluster.members import FAST, TAKEN, Cluster, document

pytestmark = needs_cluster


def test_moved_and_back_while_it_is_asked(two):
    assert two.hosts["n2"].cli("plan", "web") == "root/web: nothing to do\n  n1 holds it\n"
    for name in ("n2", "n1"):
        began = time.monotonic()
        two.hosts["n1"].cli("switch", "web", "--to", name)
        two.up_on(name, within=2)
        assert time.monotonic() - began < 3
    two.never_twice()


def test_a_level_that_is_weaker_than_the_promise_is_said(two):
    """No host here has a watchdog, and nobody a fence."""
    cluster = two.hosts["n2"].json("mon")["node"]["cluster"]
    (said,) = cluster["outside"]
    assert said.startswith(f"n1, n2: level {cluster['session']['level']}, ")
    schema = files("schemas").joinpath("api/node.json").read_text()
    jsonschema.validate(cluster, json.loads(schema)["properties"]["cluster"])
    assert said in two.hosts["n1"].cli("mon")


def test_a_restart_stays_where_it_is_though_another_node_comes_first(two):
    two.hosts["n1"].cli("switch", "web", "--to", "n2")
    two.up_on("n2")
    two.hosts["n1"].cli("restart", "web")
    two.up_on("n2")
    assert len(two.bed.sampler.history().of("program web", "n1")) == 1
    assert len(two.bed.sampler.history().of("program web", "n2")) == 2
    two.never_twice()


def test_who_observes_waits_as_long_as_the_holder_says():
    """The holder is conservative, the observer fast: T stands in the session."""
    conservative = PROFILES["conservative"]
    with bedding(hosts=2, members=1, programs=["web"]) as bed, contextlib.closing(Cluster(bed)) as made:
        spec = json.loads((bed.hosts["n1"].kept / "node.yaml").read_text())["spec"]
        bed.hosts["n1"].configure({**spec, "failover_time": "conservative"})
        made.begin()
        made.units["n1"].stay_down()
        bed.net.isolate("n1")
        time.sleep(FAST.failover + 2)
        assert made.answering() == ""  # it is up on a host that nobody reaches
        assert bed.hosts["n2"].json("mon", "web")["items"][0]["status"]["claims"][0]["node"] == "n1"
        assert conservative.wait > FAST.failover + 2
        made.never_twice()


def test_nodes_are_selected_by_labels_that_all_hosts_know():
    """n3 alone matches at first; then n2, which comes first in the list, and a label of n3 goes."""
    with bedding(hosts=3, members=1, programs=["web"]) as bed, contextlib.closing(Cluster(bed)) as made:
        spec = json.loads((bed.hosts["n1"].kept / "node.yaml").read_text())["spec"]
        for name, zone in (("n1", "a"), ("n2", "a"), ("n3", "b")):
            bed.hosts[name].configure(spec, zone=zone)
        made.begin()
        made.edited("n1", document(["zone=b"]))
        made.up_on("n3", within=TAKEN)
        assert {tuple(lists(host)) for host in bed.hosts.values()} == {("n3",)}
        assert "n1 is not among its nodes (n3, by zone=b)" in bed.hosts["n1"].cli("why", "web")

        bed.hosts["n2"].configure(spec, zone="b")
        anew(bed.hosts["n2"])
        bed.until(
            lambda: {tuple(lists(h)) for h in bed.hosts.values()} == {("n2", "n3")}, what="not n2, n3"
        )
        assert made.answering() == "n3"
        bed.hosts["n3"].configure(spec, zone="c")
        anew(bed.hosts["n3"])
        made.up_on("n2", within=TAKEN)
        bed.until(lambda: {tuple(lists(h)) for h in bed.hosts.values()} == {("n2",)}, what="not n2 alone")
        made.never_twice()


def anew(host: Host) -> None:
    """Its unit starts another agent, which reads node.yaml."""
    os.kill(host.agent, signal.SIGTERM)


def lists(host: Host) -> list[str]:
    """The nodes of the service, as this host has them in force; none while its agent is away."""
    try:
        return list(host.get("/v1/services/root/web")["status"]["nodes"])
    except Failed:
        return []


def test_the_holder_of_a_hundred_services_dies():
    with bedding(hosts=2, members=1, programs=["web"]) as bed, contextlib.closing(Cluster(bed)) as made:
        made.begin()
        one = {"nodes": ["n1", "n2"], "resources": {"fs#0": {"type": "flag"}}}
        for number in range(100):
            name = f"s{number}"
            whole = {
                "apiVersion": "standfast/v1",
                "kind": "Service",
                "metadata": {"name": name},
                "spec": one,
            }
            bed.hosts["n1"].write(f"{name}.yaml", json.dumps(whole))

        def held(name: str) -> int:
            items = bed.hosts["n2"].json("mon")["items"]
            return sum(c["node"] == name for one in items for c in one["status"]["claims"])

        bed.until(lambda: held("n1") == 101, within=30)
        made.units["n1"].stay_down()
        began = time.time()
        bed.hosts["n1"].crash()
        bed.until(lambda: held("n2") == 101, within=30)
        said = bed.hosts["n2"].json("events", "--since", "1m", "-n", "100000")["items"]
        claimed = {e["service"]: e["at"] for e in said if e["reason"] == "Wanted" and e["at"] > began}
        assert len(claimed) == 101
        assert max(claimed.values()) - began < FAST.wait + 1
        made.never_twice()


def test_how_full_the_store_is_is_measured():
    with bedding(hosts=1, members=1) as bed, contextlib.closing(Cluster(bed)) as made:
        host = bed.hosts["n1"]
        spec = json.loads((host.kept / "node.yaml").read_text())["spec"]
        host.configure({**spec, "metrics_listen": "127.0.0.1:9833"})
        bed.store.begin()
        made.units["n1"].start()
        page = "curl -s 127.0.0.1:9833/metrics | grep ^standfast_cluster_store_quota_bytes || true"
        bed.until(lambda: float((host.run(page) or "x 0").split()[1]) > 0, what="it is not measured")
