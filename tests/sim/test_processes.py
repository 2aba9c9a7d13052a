"""What a made-up process does that is held up, killed, or ends with its machine."""

import asyncio

from reconciler.testing.processes import Process, simulated
from reconciler.testing.simloop import true_time


def play(story):
    faults = []
    simulated(story(), faults.append)
    assert not faults


async def killed_soon(life):
    """Begun, killed half a second later, and watched for five more."""
    process = Process("p")
    process.begin(life)
    await asyncio.sleep(0.5)
    process.kill()
    await asyncio.sleep(5)


def test_one_that_is_killed_executes_nothing_more():
    said = []

    async def life():
        try:
            said.append("begun")
            await asyncio.sleep(1)
            said.append("went on")
        finally:
            said.append("cleaned up")

    async def story():
        await killed_soon(life())
        assert said == ["begun"]

    play(story)


def test_one_that_is_held_up_finds_later_what_came_meanwhile():
    said = []

    async def life():
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(1):
                await asyncio.sleep(2)
        except TimeoutError:
            said.append(loop.time())
        await asyncio.sleep(1)
        said.append(loop.time())

    async def story():
        process = Process("p")
        process.begin(life())
        await asyncio.sleep(0.5)
        process.hold_up()
        await asyncio.sleep(4)
        assert said == []
        process.go_on()
        await asyncio.sleep(5)
        assert said == [4.5, 5.5]

    play(story)


def test_a_part_is_held_up_and_ends_with_the_whole():
    said = []

    async def life():
        while True:
            await asyncio.sleep(1)
            said.append("tick")

    async def story():
        machine = Process("machine")
        child = Process("child", machine)
        child.begin(life())
        await asyncio.sleep(1.5)
        machine.hold_up()
        await asyncio.sleep(5)
        assert said == ["tick"]
        machine.go_on()
        await asyncio.sleep(1.5)
        assert said == ["tick"] * 3
        machine.kill()
        await asyncio.sleep(5)
        assert said == ["tick"] * 3

    play(story)


def test_what_one_begins_belongs_to_it():
    said = []

    async def inner():
        await asyncio.sleep(1)
        said.append("inner")

    async def life():
        asyncio.get_running_loop().call_later(1, said.append, "timer")
        await asyncio.create_task(inner())

    async def story():
        await killed_soon(life())
        assert said == []

    play(story)


def test_what_is_cancelled_while_it_is_held_up_does_not_run():
    said = []

    async def story():
        process = Process("p")
        timer = process.call(1, said.append, "late")
        process.hold_up()
        await asyncio.sleep(2)
        timer.cancel()
        process.go_on()
        await asyncio.sleep(1)
        assert said == []

    play(story)


def test_an_exception_that_nobody_takes_is_told():
    async def bug():
        raise ZeroDivisionError

    async def story():
        Process("p").begin(bug())
        await asyncio.sleep(1)

    faults = []
    simulated(story(), faults.append)
    assert [type(fault) for fault in faults] == [ZeroDivisionError]


def test_one_can_be_ended_in_the_middle_of_anything():
    said = []

    async def life():
        for number in range(10):
            said.append(number)
            await asyncio.sleep(1)

    async def story():
        process = Process("p")
        process.begin(life())
        await asyncio.sleep(0.5)
        process.after(5, process.kill)
        await asyncio.sleep(20)
        assert 1 < len(said) < 6

    play(story)


def test_the_clock_of_a_machine_that_is_suspended_stands_still():
    """What it waits for comes later by as long; what comes from without is there when it resumes."""

    async def story():
        machine, said = Process("machine"), list[tuple[str, float]]()
        program = Process("program", machine)

        async def life():
            loop = asyncio.get_running_loop()
            await asyncio.sleep(3)
            said.append(("slept", loop.time()))
            async with asyncio.timeout_at(loop.time() + 1):
                await asyncio.sleep(0.5)
            said.append(("in time", loop.time()))

        program.begin(life())
        program.call(2, lambda: said.append(("from without", true_time())))
        await asyncio.sleep(1)
        machine.suspend()
        machine.suspend()
        await asyncio.sleep(5)
        machine.resume()
        await asyncio.sleep(5)
        assert said == []
        machine.resume()
        await asyncio.sleep(10)
        assert said == [("from without", 11.0), ("slept", 3.0), ("in time", 3.5)]
        assert (Process("later", machine).slept, asyncio.get_running_loop().time()) == (10.0, 21.0)

    play(story)
