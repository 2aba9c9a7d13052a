"""Services that cannot start, stop or move, or want what another has: never both, and it is said why."""

import contextlib
import json
import time

from tests.cluster.bed import needs_cluster
from tests.cluster.host import HOME, Host
from tests.cluster.members import ADDRESS, DATA, FAST, document
from tests.cluster.unit import Unit

pytestmark = needs_cluster

SLOW = f"""#!/bin/sh
echo begun >> {HOME}/slow.log
sleep 30
echo ended >> {HOME}/slow.log
"""


def stalled(host: Host) -> str:
    """The reason of its condition."""
    found = host.json("status", "web")["items"][0]["status"]["conditions"]
    return next(str(one["reason"]) for one in found if one["type"] == "Stalled")


def test_start_failed_on_one_node(two):
    host = two.hosts["n1"]
    host.cli("stop", "web")
    host.run(f"mv {HOME}/dev/shared {HOME}/dev/hidden")
    host.run(f"mknod {HOME}/dev/shared b 7 250")  # a device that nothing is behind
    host.cli("start", "web", "--no-wait")
    two.up_on("n2", within=30)
    assert "a start failed there" in two.hosts["n2"].cli("why", "web")
    two.hosts["n2"].cli("clear", "web")  # asked on one host, heard on all: a new start may be tried at once
    two.bed.until(
        lambda: "a start failed there" not in two.hosts["n2"].cli("why", "web"),
        within=3,
        what="n1 does not forget it",
    )
    two.never_twice()


def test_start_blocked_on_one_node(two):
    """What it lacks may never come there; where it is there, it can run."""
    n1, n2 = two.hosts["n1"], two.hosts["n2"]
    n1.cli("stop", "web")
    program(n2)
    text = json.loads(document(tuple(two.hosts)))
    text["spec"]["resources"]["app#here"] = {"type": "simple", "start": f"{HOME}/here"}
    n1.write("web.yaml", json.dumps(text))
    two.bed.until(lambda: "app#here" in n1.cli("status", "web"))
    n1.cli("start", "web", "--no-wait")
    two.up_on("n2", within=20)
    two.bed.until(lambda: f"a start failed there: app#here: {HOME}/here does not" in n2.cli("why", "web"))
    program(n1)
    two.bed.until(
        lambda: "n1: could take it" in n2.cli("why", "web"), within=5, what="n1 does not hear of it"
    )
    two.never_twice()


def program(host: Host) -> None:
    """It has what app#here starts."""
    there = host.kept / "here"
    there.with_suffix(".new").write_text("#!/bin/sh\nexec sleep 1000\n")
    there.with_suffix(".new").chmod(0o755)
    there.with_suffix(".new").rename(there)


def test_start_script_in_flight(two):
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


def test_mount_in_flight(two):
    """The kernel ends it after the deadline, for an agent that was killed: it must be seen, and undone."""
    n1, text = two.hosts["n1"], document(tuple(two.hosts))
    ground = two.bed.ground()
    two.bed.disk("slow", on=ground)
    n1.cli("stop", "web")
    two.edited("n1", text.replace("/dev/shared", "/dev/slow"))
    # The check before the mount would wait for the disk, too.
    n1.kept.joinpath("e2fsck").write_text("#!/bin/sh\n")
    n1.kept.joinpath("e2fsck").chmod(0o755)
    n1.run(f'mount --bind {HOME}/e2fsck "$(command -v e2fsck)"')
    with ground.frozen():
        n1.cli("start", "web", "--no-wait")
        two.bed.until(lambda: hangs(n1), what="no mount waits for the disk")
        two.units["n1"].stay_down()
        two.bed.net.isolate("n1")
        two.bed.until(lambda: "the deadline passed" in two.log(n1), what="its session goes on")
        time.sleep(FAST.stop / 3)
        assert hangs(n1)
        assert not n1.mounts()
        thawed = time.monotonic()
    two.up_on("n2")
    history = two.bed.sampler.history()
    late = [one for one in history.of(f"mount {DATA}", "n1") if one.since > thawed]
    assert late, f"its mount was not in flight: thawed at {thawed}\n{history.told(f'mount {DATA}')}"
    assert "all that it had listed is seen gone" in two.log(n1)
    two.never_twice()


def hangs(host: Host) -> bool:
    """For a while something of it has waited in the kernel, where no signal is heard."""
    words = "cat /proc/[0-9]*/task/[0-9]*/status 2>/dev/null || true"
    return all("(disk sleep)" in host.run(words) for _ in range(5))


def test_stop_hanging_during_a_move(two):
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
    there = "app#hangs is up there, wanted down: stuck: "
    two.bed.until(lambda: there in two.hosts["n2"].cli("why", "web"), what="n2 does not say how it does")
    assert two.answering() != "n2"
    assert host.json("mon", "web")["items"][0]["status"]["claims"][0]["node"] == "n1"
    two.never_twice()


