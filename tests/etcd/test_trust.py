"""Which store it is, who we are to it, and what is not let in."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from reconciler.adapters.etcd_settings import EtcdSettings
from reconciler.adapters.store_etcd import EtcdStore
from reconciler.contracts import Identity
from reconciler.errors import MayHeal, NeedsPerson, StoreLost, UnknownOutcome
from tests.etcd import certificates
from tests.etcd.bed import DEFAULTS, Bed, needs_etcd
from tests.etcd.test_faults import followed, opened, until

pytestmark = needs_etcd
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")


@contextlib.asynccontextmanager
async def known(bed: Bed, identity: Identity | None, prefix: str = "own/") -> AsyncIterator[EtcdStore]:
    store = EtcdStore(bed.settings(prefix), identity)
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
def bed() -> Iterator[Bed]:
    """A member alone."""
    with Bed() as one:
        one.start()
        with one.inside():
            yield one


async def soon(call: Callable[[], Any]) -> Any:
    """Its answer, once the member has come up."""
    async with asyncio.timeout(5):
        while True:
            try:
                return await call()
            except MayHeal:
                await asyncio.sleep(0.02)


# --- which store it is --------------------------------------------------------------------------


async def test_a_store_is_founded_once_and_known_again(bed: Bed) -> None:
    async with known(bed, None) as first, known(bed, None) as second:
        assert (await first.identity()).store == ""
        made, same = await asyncio.gather(first.found(), second.found())
        assert made.store == same.store != ""
        assert made.cluster == same.cluster != ""
    async with known(bed, made) as later:
        revision = await later.commit({}, {"k": "x"})
        assert revision is not None
        assert (await later.identity()).revision >= revision
        assert list((await later.read("")).entries) == ["k"], "its own keys are not seen"


async def test_another_id_is_another_store_and_nothing_is_written_there(bed: Bed) -> None:
    async with known(bed, None) as store:
        before = await store.found()
        async with known(bed, before) as recovering:
            await recovering.found(anew=True)
        with pytest.raises(StoreLost, match="accept-store"):
            await store.commit({}, {"k": "x"})
        with pytest.raises(StoreLost, match="replaced"):
            await store.identity()
    async with known(bed, None) as accepting:
        assert (await accepting.identity()).store not in ("", before.store)
        assert (await accepting.read("")).entries == {}


async def test_an_id_that_is_gone_is_another_store(bed: Bed) -> None:
    """As when an etcd was set up anew with the same names: its cluster id is the same."""
    async with known(bed, None) as store:
        identity = await store.found()
    async with known(bed, replace(identity, store="remembered"), "own/") as store:
        with pytest.raises(StoreLost):
            await store.commit({"k": 0}, {"k": "x"})
    async with known(bed, identity, "emptied/") as store:
        with pytest.raises(StoreLost, match="has no id"):
            await store.commit({}, {"k": "x"})
        assert (await store.read("")).entries == {}


async def test_a_store_that_went_back_in_time_is_lost(bed: Bed) -> None:
    async with known(bed, None) as store:
        identity = await store.found()
    async with known(bed, replace(identity, revision=identity.revision + 1000)) as store:
        for call in (store.read(""), store.identity(), store.commit({"k": 5}, {"k": "x"})):
            with pytest.raises(StoreLost, match="back in time"):
                await call


async def test_a_member_of_another_cluster_is_passed_over_and_alone_is_refused(bed: Bed) -> None:
    with Bed(2) as pair:  # in a network of its own: what is at 127.0.0.1 there is another cluster
        async with known(bed, None) as store:
            identity = await store.found()
        pair.start()
        with pair.inside():
            async with known(pair, identity) as store:
                for call in (store.read(""), store.commit({}, {"k": "x"}), anext(aiter(store.watch(0)))):
                    with pytest.raises(StoreLost, match="belongs to another etcd cluster"):
                        await call
            async with opened(pair, "own/") as there:
                assert (await there.read("")).entries == {}


async def test_endpoints_of_two_clusters_only_ours_is_written(bed: Bed) -> None:
    async with known(bed, None) as store:
        identity = await store.found()
        async with foreign(cluster_id="4711") as url:
            settings = bed.settings("own/", endpoints=(url, *bed.urls))
            mixed = EtcdStore(settings, identity)
            assert await mixed.commit({}, {"k": "x"}) is not None
            assert "another etcd cluster" in str(mixed._gateway.endpoints[0].trouble)
            await mixed.close()


# --- what is not etcd, or must not be used ------------------------------------------------------


@contextlib.asynccontextmanager
async def foreign(version: str = "3.5.9", cluster_id: str = "1", status: int = 200) -> AsyncIterator[str]:
    """Something that answers on etcd's port, and must never be sent a commit."""

    async def say_version(request: web.Request) -> web.Response:
        return web.json_response({"etcdserver": version}, status=status)

    async def say_range(request: web.Request) -> web.Response:
        return web.json_response({"header": {"cluster_id": cluster_id, "revision": "9"}})

    app = web.Application()
    app.add_routes([web.get("/version", say_version), web.post("/v3/kv/range", say_range)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("version", ["3.5.0", "3.5.1", "3.5.2", "3.3.27", "2.3.8"])
async def test_versions_that_are_refused(version: str) -> None:
    async with foreign(version) as url:
        store = EtcdStore(EtcdSettings((url,), **DEFAULTS))
        with pytest.raises(NeedsPerson, match=f"etcd {version} at .* install 3.4"):
            await store.commit({}, {"k": "x"})
        await store.close()


@pytest.mark.parametrize("version", ["3.4.23", "3.5.3", "3.5.23", "3.6.0-rc.1", "4.0.0"])
async def test_versions_that_are_taken(version: str) -> None:
    async with foreign(version) as url:
        store = EtcdStore(EtcdSettings((url,), **DEFAULTS))
        assert (await store.read("")).revision == 9
        await store.close()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        pytest.param({"endpoints": ()}, "at least one", id="no endpoint"),
        pytest.param({"endpoints": ("10.0.0.1:2379",)}, "write https://10.0.0.1:2379", id="no scheme"),
        pytest.param({"certificate": Path("/x")}, "go together", id="a certificate without its key"),
        pytest.param({"prefix": "standfast"}, "slash", id="a prefix that is none"),
        pytest.param({"request_timeout": 0.0}, "longer than nothing", id="no time"),
    ],
)
def test_settings_that_cannot_work(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(NeedsPerson, match=says):
        EtcdSettings(**{"endpoints": ("https://e:2379",), **settings})


async def test_what_is_no_etcd_is_said_to_be_none() -> None:
    async with foreign(status=404) as url:
        store = EtcdStore(EtcdSettings((url,), **DEFAULTS))
        with pytest.raises(MayHeal, match="is it etcd's client port"):
            await store.read("")
        await store.close()


# --- certificates -------------------------------------------------------------------------------


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[tuple[Bed, Path]]:
    """A member that wants certificates, and where they are."""
    certificates.make(tmp_path)
    wanted = f"--cert-file {tmp_path}/member.pem --key-file {tmp_path}/member.key"
    wanted += f" --trusted-ca-file {tmp_path}/ca.pem --client-cert-auth"
    with Bed(scheme="https", arguments=wanted.split()) as bed:
        bed.start()
        with bed.inside():
            yield bed, tmp_path


def certified(place: Path, name: str = "agent") -> dict[str, Path]:
    return {
        "ca": place / "ca.pem",
        "certificate": place / f"{name}.pem",
        "key": place / f"{name}.key",
    }


@needs_openssl
async def test_with_a_client_certificate_it_works_and_without_it_says_why(
    guarded: tuple[Bed, Path], tmp_path: Path
) -> None:
    bed, place = guarded
    async with opened(bed, **certified(place)) as store:
        await soon(lambda: store.read(""))
        async with followed(store, 0) as seen:
            assert await store.commit({}, {"k": "x"}) is not None
            await until(lambda: len(seen) == 1)
    async with opened(bed, ca=place / "ca.pem") as without:
        for call in (without.commit({}, {"k": "y"}), without.read("")):
            with pytest.raises(MayHeal, match="refuses us in TLS") as refused:
                await call
            assert not isinstance(refused.value, UnknownOutcome), "who refuses our certificate read nothing"
    certificates.make(tmp_path / "other", "stranger")
    async with opened(bed, **certified(tmp_path / "other")) as stranger:
        with pytest.raises(MayHeal, match="is not good"):
            await stranger.commit({}, {"k": "y"})
    forged = {**certified(tmp_path / "other"), "ca": place / "ca.pem"}
    async with opened(bed, **forged) as impostor:
        with pytest.raises(MayHeal, match="refuses us in TLS"):
            await impostor.commit({}, {"k": "y"})


@needs_openssl
async def test_certificates_renewed_in_place_need_no_restart(
    guarded: tuple[Bed, Path], tmp_path: Path
) -> None:
    bed, place = guarded
    certificates.make(tmp_path / "other", "stranger")
    used = tmp_path / "used"
    shutil.copytree(tmp_path / "other", used)
    shutil.copy(place / "ca.pem", used / "ca.pem")
    async with opened(bed, **certified(used)) as store:
        with pytest.raises(MayHeal):
            await store.read("")
        for name in ("agent.pem", "agent.key"):
            shutil.copy(place / name, used / name)
        await soon(lambda: store.commit({}, {"k": "x"}))


@needs_openssl
async def test_certificates_that_cannot_be_read(tmp_path: Path) -> None:
    settings = EtcdSettings(("https://127.0.0.1:2379",), ca=tmp_path / "ca.pem")
    with pytest.raises(NeedsPerson, match=r"ca\.pem cannot be used: No such file"):
        EtcdStore(settings)
    (tmp_path / "ca.pem").write_text("not a certificate")
    with pytest.raises(NeedsPerson, match=r"ca\.pem cannot be used"):
        EtcdStore(settings)


# --- users --------------------------------------------------------------------------------------


def with_users(bed: Bed) -> None:
    """User `agent` may read and write what begins with `own`."""

    def ask(path: str, **body: Any) -> None:
        said = bed.ask(1, f"/v3/auth/{path}", body)
        assert "error" not in said, said

    for name in ("root", "agent"):
        ask("user/add", name=name, password=f"{name}-secret")
        ask("role/add", name=name)
        ask("user/grant", user=name, role=name)
    ask("role/grant", name="agent", perm={"permType": "READWRITE", "key": "b3du", "range_end": "b3dv"})
    ask("enable")


USER = {"user": "agent", "password": "agent-secret"}


async def test_a_token_lost_by_a_restart_is_got_anew(bed: Bed) -> None:
    with_users(bed)
    async with opened(bed, "own/", **USER) as store:
        await store.found()
        async with followed(store, (await store.read("")).revision) as seen:
            assert await store.commit({}, {"k": "1"}) is not None
            await until(lambda: len(seen) == 1)
            bed.kill(1)
            await asyncio.to_thread(bed.start)
            assert await store.commit({}, {"k": "2"}) is not None, "no error reaches the caller"
            await until(lambda: len(seen) == 2)
        assert await store.compact_if_due() is None


async def test_authentication_switched_on_under_a_running_agent(bed: Bed) -> None:
    async with opened(bed, "own/", **USER) as store:
        assert await store.commit({}, {"k": "1"}) is not None
        await asyncio.to_thread(with_users, bed)
        assert await store.commit({}, {"k": "2"}) is not None
        assert (await store.read("")).entries["k"].value == "2"


@pytest.mark.parametrize(
    ("prefix", "who", "says"),
    [
        pytest.param("own/", {**USER, "password": "wrong"}, "check the user", id="a wrong password"),
        pytest.param("own/", {}, "name a user and its password", id="no user at all"),
        pytest.param("other/", USER, "grant the user readwrite", id="keys that are not ours"),
    ],
)
async def test_who_is_not_let_in_is_told_what_to_do(
    bed: Bed, prefix: str, who: dict[str, str], says: str
) -> None:
    with_users(bed)
    async with opened(bed, prefix, **who) as store:
        for call in (store.read(""), store.commit({}, {"k": "x"}), anext(aiter(store.watch(0)))):
            with pytest.raises(NeedsPerson, match=says):
                await asyncio.wait_for(call, 2)
        assert "wrong" not in repr(store.settings)
