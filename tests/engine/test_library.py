"""A real directory and what of it is in force: what goes by accident, by word, in the middle of things."""

import asyncio
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from reconciler.adapters.store_memory import MemoryStore
from reconciler.decide.documents import Home
from reconciler.engine.desk import Desk
from reconciler.engine.library import Library
from reconciler.engine.reading import Reader
from tests.engine.rig import Clock


class Shelf:
    """A directory of documents and the library of it."""

    def __init__(self, root, store=None) -> None:
        self.root, self.records = root / "services", {}
        self.root.mkdir(exist_ok=True)
        self.store = store or MemoryStore()
        self.desk = Desk(self.store, "n1", "boot", Clock(), lambda key: None)
        home = Home("n1", services=str(self.root), root=False)
        self.changed, self.told = list[str](), list[str]()
        with ThreadPoolExecutor(1) as bulk:
            self.reader = Reader(home, bulk)
            self.library = Library(
                self.root, self.reader, self.desk, self.records, self, Clock(), self.changed.append, 0.01
            )

    def record(self, event) -> None:
        self.told.append(event.text)

    def write(self, *names: str, **more: object) -> None:
        for name in names:
            spec = {"resources": {"fs#flag": {"type": "flag", "path": f"/nowhere/{name}"}}, **more}
            whole = {
                "apiVersion": "standfast/v1",
                "kind": "Service",
                "metadata": {"name": name},
                "spec": spec,
            }
            (self.root / f"{name}.yaml").write_text(json.dumps(whole))

    async def scan(self) -> None:
        async with asyncio.timeout(5):
            await self.library.settle()

    def alive(self) -> set[str]:
        return {key.removeprefix("root/") for key, record in self.records.items() if not record.deleted}


@pytest.fixture
async def shelf(tmp_path):
    made = Shelf(tmp_path)
    await made.desk.start()
    made.write("a", "b", "c", "d")
    await made.scan()
    assert made.alive() == {"a", "b", "c", "d"}
    yield made
    await made.desk.close()


async def test_a_person_confirms_what_was_held_and_no_more(shelf):
    """Nothing that went after the last look, and not all of it because the directory just went away."""
    for name in ("a", "b", "c"):
        (shelf.root / f"{name}.yaml").unlink()
    await shelf.scan()
    assert shelf.library.held == {"root/a", "root/b", "root/c"}
    shutil.rmtree(shelf.root)
    await shelf.library.scan(confirmed=True)
    assert shelf.library.verdict.removed == {"root/a", "root/b", "root/c"}
    assert shelf.alive() == {"d"}
    await shelf.scan()
    assert shelf.alive() == {"d"}


async def test_a_confirmation_of_nothing_removes_nothing(shelf):
    shutil.rmtree(shelf.root)
    await shelf.library.scan(confirmed=True)
    await shelf.scan()
    assert shelf.alive() == {"a", "b", "c", "d"}
    assert shelf.library.verdict.held


async def test_what_came_back_is_not_removed_by_the_word(shelf):
    for name in ("a", "b", "c"):
        (shelf.root / f"{name}.yaml").unlink()
    await shelf.scan()
    shelf.write("a")
    await shelf.library.scan(confirmed=True)
    assert shelf.alive() == {"a", "d"}


async def test_what_was_purged_stays_so_when_the_daemon_dies_in_the_middle(shelf, tmp_path):
    shelf.library.discard("root/a")
    await shelf.desk.durable()
    after = Shelf(tmp_path, shelf.store)
    await after.desk.start()
    await after.library.load()
    await after.scan()
    assert after.alive() == {"b", "c", "d"}
    assert not after.library.verdict.held
    await after.desk.close()


async def test_what_is_held_back_is_held_by_the_next_daemon_too(shelf, tmp_path):
    """Two of four would go at once, were it not known that they went together with a third."""
    for name in ("a", "b", "c"):
        (shelf.root / f"{name}.yaml").unlink()
    await shelf.scan()
    shelf.write("a")
    await shelf.scan()
    assert shelf.library.held == {"root/b", "root/c"}
    await shelf.desk.durable()
    after = Shelf(tmp_path, shelf.store)
    await after.desk.start()
    await after.library.load()
    await after.scan()
    assert after.alive() == {"a", "b", "c", "d"}
    assert after.library.held == {"root/b", "root/c"}
    after.write("b", "c")
    await after.scan()
    assert not after.desk.prune_held()
    await after.desk.close()


