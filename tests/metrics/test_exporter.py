"""The page as a scraper reads it: prometheus_client's parser and promtool are the other opinion."""

import asyncio
import gzip
import shutil
import subprocess
import time

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from metrics.account import Account, measure_lag
from metrics.catalogue import ACTS, BY_NAME, CATALOGUE, EVENTS, FOREIGN, series
from metrics.exporter import Exporter, serve
from metrics.objects import SETTLED
from metrics.page import escaped
from reconciler.contracts import Event
from reconciler.decide.asked import VERBS
from reconciler.decide.status import displayed
from reconciler.errors import MayHeal, NeedsPerson
from reconciler.model import Act, Goal, Observed, ServiceGoal, State, settled
from tests.metrics.world import NODE, Figures, service_object, statistics

WISH = {"verb": "stop", "who": "alice", "since": 1700000000.0, "state": "pending"}
FROZEN = {"who": "bob", "since": 1700000005.0}


def scraped(objects, account=None, node=NODE, **more):
    """{name: {labels as a frozenset of pairs: value}} of one page."""
    exporter = Exporter(node, lambda: objects, lambda: statistics(**more), account or Account())
    return parsed(asyncio.run(exporter.page()))


def parsed(pieces):
    found = {}
    for family in text_string_to_metric_families(b"".join(pieces).decode()):
        for sample in family.samples:
            samples = found.setdefault(sample.name, {})
            key = frozenset(sample.labels.items())
            assert key not in samples, f"{sample} is there twice"
            samples[key] = sample.value
    return found


def of(found, name, **labels):
    """The sum of the samples that have these labels; fails when there is none."""
    samples = [value for key, value in found[name].items() if labels.items() <= dict(key).items()]
    assert samples, f"no {name} with {labels}"
    return sum(samples)


def the_one(found, name, by="state", **labels):
    """Which state is 1."""
    ones = [
        dict(key)[by]
        for key, value in found[name].items()
        if value == 1 and labels.items() <= dict(key).items()
    ]
    assert len(ones) == 1, ones
    return ones[0]


@pytest.mark.parametrize(
    ("made", "name", "wanted"),
    [
        pytest.param(service_object(), "standfast_service_state", "up", id="observed: up"),
        pytest.param(
            service_object(states=[State.UP, State.DOWN]), "standfast_service_state", "warn", id="half up"
        ),
        pytest.param(service_object(), "standfast_service_desired_state", "up", id="desired: up"),
        pytest.param(
            service_object(goal=ServiceGoal.DOWN),
            "standfast_service_desired_state",
            "down",
            id="desired: down, though it is up",
        ),
        pytest.param(
            service_object(goal=ServiceGoal.DOWN), "standfast_service_state", "up", id="and it is up"
        ),
        pytest.param(service_object(), "standfast_service_placement", "optimal", id="where it should be"),
        pytest.param(service_object(), "standfast_service_provisioned", "n/a", id="nothing to provision"),
        pytest.param(service_object(), "standfast_service_activity", "idle", id="idle"),
        pytest.param(
            service_object(instances={}), "standfast_service_state", "n/a", id="no instance on this host"
        ),
    ],
)
def test_a_state_is_one_of_all(made, name, wanted):
    found = scraped([made])
    assert the_one(found, name) == wanted
    assert {dict(key)["state"] for key in found[name]} == set(BY_NAME[name].states)


@pytest.mark.parametrize(
    ("wish", "verb"),
    [
        pytest.param(None, "nothing", id="nobody asked"),
        pytest.param(WISH, "stop", id="a stop"),
        pytest.param(WISH | {"state": "fulfilled"}, "stop", id="a stop that stands"),
        pytest.param(WISH | {"verb": "purge"}, "other", id="a one-off"),
        pytest.param(WISH | {"state": "refused"}, "nothing", id="refused: nothing stands"),
    ],
)
def test_who_asked(wish, verb):
    found = scraped([service_object(wish=wish)])
    assert the_one(found, "standfast_service_asked", by="verb") == verb
    since = 0 if verb == "nothing" else 1700000000.0
    assert of(found, "standfast_service_asked_timestamp_seconds") == since


def test_frozen_apart_from_state():
    found = scraped([service_object(frozen=FROZEN), service_object("b")])
    assert of(found, "standfast_service_frozen", svc="web") == 1
    assert of(found, "standfast_service_frozen", svc="b") == 0
    assert of(found, "standfast_service_frozen_timestamp_seconds", svc="web") == 1700000005.0


