"""An etcd of ours → what goes on beside it: hosts are let in, the members' addresses written down."""

import asyncio
import contextlib
from dataclasses import replace

from reconciler.adapters import enrol, etcd_members, etcd_unit, pki
from reconciler.adapters.etcd_gateway import Gateway
from reconciler.adapters.etcd_settings import EtcdSettings, named
from reconciler.adapters.etcd_unit import Files, Unit
from reconciler.adapters.keepsake import replace_file
from reconciler.adapters.store_etcd import EtcdStore
from reconciler.decide.timing import PROFILES
from reconciler.errors import MayHeal, NeedsPerson
from reconciler.settings import Etcd

LOOK = 2.0  # seconds
PATIENT = 3.0  # seconds for a request that nobody's life hangs on


def patient(etcd: Etcd) -> EtcdSettings:
    """For people and their commands, who can wait longer than a renewal."""
    return replace(named(etcd, PROFILES["default"]), request_timeout=PATIENT)


async def beside(files: Files) -> None:
    """For ever; raises what ends it, and may be begun again."""
    unit = etcd_unit.load(files)
    if unit is None:
        raise NeedsPerson(f"{files.unit} is not there")
    if files.endpoints_kept.exists():
        replace_file(files.endpoints, files.endpoints_kept.read_text(encoding="utf-8"), 0o644)
    reached = patient(files.reached((unit.client_url,)))
    gateway, store = Gateway(reached), EtcdStore(reached)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(gateway.close)
        stack.push_async_callback(store.close)
        key = files.pki / "ca.key"
        if unit.enrol_port and key.exists():
            authority = (files.pki / "ca.pem").read_text(encoding="ascii")
            by = pki.Pair(authority, key.read_text(encoding="ascii"))
            keeper = enrol.Doorkeeper(unit, by, store, gateway)
            runner = await enrol.serve(files, unit, keeper, authority)
            stack.push_async_callback(runner.cleanup)
        while True:
            await _write_down(files, unit, gateway)
            await asyncio.sleep(LOOK)


async def _write_down(files: Files, unit: Unit, gateway: Gateway) -> None:
    try:
        found = await etcd_members.members(gateway)
    except MayHeal:
        return  # what was known stays
    others = sorted(url for member in found if not member.learner for url in member.clients)
    write_endpoints(files, [unit.client_url, *(url for url in others if url != unit.client_url)])


def write_endpoints(files: Files, endpoints: list[str]) -> None:
    text = "".join(f"{url}\n" for url in endpoints)
    for path in (files.endpoints_kept, files.endpoints):
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            replace_file(path, text, 0o644)
