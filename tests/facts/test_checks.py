"""Users' checks: at their own interval, few at once, fairly, and fresh once something was touched."""

import asyncio

import pytest

from reconciler.adapters.facts.checks import CheckSource
from reconciler.adapters.facts.turns import Turns
from reconciler.asks import Check, CheckResult, Failed
from reconciler.model import Owner
from tests.facts.conftest import A, B


class Runner:
    """Stands in for the processes: each name has its result, and a gate that may be shut."""

    def __init__(self):
        self.results, self.gates, self.runs = {}, {}, []
        self.now = self.most = 0

    async def __call__(self, owner, check):
        name = check.argv[0]
        self.runs.append((owner, name))
        result = self.results.get(name, CheckResult(0))
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            if name in self.gates:
                await self.gates[name].wait()
            await asyncio.sleep(0.005)
            if isinstance(result, Exception):
                raise result
            return result
        finally:
            self.now -= 1

    def count(self, name):
        return sum(1 for _, run in self.runs if run == name)


def check(name="ok", every=3600.0):
    return Check((name,), every=every)


@pytest.fixture
def runner():
    return Runner()


async def test_the_result_of_each_owner_is_its_own(bench, runner):
    runner.results["bad"] = CheckResult(3, "no")
    async with bench({"checks": CheckSource(4, runner)}) as b:
        assert await b.get(check("bad"), A) == CheckResult(3, "no")
        await b.get(check("bad"), B)
        assert runner.runs == [(A, "bad"), (B, "bad")]


async def test_it_runs_at_its_interval_while_followed_and_wakes_when_it_differs(bench, runner):
    ask = check("ok", every=0.05)
    async with bench({"checks": CheckSource(4, runner)}) as b:
        await b.follow(ask)
        assert await b.quiet(0.3)
        assert runner.count("ok") >= 3
        runner.results["ok"] = CheckResult(1)
        await b.told()
        assert b.hub.known(A, ask) == CheckResult(1)
        b.hub.follow(A, ())
        await asyncio.sleep(0.1)
        runs = runner.count("ok")
        await asyncio.sleep(0.2)
        assert runner.count("ok") == runs


async def test_output_alone_wakes_nobody_but_is_kept(bench, runner):
    ask = check("ok", every=0.05)
    async with bench({"checks": CheckSource(4, runner)}) as b:
        await b.follow(ask)
        runner.results["ok"] = CheckResult(0, "at 12:00:01")
        assert await b.quiet(0.3)
        assert b.hub.known(A, ask).output == "at 12:00:01"


async def test_one_that_never_was_asked_does_not_run(bench, runner):
    async with bench({"checks": CheckSource(4, runner)}) as b:
        b.hub.follow(A, [check("ok", every=0.01)])
        await asyncio.sleep(0.1)
        assert runner.runs == []


async def test_touched_it_runs_at_once_and_not_at_its_interval(bench, runner):
    ask = check("app")
    runner.results["app"] = CheckResult(1)
    async with bench({"checks": CheckSource(4, runner)}) as b:
        assert (await b.follow(ask)).code == 1
        runner.results["app"] = CheckResult(0)
        assert (await b.get(ask)).code == 1
        b.hub.touched(A, ("programs", "checks"))
        assert (await b.get(ask)).code == 0


async def test_a_run_that_began_before_the_touch_does_not_count(bench, runner):
    """The interval's own run is under way, and is let end: one at a time."""
    ask = check("app", every=0.02)
    runner.results["app"] = CheckResult(1)
    async with bench({"checks": CheckSource(4, runner)}) as b:
        await b.follow(ask)
        runner.gates["app"] = asyncio.Event()
        async with asyncio.timeout(2):
            while not runner.now:  # noqa: ASYNC110  # a real process has no event either
                await asyncio.sleep(0.005)
        runner.results["app"] = CheckResult(0)
        b.hub.touched(A, ("checks",))
        asked = asyncio.create_task(b.get(ask))
        await asyncio.sleep(0.05)
        assert (runner.now, asked.done()) == (1, False)
        runner.gates["app"].set()
        assert (await asked).code == 0
        assert runner.most == 1


async def test_looks_without_an_answer_are_counted_and_told(bench, runner):
    ask = check("hung", every=0.03)
    runner.results["hung"] = CheckResult(None, "")
    async with bench({"checks": CheckSource(4, runner)}) as b:
        assert (await b.follow(ask)).failures == 1
        await b.until(ask, lambda result: result.failures >= 3)
        runner.results["hung"] = CheckResult(0)
        assert (await b.until(ask, lambda result: result.code == 0)).failures == 0


async def test_a_runner_that_fails_is_failed_and_recovers(bench, runner):
    ask = check("app")
    runner.results["app"] = OSError(12, "Cannot allocate memory")
    async with bench({"checks": CheckSource(4, runner)}) as b:
        b.hub.follow(A, [ask])
        assert await b.get(ask) == Failed("Cannot allocate memory")
        runner.results["app"] = CheckResult(0)
        await b.until(ask, lambda result: result.code == 0)


async def test_no_more_at_once_than_allowed(bench, runner):
    owners = [Owner(f"root/s{number}", "app#0") for number in range(30)]
    async with bench({"checks": CheckSource(3, runner)}) as b:
        await asyncio.gather(*(b.get(check(), owner) for owner in owners))
        assert (runner.most, len(runner.runs)) == (3, 30)


async def test_hung_checks_of_one_service_hold_up_no_other(bench, runner):
    runner.gates["hung"] = asyncio.Event()
    mine = [Owner("root/a", f"app#{number}") for number in range(20)]
    async with bench({"checks": CheckSource(5, runner)}) as b:
        hung = [asyncio.create_task(b.get(check("hung"), owner)) for owner in mine]
        await asyncio.sleep(0.02)
        async with asyncio.timeout(1):
            assert (await b.get(check(), B)).code == 0
        assert runner.count("hung") == 1
        runner.gates["hung"].set()
        await asyncio.gather(*hung)


async def test_slow_turns_of_many_services_give_way_to_the_rest():
    turns, release, order = Turns(2, slow=0.05), asyncio.Event(), []

    async def hang(service):
        async with turns.turn(service):
            await release.wait()

    async def go(service):
        async with turns.turn(service):
            order.append(service)

    hung = [asyncio.create_task(hang(f"h{number}")) for number in range(4)]
    async with asyncio.timeout(1):
        await go("quick")
    release.set()
    await asyncio.gather(*hung)
    assert (order, turns._out, turns._slow, turns._used, turns._waiting) == (["quick"], 0, 0, {}, {})


async def test_turns_go_round_and_a_cancelled_one_takes_none():
    turns, order, first = Turns(1), [], asyncio.Event()

    async def go(service):
        async with turns.turn(service):
            order.append(service)
            await first.wait()

    tasks = [asyncio.create_task(go(name)) for name in ("a", "a", "a", "b", "c")]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.sleep(0)
    first.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == ["a", "b", "c", "a"]
    assert (turns._out, turns._used, turns._waiting) == (0, {}, {})
