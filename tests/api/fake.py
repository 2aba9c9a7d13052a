"""An agent without a loop or a host, that answers as a real one would."""

import copy
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from reconciler.api.agent import Object, Principal
from reconciler.api.fanout import Fanout

STARTED = 1_700_000_000.0


def resource(kind: str, state: str = "up", **more: Any) -> Object:
    made = {
        "kind": kind,
        "state": state,
        "flags": "........" if kind != "app.simple" else "...../..",
        "label": f"{kind} label",
        "provisioned": None,
        "since": STARTED,
        "goal": "up",
        "optional": False,
        "disable": False,
        "monitor": False,
        "standby": False,
        "restarts_left": 3,
        "running": False,
        "waiting": "",
        "log": [],
    }
    return {**made, **more}


def service(
    name: str, namespace: str = "root", avail: str = "up", goal: str = "up", count: int = 3
) -> Object:
    """A service whose resources all have the state `avail`."""
    kinds = [("ip#0", "ip.host"), ("fs#app", "fs.ext4"), ("app#web", "app.simple")]
    kinds += [(f"fs#{n}", "fs.flag") for n in range(count - 3)]
    ready = (goal == "up") == (avail == "up")
    conditions = [
        condition("Ready", "True" if ready else "False", {"up": "Up"}.get(avail, "Stopped")),
        condition("Reconciling", "False", "Settled"),
        condition("Stalled", "False", "NotStalled"),
    ]
    return {
        "apiVersion": "standfast/v1",
        "kind": "Service",
        "metadata": {
            "namespace": namespace,
            "name": name,
            "labels": {"tier": "web"},
            "generation": "0123abcd",
            "source": f"/etc/standfast/services/{name}.yaml",
        },
        "spec": {"app": "MyApp", "resources": {rid: {"type": kind.split(".")[1]} for rid, kind in kinds}},
        "status": {
            "observed_generation": "0123abcd",
            "nodes": ["n1"],
            "avail": avail,
            "overall": avail,
            "provisioned": "true",
            "placement": "optimal" if avail == "up" else "n/a",
            "goal": goal,
            "reason": "the document says started",
            "wish": None,
            "frozen": None,
            "conditions": conditions,
            "instances": {
                "demo1": {
                    "avail": avail,
                    "overall": avail,
                    "frozen": False,
                    "state": "idle",
                    "expect": "started",
                    "provisioned": "true",
                    "resources": {rid: resource(kind, avail) for rid, kind in kinds[:count]},
                }
            },
        },
    }


def condition(kind: str, status: str, reason: str, message: str = "") -> Object:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "since": STARTED,
        "generation": "0123abcd",
    }


def document(path: str, faults: tuple[str, ...] = ()) -> Object:
    name = path.rpartition(".")[0]
    made = [{"file": path, "line": 7, "path": "spec", "what": what, "todo": "mend it"} for what in faults]
    return {
        "path": path,
        "key": name if "/" in name else f"root/{name}",
        "generation": "0123abcd",
        "valid": not faults,
        "in_force": not faults,
        "faults": made,
        "lints": [],
    }


