"""A silent node is fenced: never for the store's silence, and its session is marked before it is fenced."""

import asyncio

import pytest

from reconciler.decide.sessions import Answers, Level, Session, Still, suspected
from reconciler.decide.timing import PROFILES
from reconciler.engine.fencing import AGAIN, Fencer
from reconciler.engine.opening import FENCE_ENDS
from reconciler.settings import Fence
from tests.members.rig import FAST, Bed, Node, play

SUSPICION = FAST.renew + FAST.leaderless + 2 * FAST.request
FENCE = Fence("fence_test")
nap = asyncio.sleep


def fencer(node: Node, does, told: list[str]) -> asyncio.Task[None]:
    class Here:
        """The membership, on the loop of the simulation."""

        async def suspected(self, suspicion: float) -> tuple[str, ...]:
            return node.member.suspected(suspicion)

        async def begin_fence(self, name: str) -> int:
            return await node.member.begin_fence(name)

        async def fenced(self, name: str, epoch: int) -> bool:
            return await node.member.fenced(name, epoch)

        async def fences_begun(self) -> dict[str, int]:
            return await node.member.fences_begun()

        async def fence_failed(self, name: str, epoch: int) -> bool:
            return await node.member.fence_failed(name, epoch)

    async def run(name: str, fence: Fence) -> str:
        told.append("run")
        return await does()

    made = Fencer({"n1": FENCE}, SUSPICION, Here, run, lambda text, ok: told.append(text))  # type: ignore[arg-type]
    return asyncio.create_task(made.run())


async def watched(bed: Bed, does, told: list[str]) -> tuple[Node, Node, "asyncio.Task[None]"]:
    """Two members that have been well for long enough; the second one would fence the first."""
    n1, n2 = bed.node("n1"), bed.node("n2")
    await bed.held(n1, n2)
    await nap(SUSPICION + 1)
    return n1, n2, fencer(n2, does, told)


async def marked(bed: Bed) -> tuple[Node, Node]:
    """The first one has crashed, and the second has begun to fence it."""
    n1, n2 = bed.node("n1"), bed.node("n2")
    await bed.held(n1, n2)
    n1.crash()
    assert await n2.member.begin_fence("n1")
    return n1, n2


async def off() -> str:
    await nap(0.5)
    return ""


async def broken() -> str:
    return "no answer"


def test_a_silent_node_is_fenced_and_its_session_closed_before_t():
    async def story(bed: Bed) -> None:
        told: list[str] = []
        n1, _, task = await watched(bed, off, told)
        await nap(1)
        n1.crash()
        await bed.until(lambda: not bed.session("n1").open, within=SUSPICION + 2)
        assert bed.session("n1").level is Level.FENCED
        assert told == [
            "n1 is silent: fence_test begins to fence it",
            "run",
            "n1 is fenced: its services are free",
        ]
        task.cancel()

    play(story)


def test_a_fence_that_fails_closes_nothing_before_t_and_is_tried_again():
    async def story(bed: Bed) -> None:
        told: list[str] = []
        n1, _, task = await watched(bed, broken, told)
        await nap(1)
        n1.crash()
        await nap(FAST.wait - 1)
        assert bed.session("n1").open
        assert bed.session("n1").fencing == "n2"
        assert told.count("run") == 1
        await bed.until(lambda: not bed.session("n1").open, within=3)
        assert bed.session("n1").level is not Level.FENCED
        await nap(AGAIN)
        assert told.count("run") == 1  # it is closed by now
        task.cancel()

    play(story)


def test_a_fence_closes_the_session_that_it_was_for_and_none_after_it():
    """The node was off and is back under another epoch when the agent says so: that one is alive."""

    async def story(bed: Bed) -> None:
        told: list[str] = []
        n1: Node

        async def off_and_on() -> str:
            await nap(0.5)
            n1.boot("boot 2")
            await nap(FENCE_ENDS + FAST.wait)  # longer than anybody waits to hear of it
            assert n1.current()
            return ""

        n1, _, task = await watched(bed, off_and_on, told)
        await nap(1)
        n1.crash()
        await bed.until(lambda: told.count("run") == 1)
        await nap(FENCE_ENDS + FAST.wait + 2)
        assert bed.session("n1").open
        assert n1.current()
        task.cancel()

    play(story)


def test_a_node_that_is_back_opens_nothing_before_its_fence_has_ended():
    """It stood for its T before that, and the fence took the next one, for ever (seeds 544519, 586503)."""

    async def story(bed: Bed) -> None:
        told: list[str] = []
        n1: Node

        async def slow() -> str:
            await nap(FAST.wait + 2)
            n1.crash()
            return ""

        n1, _, task = await watched(bed, slow, told)
        await nap(1)
        n1.crash()
        n1.boot("boot 2")
        await bed.until(lambda: not bed.session("n1").open, within=FAST.wait + 1)
        await nap(1)
        assert n1.standing.why == "n2 may still be fencing this node: waits to hear how it ended"
        await bed.until(lambda: not n1.up, within=5)
        n1.boot("boot 3")
        await bed.held(n1)
        await nap(30)
        assert (told.count("run"), n1.current().epoch) == (1, 3)
        task.cancel()

    play(story)


