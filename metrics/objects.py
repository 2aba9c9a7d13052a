"""The API's Service objects → their series on a page."""

from collections.abc import Mapping
from typing import Any

from metrics.account import Account
from metrics.catalogue import ACTIVITIES, ASKED, RID, SVC
from metrics.page import Page, labelled

ENDED = ("refused", "expired", "failed")
SETTLED = {
    "up": ("up", "n/a", "stdby up"),
    "standby": ("up", "n/a", "stdby up"),
    "down": ("down", "n/a", "elsewhere", "stdby down"),
}
"""As `reconciler.model.settled`, in the states as shown."""


def write_service(
    page: Page, service: Mapping[str, Any], node: str, account: Account, drivers: set[str]
) -> tuple[str, set[str]]:
    """All series of one service on this host; returns its key and rids, and adds its drivers.

    Raises KeyError, TypeError and their like on a broken object, with nothing written of it.
    """
    meta, spec, status = service["metadata"], service.get("spec") or {}, service["status"]
    here = status["instances"].get(node) or NOWHERE
    resources = here["resources"]
    # Read everything that may be missing before the first line is written: all of it, or nothing.
    lines = [_Resource(rid, one) for rid, one in resources.items()]
    key = f"{meta['namespace']}/{meta['name']}"
    svc = labelled(SVC, (meta["namespace"], meta["name"]))
    frozen, wish, conditions = status["frozen"], status["wish"], status["conditions"]
    if wish and wish["state"] in ENDED:
        wish = None
    orchestrate = "no" if meta["source"].endswith(".conf") else "ha"  # what no document says
    described = {"topology": "failover", "orchestrate": orchestrate, "app": "default"}
    facts = [str(spec.get(name, default)) for name, default in described.items()]
    since = float(frozen["since"] if frozen else 0), float(wish["since"] if wish else 0)
    by_type = {one["type"]: (one["status"], one["reason"]) for one in conditions}
    claims = status.get("claims")
    activity, verb = here["state"], wish["verb"] if wish else "nothing"
    shown = (status["goal"], here["avail"], here["overall"], here["provisioned"], status["placement"])

    page.value("standfast_service_info", 1, f"{svc},{labelled(tuple(described), facts)}")
    for name, state in zip(STATE_SETS, shown, strict=True):
        page.states(name, state, svc)
    page.states("standfast_service_activity", activity if activity in ACTIVITIES else "other", svc)
    page.states("standfast_service_asked", verb if verb in ASKED else "other", svc)
    page.value("standfast_service_in_sync", all(line.in_sync for line in lines), svc)
    page.value("standfast_service_frozen", bool(frozen) or bool(here["frozen"]), svc)
    page.value("standfast_service_frozen_timestamp_seconds", since[0], svc)
    page.value("standfast_service_asked_timestamp_seconds", since[1], svc)
    page.value("standfast_service_last_pass_timestamp_seconds", account.last_pass_of.get(key, 0), svc)
    if claims is not None:
        held = any(one["node"] == node and not one["free"] for one in claims)
        page.value("standfast_service_claim_held", held, svc)
    for kind in ("Ready", "Reconciling", "Stalled"):
        state = by_type.get(kind, ("Unknown", ""))[0]
        page.states("standfast_service_condition", state, f'{svc},condition="{kind}"')
    stalled = by_type.get("Stalled", ("", ""))
    page.states("standfast_service_stalled", stalled[1] if stalled[0] == "True" else "", svc)
    for line in lines:
        line.write(page, key, svc, account)
    drivers.update(line.facts[0] for line in lines)
    return key, set(resources)


class _Resource:
    """One resource's values, read before anything is written."""

    def __init__(self, rid: str, one: Mapping[str, Any]) -> None:
        self.rid, self.state, self.goal, self.since = rid, one["state"], one["goal"], float(one["since"])
        self.running, self.stopped = bool(one["running"]), one["flags"].endswith("X")
        self.in_sync = self.goal not in SETTLED or self.state in SETTLED[self.goal]
        self.facts = one["kind"], one["optional"], one["monitor"], one["standby"], one["disable"]

    def write(self, page: Page, key: str, svc: str, account: Account) -> None:
        labels = f"{svc},{labelled(RID[2:], (self.rid,))}"
        driver, *yes = self.facts
        words = (driver, *("true" if fact else "false" for fact in yes))
        page.value("standfast_resource_info", 1, f"{labels},{labelled(INFO, words)}")
        page.states("standfast_resource_desired_state", self.goal, labels)
        page.states("standfast_resource_state", self.state, labels)
        page.value("standfast_resource_in_sync", self.in_sync, labels)
        page.value("standfast_resource_state_timestamp_seconds", self.since, labels)
        page.value("standfast_resource_running", self.running, labels)
        page.value("standfast_resource_stopped", self.stopped, labels)
        page.value("standfast_resource_losses_total", account.losses[key, self.rid], labels)
        page.value("standfast_resource_job_failures_total", account.failed_jobs_of[key, self.rid], labels)


INFO = ("driver", "optional", "monitor", "standby", "disabled")
STATE_SETS = (
    "standfast_service_desired_state",
    "standfast_service_state",
    "standfast_service_overall_state",
    "standfast_service_provisioned",
    "standfast_service_placement",
)
NOWHERE: Mapping[str, Any] = {
    "avail": "n/a",
    "overall": "n/a",
    "frozen": False,
    "state": "idle",
    "provisioned": "n/a",
    "resources": {},
}
"""A service without an instance on this host."""