class FakeAgent:
    """Grants every wish at once, unless `holds`; `asked` tells what was asked and by whom."""

    def __init__(self, *services: Object) -> None:
        self.objects = {f"{s['metadata']['namespace']}/{s['metadata']['name']}": s for s in services}
        self.fanout = Fanout()
        self.asked: list[tuple[str, Object, Principal]] = []
        self.past: list[Object] = []
        self.files: list[Object] = []
        self.holds = False
        self.paths = {"services": "/etc/standfast/services", "state": "/var/lib/standfast", "run": "/run"}
        self.more: Object = {}
        self.fails: Exception | None = None

    # --- what the API asks --------------------------------------------------------------------

    def services(self) -> Sequence[Object]:
        self._fail()
        return [self.objects[key] for key in sorted(self.objects)]

    def service(self, key: str) -> Object | None:
        return self.objects.get(key)

    async def plan(self, key: str) -> Object:
        self._fail()
        step = {
            "rid": "fs#app",
            "act": "start",
            "why": "is down, wanted up",
            "operations": ["e2fsck -p /dev/vg/app", "mount -t ext4 /dev/vg/app /app"],
        }
        then = {**step, "rid": "app#web", "operations": ["/app/web start"]}
        return {"now": [step], "then": [then], "waiting": [{"rid": "app#web", "why": "waits for fs#app"}]}

    async def preview(self, path: str, content: str) -> Object:
        return {**await self.plan(path), "notes": [f"{path}: fs#app is replaced: mnt"]}

    async def why(self, key: str) -> Object:
        lines = [(0, f"{key} is up"), (1, "wanted: up, the document says started")]
        return {"lines": [{"indent": indent, "text": text} for indent, text in lines]}

    def documents(self) -> Sequence[Object]:
        return self.files

    def node(self) -> Object:
        return {
            "apiVersion": "standfast/v1",
            "kind": "Node",
            "name": "demo1",
            "version": "0.1.0",
            "env": "TST",
            "labels": {},
            "cluster_nodes": ["demo1"],
            "hosts": None,
            "started": STARTED,
            "paths": self.paths,
            "frozen": None,
            "drained": None,
            "cluster": None,
            "prune_held": [],
            "store": {"kind": "sqlite", "trouble": ""},
            "notices": [],
            "journal": {"trouble": "", "dropped": 0},
            "sources": {"mounts": {"ok": True, "why": ""}},
            "services": len(self.objects),
            **self.more,
        }

    def what_if(self, node: str, change: str) -> Object:
        move = {"service": "root/svc1", "slot": 0, "to": "demo2", "why": "by placement: nodes order"}
        return {"node": node, "change": change, "items": [move]}

    async def decisions(self, service: str) -> Sequence[Object]:
        case = {"nodes": {"demo1": {}}, "documents": {"svc1": {}}, "seen": {"svc1@demo1": "up"}}
        one = {"number": 1, "at": time.time(), "node": "demo1", "service": "root/svc1", "case": case}
        return [one] if service in ("", "root/svc1") else []

    async def ask(self, key: str, wish: Object, principal: Principal) -> Object:
        self._fail()
        self.asked.append((key, wish, principal))
        number = str(len(self.asked))
        if self.holds:
            self.change(key, wish=self._kept(number, wish, principal))
        elif wish["verb"] in ("start", "stop"):
            avail = "up" if wish["verb"] == "start" else "down"
            self.become(key, avail, wish=self._kept(number, wish, principal))
        elif wish["verb"] == "purge":
            self.remove(key)
        elif wish["verb"] == "freeze":
            self.change(key, frozen=_frozen("service", principal))
        return {"id": number}

    async def ask_node(self, wish: Object, principal: Principal) -> Object:
        self.asked.append(("", wish, principal))
        for key in self.objects if not self.holds else ():
            self.change(key, frozen=_frozen("node", principal) if wish["verb"] == "freeze" else None)
        return {"id": ""}

    async def prune(self, principal: Principal) -> Object:
        return {"pruned": ["root/gone"]}

    async def events(self, seconds: float, service: str, limit: int, after: int) -> Sequence[Object]:
        oldest = time.time() - seconds
        found = [e for e in self.past if e["at"] >= oldest and e["number"] > after]
        return [e for e in found if service in ("", e["service"])][-limit:]

    def subscribe(self) -> AsyncIterator[tuple[str, Object]]:
        return self.fanout.subscribe()

    # --- what tests do ------------------------------------------------------------------------

    def happen(self, text: str, service: str = "root/svc1", **more: Any) -> Object:
        event = {
            "number": len(self.past) + 1,
            "at": time.time(),
            "kind": "operation",
            "service": service,
            "rid": "fs#app",
            "reason": "drift",
            "text": text,
            "ok": True,
            "seconds": 0.009,
            "output": "",
            **more,
        }
        self.past.append(event)
        self.fanout.publish("event", event)
        return event

    def change(self, key: str, **status: Any) -> None:
        changed = copy.deepcopy(self.objects[key])
        changed["status"].update(status)
        self.objects[key] = changed
        self.fanout.publish("service", changed)

    def become(self, key: str, avail: str, **status: Any) -> None:
        """All of it is up, or down, as is wanted."""
        namespace, name = key.split("/")
        new = service(name, namespace, avail, "up" if avail == "up" else "down")
        self.change(key, **{**new["status"], **status})

    def remove(self, key: str) -> None:
        gone = self.objects.pop(key)
        self.fanout.publish("deleted", {"metadata": gone["metadata"]})

    def _kept(self, number: str, wish: Object, principal: Principal) -> Object:
        return {
            "id": number,
            "verb": wish["verb"],
            "who": principal.name,
            "since": time.time(),
            "reason": wish["reason"],
            "deadline": None,
            "rids": wish["rids"],
            "state": "pending",
        }

    def _fail(self) -> None:
        if self.fails:
            raise self.fails


def _frozen(scope: str, principal: Principal) -> Object:
    return {"scope": scope, "who": principal.name, "since": STARTED, "reason": "", "until": None}
