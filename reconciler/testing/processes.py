"""Tasks of several made-up processes on one loop → each goes on, is held up, or is gone, as its process is.

A task belongs to the process that it was begun in, and so does all that it begins. A process that is
killed executes nothing more: no `finally`, no `except`; that is what kill -9 does. One that is held up
finds, when it goes on, all that came meanwhile, in the order in which it came.

The loop's time is each process's own, as CLOCK_MONOTONIC: it stands still while its machine is suspended,
and what was to be in five seconds is in five seconds of that.
"""

import asyncio
import contextlib
import gc
import sys
from collections.abc import Callable, Coroutine, Generator, Iterable
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

from reconciler.errors import MayHeal, NeedsPerson
from reconciler.testing.simloop import SimLoop, true_time

T = TypeVar("T")
_PROCESS: "ContextVar[Process | None]" = ContextVar("process", default=None)
MANY = 64


class _Call(asyncio.Handle):
    """A callback of a process, which may be held up."""

    __slots__ = ("process",)
    process: "Process"

    def _run(self) -> None:
        if self.process.takes(self):
            super()._run()


class _Timer(asyncio.TimerHandle):
    """Due later by what its machine was suspended since it was set; not if it was set from without."""

    __slots__ = ("loop", "process", "slept")
    loop: "ProcessLoop"
    process: "Process"
    slept: float | None

    def _run(self) -> None:
        if not self.process.takes(self):
            return
        if self.slept is None or self.slept == self.process.slept:
            super()._run()
            return
        late, self.slept = self.process.slept - self.slept, self.process.slept
        self.loop.set_again(self, late)


class Process:
    """`within`: what it ends with, and is held up with, such as its machine."""

    def __init__(self, name: str, within: "Process | None" = None) -> None:
        self.name, self._within = name, within
        self._context = copy_context()
        self._context.run(_PROCESS.set, self)
        self._killed = False
        self._stops = self._sleeps = 0
        self._asleep = 0.0  # since when, in true time
        self.slept: float = within.slept if within else 0.0
        self._calls, self._then = 0, self.kill
        self._plain = True  # goes on, and nothing is to happen in the middle of it
        self._held: list[asyncio.Handle] = []
        self._parts: list[Process] = []
        self.tasks: list[asyncio.Task[Any]] = []  # kept: a task that is collected runs its `finally`
        if within:
            within._parts.append(self)
            self._judge()

    @property
    def alive(self) -> bool:
        return not self._killed and (self._within is None or self._within.alive)

    @property
    def held_up(self) -> bool:
        return self._stops > 0 or (self._within is not None and self._within.held_up)

    def begin(self, life: Coroutine[Any, Any, T], name: str = "") -> "asyncio.Task[T]":
        loop = asyncio.get_running_loop()
        return loop.create_task(life, name=name or self.name, context=self._context)

    def call(self, seconds: float, act: Callable[..., Any], *args: Any) -> asyncio.TimerHandle:
        """In it, after so many seconds of true time: something comes from without."""
        timer = asyncio.get_running_loop().call_later(seconds, act, *args, context=self._context)
        assert isinstance(timer, _Timer)
        timer.slept = None
        return timer

    def wake(self, seconds: float, act: Callable[..., Any], *args: Any) -> asyncio.TimerHandle:
        """After so many seconds of its own."""
        return asyncio.get_running_loop().call_later(seconds, act, *args, context=self._context)

    def kill(self) -> None:
        self._killed = True
        self._held.clear()
        self._judge()

    def after(self, calls: int, act: Callable[[], None]) -> None:
        """Before that callback from now on, which may be in the middle of anything; 0: never."""
        self._calls, self._then = calls, act
        self._judge()

    def hold_up(self) -> None:
        """As SIGSTOP does; as often as it is held up it has to be let go on."""
        self._stops += 1
        self._judge()

    def go_on(self) -> None:
        self._stops = max(self._stops - 1, 0)
        self._judge()
        self._catch_up()

    def suspend(self) -> None:
        """A machine: its clocks that stand still then do so. As often as it is, it has to resume."""
        self._sleeps += 1
        if self._sleeps == 1:
            self._asleep = true_time()
            self.hold_up()

    def resume(self) -> None:
        self._sleeps -= 1
        if not self._sleeps:
            self._sleep(true_time() - self._asleep)
            self.go_on()

    def _sleep(self, seconds: float) -> None:
        self.slept += seconds
        for part in self._parts:
            part._sleep(seconds)

    def _judge(self) -> None:
        self._plain = not self._calls and self.alive and not self.held_up
        for part in self._parts:
            part._judge()

    def _catch_up(self) -> None:
        if self.held_up:
            return
        held, self._held = self._held, []
        loop = asyncio.get_running_loop()
        assert isinstance(loop, ProcessLoop)
        loop.call_again(held)
        for part in self._parts:
            part._catch_up()

    # --- asked by the loop -----------------------------------------------------------------

    def takes(self, call: asyncio.Handle) -> bool:
        """Whether it is executed now."""
        if self._plain:
            return True
        if not self.alive:
            return False
        if self.held_up:
            self._held.append(call)
            return False
        if self._calls == 1:
            self._calls = 0
            self._judge()
            self._then()
            return self.alive and not call.cancelled()
        self._calls = max(self._calls - 1, 0)
        return True

    def keep(self, task: "asyncio.Task[Any]") -> None:
        if len(self.tasks) > MANY:
            self.tasks = [task for task in self.tasks if not task.done()]
        self.tasks.append(task)

    def untaken(self) -> list[BaseException]:
        """Exceptions of its tasks that nobody asked for.

        Who was killed may have been about to ask: what may heal, or needs a person, is no bug of his.
        """
        failed = [task for task in self.tasks if getattr(task, "_log_traceback", False)]
        faults = [fault for task in failed if (fault := task.exception())]
        return [f for f in faults if self.alive or not isinstance(f, MayHeal | NeedsPerson)]