def test_drift_is_apart_from_desired_and_observed():
    found = scraped([service_object(states=[State.UP, State.DOWN])])
    assert of(found, "standfast_service_in_sync") == 0
    assert of(found, "standfast_resource_in_sync", rid="app#0") == 1
    assert of(found, "standfast_resource_in_sync", rid="app#1") == 0
    assert the_one(found, "standfast_resource_desired_state", rid="app#1") == "up"
    assert the_one(found, "standfast_resource_state", rid="app#1") == "down"


def test_settled_means_what_the_model_says():
    for goal in Goal:
        for state in State:
            if not str(state).startswith("stdby"):
                for standby in (False, True):
                    shown = str(displayed(state, standby))
                    says = goal not in SETTLED or shown in SETTLED[goal]
                    assert says == settled(goal, Observed(state)), (goal, state)


def test_conditions_and_the_reason_of_a_stall():
    found = scraped([service_object(states=[State.UNKNOWN]), service_object("fine")])
    assert (
        the_one(found, "standfast_service_condition", "status", svc="web", condition="Ready") == "Unknown"
    )
    assert the_one(found, "standfast_service_condition", "status", svc="fine", condition="Ready") == "True"
    assert the_one(found, "standfast_service_stalled", "reason", svc="web") == "CannotLook"
    assert of(found, "standfast_service_stalled", svc="fine") == 0


def test_labels_that_tell_resources_apart_are_in_info_only():
    info = dict(next(iter(scraped([service_object()])["standfast_resource_info"])))
    assert info == {
        "namespace": "root",
        "svc": "web",
        "rid": "app#0",
        "driver": "app.flag",
        "optional": "false",
        "monitor": "true",
        "standby": "false",
        "disabled": "false",
    }


@pytest.mark.parametrize(("source", "wanted"), [("x.yaml", "ha"), ("x.conf", "no")])
def test_what_a_document_leaves_out_is_its_languages_default(source, wanted):
    made = service_object()
    made["spec"], made["metadata"]["source"] = {}, source
    info = dict(next(iter(scraped([made])["standfast_service_info"])))
    assert (info["orchestrate"], info["topology"], info["app"]) == (wanted, "failover", "default")


def test_statistics():
    found = scraped([])
    assert of(found, "standfast_source_up", source="addresses") == 1
    assert of(found, "standfast_source_up", source="mounts") == 0
    assert of(found, "standfast_source_look_seconds_total", source="mounts") == 0.25
    assert of(found, "standfast_document_valid", namespace="shop", svc="new") == 0
    assert of(found, "standfast_queue_depth") == 3
    assert of(found, "standfast_store_up") == 1
    assert of(found, "standfast_node_info", node=NODE) == 1
    assert of(found, "standfast_build_info") == 1
    assert "process_resident_memory_bytes" in found


def test_a_cluster_and_its_absence():
    found = scraped([service_object()])
    assert of(found, "standfast_session_open") == 1
    assert of(found, "standfast_session_epoch") == 4
    assert of(found, "standfast_session_level", level="lease") == 1
    assert of(found, "standfast_guard_lines") == 3
    assert of(found, "standfast_cluster_store_bytes") == 1 << 20
    assert of(found, "standfast_cluster_store_quota_bytes") == 2 << 30
    assert of(found, "standfast_cluster_store_voters") == 2
    assert of(found, "standfast_peer_alive", peer="demo2") == 0
    assert of(found, "standfast_peer_drained", peer="demo3") == 1
    assert of(found, "standfast_peer_last_renewal_timestamp_seconds", peer="demo1") == 1700000009.5
    assert of(found, "standfast_peer_last_renewal_timestamp_seconds", peer="demo2") == 0
    assert of(found, "standfast_service_claim_held", svc="web") == 1
    other = service_object(claims=[{"slot": 0, "node": "demo2", "epoch": 4, "free": False}])
    assert of(scraped([other]), "standfast_service_claim_held", svc="web") == 0
    alone = service_object()
    del alone["status"]["claims"]
    assert "standfast_service_claim_held" not in scraped([alone])