@pytest.mark.parametrize(
    ("more", "passes", "begun"),
    [
        pytest.param({}, 0, True, id="killed before it could say what it had begun"),
        pytest.param({}, 1, False, id="an agent has looked since"),
        pytest.param({"orchestrate": "no"}, 0, False, id="nobody wanted it up"),
        pytest.param({"state": "stopped"}, 0, False, id="git wanted it down"),
    ],
)
@pytest.mark.parametrize("how", ["edited", "removed", "removed by another node"])
async def test_what_an_earlier_agent_may_have_begun(shelf, tmp_path, how, more, passes, begun):
    """The document it had in force is all that is known of it; the file is another one by now."""
    shelf.write("a", **more)
    await shelf.scan()
    await shelf.desk.durable()
    if how == "edited":
        shelf.write("a", resources={}, **more)
    elif how == "removed":
        (shelf.root / "a.yaml").unlink()
    after = Shelf(tmp_path, shelf.store)
    await after.desk.start()
    await after.library.load()
    after.records["root/a"].passes = passes
    if how == "removed by another node":  # before its first pass (seed 587917)
        after.library.let_go("root/a", "n2")
    else:
        await after.scan()
    assert after.records["root/a"].deleted is (how != "edited")
    assert set(after.desk.applied("root/a")) == ({"fs#flag"} if begun else set())
    assert not after.desk.applied("root/b"), "the first pass over it will see"
    await after.desk.close()


class Travel:
    """To hosts that have nothing yet."""

    def __init__(self) -> None:
        self.offered: list[str] = []
        self.removed: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def fault(self, key, path, generation):
        return None

    def settled(self, key, generation):
        return False

    def mine(self, key):
        return True

    def offer(self, offer) -> None:
        self.offered.append(offer.service.key)

    def remove(self, key) -> None:
        self.removed.set_result(key)


async def test_what_was_in_force_before_it_had_others_is_offered_to_them(shelf):
    """Unchanged since: without its document in their store nobody could claim it."""
    shelf.library.travel = travel = Travel()
    await shelf.library.scan()
    assert sorted(travel.offered) == ["root/a", "root/b", "root/c", "root/d"]


async def test_what_is_missed_because_it_looks_again_is_looked_for_once_more(shelf):
    """What the store has was in force again, and its file was gone: nobody judged that (seed 204470)."""
    shelf.library.travel = travel = Travel()
    for name in "abcd":
        shelf.desk.put_applied_file(f"root/{name}", "g")
    (shelf.root / "a.yaml").unlink()
    shelf.library.look_again()
    async with asyncio.timeout(2):
        assert await travel.removed == "root/a"


# --- what documents select by --------------------------------------------------------------

HOSTS = {"n1": {"zone": "a"}, "n2": {"zone": "a"}, "n3": {"zone": "b"}}


async def test_who_selects_nodes_is_read_anew_when_the_hosts_are_others(shelf):
    """As the store has them: a list of its own on every host would not say who is to run it."""
    shelf.write("a", nodes=["zone=a"])
    shelf.write("b", nodes=["n*"])
    shelf.write("c", nodes=["n1", "n9"])
    await shelf.scan()
    nodes = {name: shelf.records[f"root/{name}"].service.nodes for name in "abc"}
    assert nodes == {"a": (), "b": ("n1",), "c": ("n1", "n9")}
    shelf.changed.clear()
    shelf.reader.home = replace(shelf.reader.home, labels={"zone": "a"})
    await shelf.library.know(HOSTS)
    assert {name: shelf.records[f"root/{name}"].service.nodes for name in "abc"} == {
        "a": ("n1", "n2"),
        "b": ("n1", "n2", "n3"),
        "c": ("n1", "n9"),
    }
    assert sorted(shelf.changed) == ["root/a", "root/b"]
    assert "its nodes are n1, n2, by zone=a" in shelf.told
    shelf.changed.clear()
    await shelf.library.know({**HOSTS})
    await shelf.library.know({**HOSTS, "n3": {"zone": "c"}})
    assert shelf.changed == []  # nobody's list is another one now


async def test_what_was_removed_does_not_come_back_with_another_host(shelf):
    shelf.write("a", nodes=["n*"])
    await shelf.scan()
    (shelf.root / "a.yaml").unlink()
    await shelf.scan()
    await shelf.library.know(HOSTS)
    assert shelf.records["root/a"].deleted


async def test_the_next_agent_knows_the_hosts_before_the_store_answers(shelf, tmp_path):
    """With a list of itself alone it would take what only it may use for its own."""
    shelf.write("a", nodes=["n*"])
    await shelf.scan()
    await shelf.library.know(HOSTS)
    await shelf.desk.durable()
    after = Shelf(tmp_path, shelf.store)
    await after.desk.start()
    after.library.travel = object()
    await after.library.load()
    assert after.records["root/a"].service.nodes == ("n1", "n2", "n3")
    alone = Shelf(tmp_path, shelf.store)
    await alone.desk.start()
    await alone.library.load()
    assert alone.records["root/a"].service.nodes == ("n1",)
    await after.desk.close()
    await alone.desk.close()
