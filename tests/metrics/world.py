"""Service objects and statistics for the exporter, of any size."""

from dataclasses import dataclass

from reconciler.decide.conditions import conditions
from reconciler.decide.status import as_api, service_status
from reconciler.decide.status import instance as merged
from reconciler.model import Common, Goal, Observed, Service, ServiceGoal, State
from tests.status.reports import report

NODE = "demo1"


@dataclass
class Figures:
    looks: int = 10
    failures: int = 1
    events: int = 5
    seconds: float = 0.25
    last_success: float = 1700000000.0
    subjects: int = 7
    failing: int = 0


def service_object(
    name="web", states=(State.UP,), goal=ServiceGoal.UP, namespace="root", node=NODE, **status
):
    """As the agent makes it, by the same functions."""
    wanted = Goal.UP if goal is ServiceGoal.UP else Goal.DOWN
    reports = [
        report(f"app#{n}", goal=wanted, seen=Observed(state), common=Common(monitor=True), since=1.7e9)
        for n, state in enumerate(states)
    ]
    here = merged(reports)
    summary = service_status(Service(name, namespace, nodes=(node,)), {node: here})
    return {
        "apiVersion": "standfast/v1",
        "kind": "Service",
        "metadata": {"namespace": namespace, "name": name, "labels": {}, "generation": "g", "source": "x"},
        "spec": {"app": "MyApp", "orchestrate": "ha"},
        "status": {
            "observed_generation": "g",
            "nodes": ["n1"],
            "avail": str(summary.avail),
            "overall": str(summary.overall),
            "provisioned": here.provisioned,
            "placement": summary.placement,
            "goal": str(goal),
            "reason": "",
            "wish": None,
            "frozen": None,
            "conditions": conditions(reports, merged(reports), goal=goal, generation="g", now=1.0),
            "claims": [{"slot": 0, "node": node, "epoch": 4, "free": False}],
            "instances": {node: as_api(reports, merged(reports))},
            **status,
        },
    }


def peer(alive=True, **more):
    return {"alive": alive, "maintenance": False, "age": 0.5, "drained": "", **more}


def cluster():
    session = {"open": True, "epoch": 4, "level": "lease", "why": "", "duplicate": False}
    nodes = {"demo1": peer(), "demo2": peer(False, age=None), "demo3": peer(drained="drained by bob")}
    store = {"store_size": 1 << 20, "store_quota": 2 << 30, "store_voters": 2}
    seen = {"session": session, "failover": 19.0, "trouble": "", "nodes": nodes}
    return {"seen": seen, "wall": 1700000010.0, "guard_up": True, "guard_lines": 3, **store}


def statistics(**more):
    return {
        "cluster": cluster(),
        "node_frozen": False,
        "jobs_running": 2,
        "queue_depth": 3,
        "sources": {"addresses": Figures(), "mounts": Figures(failing=2)},
        "documents": {"root/web": True, "shop/new": False},
        "refused_files": 1,
        "directory_readable": True,
        "directory_last_success": 1700000001.0,
        "prune_held": False,
        "store_up": True,
        "store_last_success": 1700000002.5,
        "events_dropped": 0,
        **more,
    }