def test_what_happened_is_counted():
    account = Account()
    tell = account.record
    tell(Event(1, "operation", "root/web", "app#0", reason="start", seconds=0.3))
    tell(Event(1, "operation", "root/web", "app#0", reason="start", seconds=400, ok=False))
    tell(Event(1, "operation", "root/web", "app#0", reason="a new act"))
    tell(Event(1, "job", "root/web", "app#0", reason="start", ok=False))
    tell(Event(1, "state", "root/web", "app#0", reason="Lost", ok=False))
    tell(Event(1, "state", "root/web", "app#0", reason="State"))
    tell(Event(1, "never heard of", "root/web"))
    account.job("start", "app.flag", 0.02, ok=False)
    account.passed(0.003, ok=True, service="root/web", at=42.0)
    account.passed(0.1, ok=False, service="root/web", at=43.0)
    found = scraped([service_object()], account)
    assert of(found, "standfast_operations_total", act="start") == 2
    assert of(found, "standfast_operation_failures_total", act="start") == 1
    assert of(found, "standfast_operation_duration_seconds_bucket", act="start", le="0.5") == 1
    assert of(found, "standfast_operation_duration_seconds_bucket", act="start", le="+Inf") == 2
    assert of(found, "standfast_operation_duration_seconds_sum", act="start") == 400.3
    assert of(found, "standfast_resource_losses_total", rid="app#0") == 1
    assert of(found, "standfast_resource_job_failures_total", rid="app#0") == 1
    assert of(found, "standfast_events_total", kind="operation") == 3
    assert of(found, "standfast_events_total", kind="other") == 1
    assert of(found, "standfast_event_failures_total", kind="state") == 1
    assert of(found, "standfast_jobs_total", act="start", driver="app.flag") == 1
    assert of(found, "standfast_job_failures_total", act="start", driver="app.flag") == 1
    assert of(found, "standfast_jobs_total", act="stop", driver="app.flag") == 0
    assert of(found, "standfast_reconcile_total") == 2
    assert of(found, "standfast_reconcile_failures_total") == 1
    assert of(found, "standfast_reconcile_last_success_timestamp_seconds") == 42.0
    assert of(found, "standfast_service_last_pass_timestamp_seconds", svc="web") == 42.0


def test_what_is_gone_vanishes_with_its_counters():
    account, objects = Account(), [service_object(), service_object("gone")]
    for name in ("web", "gone"):
        account.record(Event(1, "state", f"root/{name}", "app#0", reason="Lost", ok=False))
        account.passed(0.1, ok=True, service=f"root/{name}")
    exporter = Exporter(NODE, lambda: objects, statistics, account)
    assert b'svc="gone"' in b"".join(asyncio.run(exporter.page()))
    del objects[1]
    assert b'svc="gone"' not in b"".join(asyncio.run(exporter.page()))
    objects.append(service_object("gone"))
    found = parsed(asyncio.run(exporter.page()))
    assert of(found, "standfast_resource_losses_total", svc="gone") == 0
    assert of(found, "standfast_resource_losses_total", svc="web") == 1


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param({}, id="empty"),
        pytest.param({**service_object("b"), "status": {}}, id="no status"),
        pytest.param(service_object("b", conditions=None), id="no conditions"),
        pytest.param(
            service_object("b", instances={NODE: {"avail": "up", "resources": {"app#0": {}}}}),
            id="a resource without a state",
        ),
        pytest.param(service_object("b", wish={**WISH, "since": None}), id="a wish of no time"),
    ],
)
def test_a_broken_object_costs_only_itself(broken):
    found = scraped([service_object("a"), broken, service_object("c")])
    assert of(found, "standfast_scrape_errors_total") == 1
    assert {dict(key)["svc"] for key in found["standfast_service_info"]} == {"a", "c"}


@given(st.text(), st.text(min_size=1))
def test_any_text_survives_as_label(name, rid):
    made = service_object(name)
    here = made["status"]["instances"][NODE]
    here["resources"] = {rid: here["resources"]["app#0"]}
    line = f'x{{a="{escaped(name)}"}} 1\n'
    page = asyncio.run(Exporter(NODE, lambda: [made], statistics, Account()).page())
    assert f'svc="{escaped(name)}",rid="{escaped(rid)}"'.encode() in b"".join(page)
    if name.isprintable():  # the parser splits lines at more than line breaks
        (family,) = text_string_to_metric_families("# TYPE x gauge\n" + line)
        assert family.samples[0].labels == {"a": name}


def test_every_metric_of_the_catalogue_is_exported_and_none_else():
    account = Account()
    account.job("start", "app.flag", 1, ok=True)
    found = set(scraped([service_object()], account))
    catalogued = {name for metric in CATALOGUE for name in series(metric)}
    assert catalogued <= found
    assert all(name.startswith(FOREIGN) for name in found - catalogued)