def test_device_edited_while_in_use(two):
    two.bed.disk("second")
    host = two.hosts["n1"]
    host.write("web.yaml", document(tuple(two.hosts)).replace("/dev/shared", "/dev/second"))
    time.sleep(2)
    assert two.answering() == "n1"
    assert "waits for stop" in host.cli("why", "web") + host.cli("status", "web")
    assert stalled(host) == "WaitsForStop"
    host.cli("stop", "web")
    host.cli("start", "web")
    two.up_on("n1", "n2")
    mounted = next(h for h in two.hosts.values() if h.name == two.answering())
    assert "/dev/second" in mounted.run("findmnt -n -o SOURCE " + DATA) or mounted.mounts()
    two.never_twice()


def test_thing_held_by_another_service(two):
    """The same address in two documents: the second waits for the first, and says for whom."""
    n1, n2 = two.hosts["n1"], two.hosts["n2"]
    other = json.loads(document(["n2"]).replace('"web"', '"shop"'))
    other["spec"]["resources"] = {"ip#0": other["spec"]["resources"]["ip#0"]}
    n2.write("shop.yaml", json.dumps(other))
    two.bed.until(lambda: "root/web has it, held by n1" in n2.cli("why", "shop", code=None))
    assert f"waits for address {ADDRESS}" in n2.cli("why", "shop")
    n1.cli("stop", "web")
    two.bed.until(lambda: f"{ADDRESS}/24" in n2.addresses(), what="shop does not get the address")
    time.sleep(1)  # web is down there, too, and sees the address that it names
    assert len(two.bed.sampler.history().of(f"address {ADDRESS}", "n2")) == 1
    assert f"{ADDRESS}/24" not in n1.addresses()
    two.never_twice()


def test_document_different_on_two_nodes(two):
    """The file that was saved last is in force everywhere; the other one is a fault of that file alone."""
    n1, n2 = two.hosts["n1"], two.hosts["n2"]
    program = two.held_since("n1")
    n2.write("web.yaml", document(tuple(two.hosts), app="of n2"))
    two.bed.until(lambda: "another one was applied later, on n2" in n1.cli("why", "web"), what="n1")
    assert stalled(n1) == "ConflictingDocuments"
    assert two.held_since("n1") == program
    assert two.answering() == "n1"
    two.never_twice()


def test_node_cloned(two):
    """The copy runs nothing and says why; the first one goes on, and is obeyed."""
    program = two.held_since("n1")
    twin = two.bed.clone(two.hosts["n1"], "twin", 9)
    with contextlib.closing(Unit(twin)) as unit:
        unit.start()
        two.bed.until(twin.answers, what="the copy does not answer")

        def session() -> dict[str, object]:
            return dict(twin.json("mon")["node"]["cluster"]["session"])

        two.bed.until(lambda: session()["duplicate"], what="no alarm")
        assert "another node lives under this name" in str(session()["why"])
        assert "another node lives under this name" in twin.cli("why", "web")
        time.sleep(FAST.wait + 1)
        assert two.held_since("n1") == program
        assert two.answering() == "n1"
        two.hosts["n1"].cli("switch", "web", "--to", "n2")
        two.up_on("n2")
        two.hosts["n2"].cli("switch", "web", "--to", "n1")
        two.up_on("n1")
        assert not two.bed.sampler.history().of("program web", "twin")
        two.never_twice()


def test_service_renamed_while_its_holder_is_cut_off(two):
    """Its things under another name wait for the node that has them under the old one."""
    n1, n2 = two.hosts["n1"], two.hosts["n2"]
    n1.write(
        "other.yaml", document(["n1"], resources={"fs#0": {"type": "flag"}}).replace('"web"', '"other"')
    )
    n1.cli("switch", "web", "--to", "n2")
    two.up_on("n2")
    two.bed.net.isolate("n2")
    renamed = document(["n1", "n2"]).replace('{"name": "web"}', '{"name": "shop"}')
    n1.write("shop.yaml", renamed)
    (n1.kept / "services" / "web.yaml").unlink()
    two.bed.until(lambda: "waits for" in n1.cli("why", "shop", code=None), what="shop does not wait")
    assert "root/web has it, held by n2" in n1.cli("why", "shop")
    two.up_on("n1")
    two.never_twice()
    two.bed.net.heal()
    two.bed.until(lambda: two.sessions() == 2, within=15, what="n2 does not come back")
    two.bed.until(lambda: "web" not in n2.cli("ls", "--names").split(), what="web is still there")
    assert two.answering() == "n1"
    two.never_twice()
