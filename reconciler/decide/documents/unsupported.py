"""OpenSVC keywords that have no counterpart → why, and whether a document with them is refused.

A keyword whose absence changes only what is reported or scheduled is ignored with a lint; one that
would make the service behave otherwise than its author expects refuses the document. The same list,
for people, is docs/not-supported.md.
"""

import re
from typing import NamedTuple


class Unsupported(NamedTuple):
    refused: bool
    why: str


_COLLECTOR = Unsupported(False, "there is no collector")
_SCHEDULE = Unsupported(False, "nothing is polled on a schedule: events and a periodic look stand in")
_GROUPS = Unsupported(False, "resource limits by control group are left to the service manager")
_ENCAP = Unsupported(True, "services inside a container's guest are not managed")
_DRP = Unsupported(True, "there is no disaster-recovery tier of nodes")
_SYNC = Unsupported(True, "there are no sync resources")
_WHOLE = Unsupported(True, "triggers belong to a resource: write it in the section it is meant for")

SERVICE = {
    "id": Unsupported(False, ""),
    "comp_schedule": _COLLECTOR,
    "resinfo_schedule": _COLLECTOR,
    "status_schedule": _SCHEDULE,
    "monitor_schedule": _SCHEDULE,
    "run_schedule": Unsupported(True, "there are no task resources"),
    "sync_schedule": Unsupported(False, "there are no sync resources"),
    "sync_max_delay": Unsupported(False, "there are no sync resources"),
    "sync_timeout": Unsupported(False, "there are no sync resources"),
    "bwlimit": Unsupported(False, "there are no sync resources"),
    "status_timeout": Unsupported(False, "every question about the host has a time limit of its own"),
    "lock_timeout": Unsupported(False, "actions queue: there is no lock to wait for"),
    "timeout": Unsupported(False, "actions are bounded per resource: write start_timeout and stop_timeout"),
    "pre_monitor_action": Unsupported(True, "a command before monitor_action is not run"),
    "constraints": Unsupported(True, "write label selectors in nodes instead"),
    "stonith": Unsupported(
        True, "fencing is set up in node.yaml; a service asks for it by requires_safety"
    ),
    "scale": Unsupported(True, "write one document per service"),
    "flex_primary": Unsupported(True, "the first of nodes is the primary"),
    "drp_flex_primary": _DRP,
    "drpnodes": _DRP,
    "drpnode": _DRP,
    "encapnodes": _ENCAP,
    "autostart_node": Unsupported(True, "write orchestrate = start and the node first in nodes"),
    "pool": Unsupported(True, "there are no volume objects"),
    "access": Unsupported(True, "there are no volume objects"),
    "no_preempt_abort": Unsupported(True, "there are no SCSI reservations"),
    "prkey": Unsupported(True, "there are no SCSI reservations"),
}
RESOURCE = {
    "encap": _ENCAP,
    "schedule": Unsupported(True, "there are no tasks and no schedules"),
    "scsireserv": Unsupported(True, "there are no SCSI reservations"),
    "promote_rw": Unsupported(True, "a device is not switched to read-write; do it in blocking_pre_start"),
    "create_pg": _GROUPS,
    "provisioner": Unsupported(True, "each kind provisions in one way"),
    "run_requires": Unsupported(True, "there are no task resources"),
}
TAGS = {
    "nostatus": Unsupported(True, "write disable = true, or leave the resource out"),
    "encap": _ENCAP,
    "nonrouted": Unsupported(False, "it is only a word to select by"),
    "noalias": Unsupported(False, "it is only a word to select by"),
    "dedicated": Unsupported(False, "it is only a word to select by"),
}
_PATTERNS = (
    (re.compile(r"pg_\w+"), _GROUPS),
    (re.compile(r"sync_\w+_requires"), _SYNC),
    (re.compile(r"(blocking_)?(pre|post)_sync_\w+"), _SYNC),
    (re.compile(r"(blocking_)?(pre|post)_run"), Unsupported(True, "there are no task resources")),
    (
        re.compile(r"(blocking_)?(pre|post)_startstandby"),
        Unsupported(True, "a standby resource is started by start: write pre_start or post_start"),
    ),
)
_TRIGGER = re.compile(r"(blocking_)?(pre|post)_(start|stop|provision|unprovision)")


def of_service(keyword: str) -> Unsupported | None:
    """Why a service's keyword ([DEFAULT] in .conf) is not supported; None when it is not known at all."""
    return SERVICE.get(keyword) or (_WHOLE if _TRIGGER.fullmatch(keyword) else of_resource(keyword))


def of_resource(keyword: str) -> Unsupported | None:
    """The same for a resource's keyword."""
    found = RESOURCE.get(keyword)
    return found or next((why for pattern, why in _PATTERNS if pattern.fullmatch(keyword)), None)
