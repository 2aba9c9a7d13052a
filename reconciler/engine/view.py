"""Records of the engine → the API's own objects."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from reconciler.decide import shown
from reconciler.decide.asked import Asked, Frozen, Wish
from reconciler.decide.conditions import conditions
from reconciler.decide.explain import why
from reconciler.decide.status import as_api, instance, read_instance, service_status
from reconciler.engine.desk import Desk
from reconciler.engine.jobs import Job, Jobs
from reconciler.engine.record import Record
from reconciler.model import Act, Plan, Service, ServiceGoal, Step


class View:
    """Objects of one node, made anew at each call. `others`: the service as other hosts tell of it."""

    def __init__(self, node: str, desk: Desk, jobs: Jobs) -> None:
        self._node, self._desk, self._jobs = node, desk, jobs
        self.others: Callable[[str], Mapping[str, Mapping[str, Any]]] = lambda key: {}
        self.ranked: Callable[[Service], Sequence[str]] = lambda service: ()
        self.claims: Callable[[str], list[dict[str, Any]]] | None = None

    def service(self, record: Record, before: Mapping[str, Any] | None, now: float) -> dict[str, Any]:
        """`before`: the object as last made, for what keeps its `since`. `now`: wall-clock."""
        service, decision = record.service, record.decision
        asked, jobs = self._desk.asked(record.key), self._jobs.of(record.key)
        reports = shown.reports(record, asked, jobs, self._desk.memories(record.key))
        here, others = instance(reports), self.others(record.key)
        merged = {self._node: here, **{node: read_instance(told) for node, told in others.items()}}
        avail, overall, placement = service_status(service, merged, self.ranked(service))
        frozen = decision.frozen if decision else None
        goal = decision.goal if decision else ServiceGoal.UNTOUCHED
        old = before["status"]["conditions"] if before else ()
        return {
            "apiVersion": "standfast/v1",
            "kind": "Service",
            "metadata": {
                "namespace": service.namespace,
                "name": service.name,
                "labels": dict(service.labels),
                "generation": service.generation,
                "source": service.source,
            },
            "spec": dict(record.document.get("spec", record.document)),
            "status": {
                "node": self._node,
                "observed_generation": service.generation if record.passes else "",
                "nodes": list(service.nodes),
                "avail": avail.value,
                "overall": overall.value,
                "provisioned": here.provisioned,
                "placement": placement,
                "goal": goal.value,
                "reason": decision.reason if decision else "not looked at yet",
                "wish": _wish(record, asked),
                "frozen": frozen_object(frozen),
                "conditions": conditions(
                    reports,
                    here,
                    goal=shown.wanted(decision),
                    generation=service.generation,
                    now=now,
                    before=old,
                    trouble=shown.trouble(record, self._desk.failing),
                    frozen=bool(frozen),
                    no_session=shown.no_session(decision),
                    busy=bool(jobs) or bool(record.plan.now),
                    heard=record.asked == asked,
                ),
                **({"claims": self.claims(record.key)} if self.claims else {}),
                "instances": {
                    self._node: as_api(
                        reports,
                        here,
                        frozen=bool(frozen),
                        state=_doing(jobs, record),
                        expect=_expect(decision.underlying or goal if decision else goal),
                    ),
                    **others,
                },
            },
        }

    def why(self, record: Record, now: float, loop_now: float) -> dict[str, Any]:
        asked, jobs = self._desk.asked(record.key), self._jobs.of(record.key)
        commands = {rid: str(job.current) for rid, job in jobs.items() if job.current}
        parts = shown.parts(record, commands, now - loop_now)
        if record.decision is None:
            return {"lines": [{"indent": 0, "text": f"{record.key} was not looked at yet"}]}
        said = (record.plan, record.faults, self._desk.failing, now, shown.ways(record, loop_now))
        lines = why(record.key, record.decision, asked, parts, *said)
        return {"lines": [{"indent": indent, "text": text} for indent, text in lines]}


def plan_object(plan: Plan) -> dict[str, Any]:
    return {
        "now": [_step(step) for step in plan.now],
        "then": [_step(step) for step in plan.then],
        "waiting": [{"rid": w.rid, "why": w.why} for w in plan.waiting],
        "notes": list(plan.notes),
    }


def _step(step: Step) -> dict[str, Any]:
    operations = [str(operation) for operation in step.operations]
    return {"rid": step.rid, "act": str(step.act), "why": step.why, "operations": operations}


def _wish(record: Record, asked: Asked) -> dict[str, Any] | None:
    """What is under way, else how the last one ended, else what stands."""
    ended, standing = asked.ended, asked.standing
    if asked.wish:
        return _wish_object(asked.wish, "pending")
    if ended and (standing is None or ended.wish.at >= standing.at):
        return _wish_object(ended.wish, ended.state, ended.message)
    if standing is None:
        return None
    heard = record.asked.standing == standing
    return _wish_object(standing, "fulfilled" if heard and record.up_as_wanted() else "pending")


def _wish_object(wish: Wish, state: str, message: str = "") -> dict[str, Any]:
    return {
        "id": wish.id,
        "verb": wish.verb,
        "who": wish.who,
        "since": wish.at,
        "reason": wish.reason,
        "deadline": wish.until or None,
        "rids": list(wish.rids),
        "state": state,
        "message": message,
    }


def frozen_object(frozen: Frozen | None) -> dict[str, Any] | None:
    if frozen is None:
        return None
    kept = asdict(frozen)
    return {
        "scope": kept["scope"],
        "who": kept["who"],
        "since": kept["at"],
        "reason": kept["reason"],
        "until": kept["until"] or None,
    }


def _expect(goal: ServiceGoal) -> str:
    if goal is ServiceGoal.UP:
        return "started"
    return "" if goal is ServiceGoal.UNTOUCHED else "stopped"


def _doing(jobs: Mapping[str, Job], record: Record) -> str:
    acts = {job.step.act for job in jobs.values()} or {step.act for step in record.plan.now}
    for act, word in (
        (Act.DESTROY, "unprovisioning"),
        (Act.STOP, "stopping"),
        (Act.CREATE, "provisioning"),
        (Act.START, "starting"),
        (Act.PREFLIGHT, "checking"),
    ):
        if act in acts:
            return word
    return "start failed" if record.attempt.failed else "idle"