def test_the_catalogue_follows_its_rules():
    clashing = {"type", "cluster", "env", "dc", "zone", "service", "owner", "instance", "job", "node"}
    for metric in CATALOGUE:
        assert (metric.kind == "counter") == metric.name.endswith("_total"), metric.name
        assert metric.kind != "histogram" or metric.buckets == tuple(sorted(metric.buckets))
        assert metric.help.endswith("."), metric.name
        if metric.name != "standfast_node_info":
            assert not clashing & {*metric.labels, metric.by}, metric.name
    assert len(BY_NAME) == len(CATALOGUE)
    assert set(ACTS) == {str(act) for act in Act}
    assert {"start", "stop"} <= set(VERBS)
    assert "other" in EVENTS


def test_promtool_has_nothing_to_say():
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed: apt install prometheus")
    account = Account()
    account.job("start", "app.flag", 1, ok=True)
    page = asyncio.run(Exporter(NODE, lambda: [service_object()], statistics, account).page())
    told = subprocess.run(["promtool", "check", "metrics"], input=b"".join(page), capture_output=True)
    assert (told.returncode, told.stdout + told.stderr) == (0, b"")


# --- the listener --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listen", "url"),
    [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "[::1]"), ("localhost:0", "localhost")],
)
async def test_answers_on_its_own_listener(listen, url):
    exporter = Exporter(NODE, lambda: [service_object()], statistics, Account())
    listener = await serve(exporter, listen)
    try:
        async with aiohttp.ClientSession(auto_decompress=False) as client:
            base = f"http://{url}:{listener.port}"
            async with client.get(f"{base}/metrics", headers={"Accept-Encoding": "identity"}) as answer:
                plain = await answer.text()
                assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            async with client.get(f"{base}/metrics", headers={"Accept-Encoding": "gzip"}) as answer:
                packed = gzip.decompress(await answer.read()).decode()
            assert plain.count("\n") == packed.count("\n") > 50
            async with client.head(f"{base}/metrics") as answer:
                assert answer.status == 200
            async with client.get(base) as answer:
                assert "/metrics" in await answer.text()
    finally:
        await listener.close()


async def test_a_port_in_use_may_heal_and_nonsense_needs_a_person():
    exporter = Exporter(NODE, list, statistics, Account())
    listener = await serve(exporter, "127.0.0.1:0")
    try:
        with pytest.raises(MayHeal, match=r"cannot listen on 127.0.0.1:\d+: .*in use"):
            await serve(exporter, f"127.0.0.1:{listener.port}")
    finally:
        await listener.close()
    for nonsense in ("9833", "host:", "host:http", "host:99999", ""):
        with pytest.raises(NeedsPerson, match="is not an address"):
            await serve(exporter, nonsense)


async def test_two_scrapes_at_once_are_both_whole():
    exporter = Exporter(NODE, lambda: [service_object(f"s{n}") for n in range(200)], statistics, Account())
    pages = await asyncio.gather(exporter.page(), exporter.page())
    assert [of(parsed(page), "standfast_service_info") for page in pages] == [200, 200]


async def test_lag_is_measured():
    account = Account()
    task = asyncio.create_task(measure_lag(account, every=0.001))
    await asyncio.sleep(0)
    time.sleep(0.05)
    await asyncio.sleep(0.01)
    task.cancel()
    assert account.lag.sum >= 0.04


async def test_ten_thousand_resources_delay_nothing():
    """The longest turn that a scrape keeps for itself, in the thread's own time: others may be busy."""
    objects = [service_object(f"s{n}", [State.UP] * 10) for n in range(1000)]
    exporter = Exporter(NODE, lambda: iter(objects), statistics, Account())
    turns, running = [], asyncio.create_task(exporter.page())
    while not running.done():
        before = time.thread_time()
        await asyncio.sleep(0)
        turns.append(time.thread_time() - before)
    page = b"".join(running.result())
    assert page.count(b"\nstandfast_resource_state{") >= 80_000
    assert max(turns) < 0.02, f"{max(turns):.3f} s"
    assert sum(turns) < 2.0


def test_figures_have_the_shape_that_the_hub_gives():
    from reconciler.adapters.facts.source import SourceStats

    assert set(Figures.__dataclass_fields__) <= set(SourceStats.__dataclass_fields__)
