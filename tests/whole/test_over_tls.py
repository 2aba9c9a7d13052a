"""A whole agent asked over TLS, and one that cannot be: its services come first."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reconciler.cli.main import main
from reconciler.settings import Api
from tests.api.certificates import Authority
from tests.outcomes.bed import Bed


def options(people: Authority, port: str, name: str) -> list[str]:
    certificate, key = people.issue(name.replace(" ", "-"), name)
    server = f"https://127.0.0.1{port[port.rindex(':') :]}"
    return [
        *("--server", server, "--ca", str(people.ca)),
        *("--certificate", str(certificate), "--key", str(key)),
    ]


def api(people: Authority, roles: Mapping[str, str], **more: Any) -> Api:
    certificate, key = people.server()
    given = {"listen": "127.0.0.1:0", "certificate": str(certificate), "key": str(key)}
    return Api(**{**given, "client_ca": str(people.ca), "roles": roles, **more})


async def test_a_service_is_stopped_from_another_host(bed: Bed, tmp_path: Path) -> None:
    people = Authority(tmp_path / "people")
    bed.write("web", {"fs#0": {"type": "flag"}})
    async with bed.agent(api=api(people, {"ops laptop": "operator"})) as agent:
        await agent.up("web")
        words = options(people, agent.running.agent.api, "ops laptop")
        assert await asyncio.to_thread(main, ["stop", "web", "--reason", "disk swap", *words]) == 0
        assert agent.state("web", "fs#0") == "down"
        assert agent.object("web")["status"]["wish"]["who"] == "ops laptop via TLS"
        words = options(people, agent.running.agent.api, "stranger")
        assert await asyncio.to_thread(main, ["start", "web", *words]) == 4
        assert agent.state("web", "fs#0") == "down"


async def test_a_key_that_others_may_read_keeps_no_service_down(bed: Bed, tmp_path: Path) -> None:
    bad = api(Authority(tmp_path / "people"), {})
    Path(bad.key).chmod(0o644)
    bed.write("web", {"fs#0": {"type": "flag"}})
    async with bed.agent(api=bad) as agent:
        await agent.up("web")
        told = agent.running.agent.node()
        assert told["api"] == ""
        assert f"chmod 600 {bad.key}" in told["notices"][0]
