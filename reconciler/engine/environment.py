"""A service and a resource → the variables its commands and programs see."""

from collections.abc import Mapping

from reconciler.engine.record import Record
from reconciler.model import Owner


def environment(records: Mapping[str, Record], node: str, owner: Owner) -> dict[str, str]:
    """STANDFAST_* for our own, OPENSVC_* so that existing launchers go on working."""
    namespace, _, name = owner.service.partition("/")
    record = records.get(owner.service)
    mine = {
        "STANDFAST_SERVICE": owner.service,
        "STANDFAST_RID": owner.rid,
        "STANDFAST_NODE": node,
        "OPENSVC_RID": owner.rid,
        "OPENSVC_NAME": name,
        "OPENSVC_NAMESPACE": namespace,
        "OPENSVC_KIND": "svc",
        "OPENSVC_SVCNAME": name,
        "OPENSVC_SVCPATH": name if namespace == "root" else f"{namespace}/svc/{name}",
        "OPENSVC_LEADER": "1",
    }
    identity = record.document.get("id") if record else None
    if isinstance(identity, str):
        mine["OPENSVC_ID"] = mine["OPENSVC_SVC_ID"] = identity
    return mine
