"""Commands on stdin → what only the agent itself can know: CPU of its passes, how long its loop was held.

The same agent as `standfast run`, with a meter beside it that sleeps until it is asked.
"""

import argparse
import asyncio
import json
import sys
import time

from reconciler.cli import foreground, run
from reconciler.daemon import running
from reconciler.engine import watch
from reconciler.running import Running

TICK = 0.001


class Meter:
    """How much later than asked for the loop woke up, at most, since `begin`."""

    def __init__(self) -> None:
        self.held = 0.0
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        self.held = 0.0
        self._task = asyncio.create_task(self._watch())

    def end(self) -> float:
        if self._task:
            self._task.cancel()
        return self.held

    async def _watch(self) -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(TICK)
            self.held = max(self.held, time.perf_counter() - began - TICK)


async def noop(agent: Running, meter: Meter) -> dict[str, float]:
    """A pass over every service, of which nothing has changed. Seconds of CPU, and the longest hold."""
    passes = sum(record.passes for record in agent.records.values())
    meter.begin()
    began = time.process_time()
    for key in agent.records:
        agent.queue.add(key)
    while not agent.queue.idle():  # noqa: ASYNC110  # a queue tells nobody that it is empty
        await asyncio.sleep(0.005)
    cpu = time.process_time() - began
    done = sum(record.passes for record in agent.records.values()) - passes
    resources = sum(len(record.whole) for record in agent.records.values())
    return {"cpu": cpu, "held": meter.end(), "passes": done, "resources": resources}


async def serve() -> None:
    parser = argparse.ArgumentParser()
    run.arguments(parser)
    settings = foreground.settings_of(parser.parse_args())
    meter, lines = Meter(), asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    meter.begin()
    async with running(settings) as agent:
        while command := (await lines.readline()).decode().strip():
            answer: dict[str, float] = {}
            match command:
                case "noop":
                    answer = await noop(agent, meter)
                case "begin":
                    meter.begin()
                case "end":
                    answer = {"held": meter.end()}
                case "up":
                    answer = {"up": sum(r.passes > 0 and r.up_as_wanted() for r in agent.records.values())}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    watch.load()
    asyncio.run(serve())