class ProcessLoop(SimLoop):
    """A simulated loop that asks each callback's process whether it may run now."""

    def __init__(self) -> None:
        super().__init__()
        self._processes: dict[Process, None] = {}
        self._over = False

    def time(self) -> float:
        process = _PROCESS.get()
        return self._now if process is None else self._now - process.slept

    def set_again(self, timer: asyncio.TimerHandle, later: float) -> None:
        """Due so much later than it was."""
        timer._when += later  # type: ignore[attr-defined]  # the base's own
        self._set(timer)

    def end(self) -> None:
        """Nothing goes on any more; what never ended is thrown away."""
        self._over = True
        left = [task for process in self._processes for task in process.tasks]
        for task in dict.fromkeys([*left, *asyncio.all_tasks(self)]):
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]  # it is known
                with contextlib.suppress(BaseException):
                    task.get_coro().close()
        self.close()

    def untaken(self) -> list[BaseException]:
        return [fault for process in self._processes for fault in process.untaken()]

    def call_again(self, calls: Iterable[asyncio.Handle]) -> None:
        """Those that were held up."""
        self._ready.extend(calls)

    def call_soon(  # type: ignore[override]  # as the base has it, but for its generics
        self, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        process = _of(context)
        if process is None or self._over:
            call = asyncio.Handle(callback, args, self, context)
        else:
            call = _Call(callback, args, self, context)
            call.process = process
        if not self._over:
            self._ready.append(call)
        return call

    def call_later(  # type: ignore[override]  # likewise
        self, delay: float, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self._timer(self._now + delay, callback, args, context)

    def call_at(  # type: ignore[override]  # likewise
        self, when: float, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        process = _of(context)
        return self._timer(when if process is None else when + process.slept, callback, args, context)

    def _timer(self, when: float, callback: Any, args: Any, context: Context | None) -> asyncio.TimerHandle:
        process = _of(context)
        if process is None or self._over:
            timer = asyncio.TimerHandle(when, callback, args, self, context)
        else:
            timer = _Timer(when, callback, args, self, context)
            timer.loop, timer.process, timer.slept = self, process, process.slept
        return timer if self._over else self._set(timer)

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: object = None,
        context: Context | None = None,
    ) -> "asyncio.Task[T]":
        task = super().create_task(coro, name=name, context=context)
        if process := _of(context):
            process.keep(task)
            self._processes[process] = None
        return task


def _of(context: Context | None) -> Process | None:
    return _PROCESS.get() if context is None else context.get(_PROCESS)


def elsewhere(life: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
    """Beyond all processes: what goes on though whoever began it is killed or held up."""
    return asyncio.get_running_loop().create_task(life, context=_NOBODY)


def later(seconds: float, act: Callable[..., Any], *args: Any) -> asyncio.TimerHandle:
    """Beyond all processes, too."""
    return asyncio.get_running_loop().call_later(seconds, act, *args, context=_NOBODY)


_NOBODY = copy_context()


def simulated(story: Coroutine[Any, Any, T], unhandled: Callable[[BaseException], None]) -> T:
    """Run it to its end on simulated time; the processes that are left end with it.

    unhandled  told of each exception that nobody took: a bug, wherever it was.

    What it leaves is collected at its end, unless the caller collects nothing, as one does who ends soon.
    """
    loop = ProcessLoop()

    def told(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if fault := context.get("exception"):
            unhandled(fault)

    loop.set_exception_handler(told)
    collects, hook = gc.isenabled(), sys.unraisablehook
    if collects:
        gc.disable()  # else tasks of the dead would end at times of its own choice
        gc.freeze()
    try:
        result = loop.run_until_complete(story)
        for fault in loop.untaken():
            unhandled(fault)
        return result
    finally:
        loop.set_exception_handler(lambda loop, context: None)
        sys.unraisablehook = lambda unraisable: None  # said by what is thrown away
        loop.end()
        if collects:
            gc.collect()  # of what was made here alone
            gc.unfreeze()
            gc.enable()
        sys.unraisablehook = hook
