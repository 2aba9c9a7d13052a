"""Blocking calls → awaitables: a thread each, so that one that hangs in the kernel costs itself alone."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeVar, cast

from reconciler.adapters import threads
from reconciler.errors import MayHeal

T = TypeVar("T")
SPARE = 10.0
"""Seconds a thread without work is kept: starting one holds up the loop until it runs."""


class _Call(NamedTuple):
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[Any]
    call: Callable[[], Any]


class Outside:
    """Runs calls outside the event loop. At most `most` at once, those that hang included.

    A thread that hangs in the kernel cannot be ended: at the time limit its caller is told, and the
    thread is left to end by itself. Until then another call about the same thing is refused, so that
    trying again and again does not use up all threads.
    """

    def __init__(self, most: int = 64) -> None:
        self._room = asyncio.Semaphore(most)
        self._busy: dict[str, asyncio.Future[Any]] = {}
        self._calls: SimpleQueue[_Call] = SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0  # threads that wait for a call, or are just about to

    async def run(self, thing: str, call: Callable[[], T], limit: float) -> T:
        """What `call` returns or raises; MayHeal when it does not return within `limit` seconds.

        `thing` names what it may hang on ("/data"); calls about one thing wait for each other.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limit
        if self._room.locked() or thing in self._busy:
            try:
                async with asyncio.timeout_at(deadline):
                    await self._turn(thing)
            except TimeoutError:
                raise MayHeal(f"not tried: an earlier call about {thing} has not returned yet") from None
        else:
            await self._turn(thing)  # at once
        done = self._busy[thing]
        self._hand_over(_Call(loop, done, call))
        await asyncio.wait({done}, timeout=max(0.0, deadline - loop.time()))
        if not done.done():
            raise MayHeal(f"no answer from the kernel about {thing} within {limit:g} s")
        worked, value = done.result()
        if not worked:
            raise cast(BaseException, value)
        return cast(T, value)

    def hangs(self, thing: str) -> bool:
        """A call about it was given up, or goes on: it may still do what it was to do."""
        return thing in self._busy

    async def _turn(self, thing: str) -> None:
        """Wait for the thing and for room among the threads, and take both."""
        await self._room.acquire()
        while earlier := self._busy.get(thing):
            self._room.release()
            await asyncio.wait({earlier})
            await self._room.acquire()
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._busy[thing] = done

        def ended(_: asyncio.Future[Any]) -> None:
            del self._busy[thing]
            self._room.release()

        done.add_done_callback(ended)

    def _hand_over(self, call: _Call) -> None:
        with self._lock:
            at_hand = self._idle > 0
            self._idle -= at_hand
        self._calls.put(call)
        if not at_hand:
            threads.begin(self._work)

    def _work(self) -> None:
        """In a thread: calls, one after another, until there is none for a while."""
        while True:
            try:
                work = self._calls.get(timeout=SPARE)
            except Empty:
                with self._lock:
                    if self._idle:
                        self._idle -= 1
                        return
                continue  # a call was just handed over to us
            answer = _carried_out(work.call)
            with self._lock:
                self._idle += 1
            # Not before: who is told may have the next call already, and starts no thread for it.
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits any more
                work.loop.call_soon_threadsafe(_tell, work.done, answer)


def _carried_out(call: Callable[[], Any]) -> tuple[bool, Any]:
    try:
        return True, call()
    except Exception as error:  # carried over to the caller, whatever it is
        return False, error


def _tell(done: asyncio.Future[Any], answer: tuple[bool, Any]) -> None:
    if not done.done():
        done.set_result(answer)
