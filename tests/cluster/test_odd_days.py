"""What is rarer than a crash: operations in flight, a hanging stop, a store of yesterday, many services."""

import contextlib
import json
import time

from reconciler.decide.timing import PROFILES
from tests.cluster.bed import bedding, needs_cluster
from tests.cluster.host import HOME
from tests.cluster.members import DATA, FAST, Cluster, document

pytestmark = needs_cluster

SLOW = f"""#!/bin/sh
echo begun >> {HOME}/slow.log
sleep 30
echo ended >> {HOME}/slow.log
"""


def test_a_start_script_in_flight_ends_with_the_session(two):
    """What it was about to start must not come after everything was seen gone."""
    host = two.hosts["n1"]
    host.kept.joinpath("slow").write_text(SLOW)
    host.kept.joinpath("slow").chmod(0o755)
    app = {"type": "forking", "start": f"{HOME}/slow", "stop": "true", "timeout": 60}
    text = json.loads(document(tuple(two.hosts), orchestrate="ha"))
    text["spec"]["resources"]["app#slow"] = app
    host.write("web.yaml", json.dumps(text))
    two.bed.until(host.kept.joinpath("slow.log").exists, what="its start script is not begun")
    two.units["n1"].stay_down()
    two.bed.net.isolate("n1")
    two.bed.until(lambda: "all that it had listed is seen gone" in two.log(host), within=FAST.wait)
    assert "sleep" not in " ".join(host.machine.processes().values())
    two.never_twice()
    assert host.kept.joinpath("slow.log").read_text() == "begun\n"


def test_a_stop_that_hangs_keeps_the_claim_and_says_so(two):
    host = two.hosts["n1"]
    hanging = f"{HOME}/hang"
    host.kept.joinpath("hang").write_text("#!/bin/sh\nsleep 1000\n")
    host.kept.joinpath("hang").chmod(0o755)
    app = {"type": "forking", "start": "true", "stop": hanging, "check": "true", "stop_timeout": "2s"}
    text = json.loads(document(tuple(two.hosts)))
    text["spec"]["resources"]["app#hangs"] = app
    host.write("web.yaml", json.dumps(text))
    two.bed.until(lambda: "app#hangs" in host.cli("status", "web"))
    host.cli("switch", "web", "--to", "n2", "--no-wait")
    two.bed.until(lambda: "stuck" in host.cli("why", "web"), within=15)
    assert two.answering() != "n2"
    assert host.json("mon", "web")["items"][0]["status"]["claims"][0]["node"] == "n1"
    two.never_twice()


def test_a_store_that_went_back_in_time_is_believed_by_nobody(two):
    old = two.bed.store.save()
    program = two.held_since("n1")
    for _ in range(3):
        two.hosts["n1"].cli("freeze", "web")
        two.hosts["n1"].cli("thaw", "web")
    time.sleep(11)  # the revision that was seen is kept every 10 s
    two.bed.store.restore(old)
    two.bed.until(lambda: two.answering() == "", within=FAST.wait + 3, what="nobody stopped")
    time.sleep(2)
    assert two.answering() == ""
    assert program
    for host in two.hosts.values():
        two.bed.until(lambda host=host: "accept-store" in host.log(), what=f"{host.name} does not say so")
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
        time.sleep(FAST.failover + 5)
        assert made.answering() == ""  # it is up on a host that nobody reaches
        assert bed.hosts["n2"].json("mon", "web")["items"][0]["status"]["claims"][0]["node"] == "n1"
        assert conservative.wait > FAST.failover + 5
        made.never_twice()


def test_a_device_edited_while_it_is_mounted_goes_down_before_the_other_is_claimed(two):
    two.bed.disk("second")
    host = two.hosts["n1"]
    host.write("web.yaml", document(tuple(two.hosts)).replace("/dev/shared", "/dev/second"))
    time.sleep(2)
    assert two.answering() == "n1"
    assert "waits for stop" in host.cli("why", "web") + host.cli("status", "web")
    host.cli("stop", "web")
    host.cli("start", "web")
    two.up_on("n1", "n2")
    mounted = next(h for h in two.hosts.values() if h.name == two.answering())
    assert "/dev/second" in mounted.run("findmnt -n -o SOURCE " + DATA) or mounted.mounts()
    two.never_twice()


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
        began = time.monotonic()
        bed.hosts["n1"].crash()
        bed.until(lambda: held("n2") == 101, within=30)
        took = time.monotonic() - began
        assert took < FAST.wait + 1 + 0.5, f"{took:.2f} s"  # to ask takes a moment, too