def test_a_node_hears_that_its_fence_failed():
    async def story(bed: Bed) -> None:
        told: list[str] = []
        n1, _, task = await watched(bed, broken, told)
        n1.crash()
        n1.boot("boot 2")
        await bed.until(lambda: not bed.session("n1").open, within=FAST.wait + 1)
        await bed.until(lambda: n1.current() is not None, within=FAST.renew + 1)
        assert bed.session("n1").fencing == ""
        task.cancel()

    play(story)


def test_a_node_does_not_wait_for_one_who_has_died_over_its_fence():
    async def story(bed: Bed) -> None:
        n1, n2 = await marked(bed)
        n2.crash()
        n1.boot("boot 2")
        await bed.until(lambda: n1.current() is not None, within=2 * FAST.wait)
        assert not bed.session("n2").open

    play(story)


def test_who_has_not_read_the_store_yet_knows_of_nobody_that_he_is_dead():
    async def story(bed: Bed) -> None:
        n1 = bed.node("n1")
        assert n1.member._beats.lives("n2")
        await bed.held(n1)
        await nap(1)
        assert not n1.member._beats.lives("n2")

    play(story)


def test_a_node_does_not_wait_for_ever_for_a_fence_that_hangs():
    async def story(bed: Bed) -> None:
        n1, _ = await marked(bed)
        n1.boot("boot 2")
        took = await bed.until(lambda: n1.current() is not None, within=FENCE_ENDS + FAST.wait + 1)
        assert took > FENCE_ENDS
        assert bed.session("n1").fencing == ""

    play(story)


def test_the_next_agent_tells_of_what_the_one_before_it_had_begun():
    async def story(bed: Bed) -> None:
        n1, n2 = await marked(bed)
        n1.boot("boot 2")
        await bed.until(lambda: not bed.session("n1").open, within=FAST.wait + 1)
        await nap(3)
        assert n1.current() is None
        task = fencer(n2, off, [])
        await bed.until(lambda: n1.current() is not None, within=FAST.renew + 1)
        task.cancel()

    play(story)


def test_who_is_marked_cannot_renew_and_ends_its_session():
    async def story(bed: Bed) -> None:
        n1, n2 = bed.node("n1"), bed.node("n2")
        await bed.held(n1, n2)
        assert await n2.member.begin_fence("n1")
        await bed.until(lambda: n1.current() is None, within=FAST.renew + FAST.request + 0.5)
        assert "has begun to fence this node" in " ".join(s.why for s in n1.standings)

    play(story)


def test_the_silence_of_the_store_fences_nobody():
    async def story(bed: Bed) -> None:
        told: list[str] = []
        n1, n2, task = await watched(bed, off, told)
        n1.way.silent = n2.way.silent = True
        await nap(SUSPICION * 2)
        n2.way.silent = False
        await nap(SUSPICION - 0.5)
        assert told == []
        task.cancel()

    play(story)


def test_a_node_of_longer_times_is_suspected_by_those_and_not_by_mine():
    """Every four seconds it renews: to a fast observer that was silence, and a healthy node was fenced."""

    async def story(bed: Bed) -> None:
        told: list[str] = []
        n1, n2 = bed.node("n1", PROFILES["conservative"]), bed.node("n2")
        await bed.held(n1, n2)
        task = fencer(n2, off, told)
        await nap(60)
        assert (told, n1.current().epoch) == ([], 1)
        n1.crash()
        await bed.until(lambda: not bed.session("n1").open, within=PROFILES["conservative"].silent + 2)
        task.cancel()

    play(story)


def test_who_does_not_renew_itself_fences_nobody():
    """It waits for its session of before its reboot: what it reads meanwhile is not enough."""

    async def story(bed: Bed) -> None:
        told: list[str] = []
        n1, n2, task = await watched(bed, off, told)
        n2.crash()
        n2.boot("boot 2")
        await nap(0.5)
        n1.crash()
        await nap(SUSPICION + 1)
        assert n2.current() is None
        assert told == []
        task.cancel()

    play(story)


OPEN = Session("n1", 5, "b", "s", 10.0, Level.LEASE)


@pytest.mark.parametrize(
    ("still", "answers", "now", "wanted"),
    [
        (Still(1, 100.0), Answers(104.9, 50.0), 105.0, True),
        (Still(1, 100.0), Answers(102.8, 50.0), 102.9, False),  # not silent for long enough
        (Still(1, 100.0), Answers(104.9, 101.0), 105.0, False),  # the store was silent, too
        (Still(1, 100.0), Answers(101.0, 50.0), 105.0, False),  # and is now
        (None, Answers(104.9, 50.0), 105.0, False),
        (Still(1, 100.0), None, 105.0, False),
    ],
)
def test_whom_to_suspect(still, answers, now, wanted):
    assert suspected(OPEN, still, answers, now, 3.0) is wanted
