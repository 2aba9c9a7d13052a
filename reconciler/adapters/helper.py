"""Calls that cost much CPU → answers from a process beside us, so that the loop is not held up by them.

The helper is started for the first call and ends when there is none for a while. It has a pipe from us
as its input and nothing else of ours: however we end, it reads the end of that and is gone, too.
"""

import contextlib
import os
import pickle
import select
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, BinaryIO, NamedTuple, cast

SPARE = 10.0
"""Seconds a helper without work is kept: it holds some 40 MiB."""
_MAIN = "import sys; sys.path[:] = sys.argv[1:]; from reconciler.adapters.helper import serve; serve()"
_READY = b"ready\n"
_BROKEN = (OSError, EOFError, pickle.PickleError)


class _Call(NamedTuple):
    call: Callable[[], Any]
    answer: Future[Any]


class Helper(Executor):
    """One call at a time. What is called must be picklable: a function of a module and plain values."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = False

    def warm(self) -> None:
        """Begin now: there will be calls, and it takes a while to be ready for them."""
        self.submit(int)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="helper", daemon=True)
            self._thread.start()
        answer: Future[Any] = Future()
        self._calls.put(_Call(partial(fn, *args, **kwargs), answer))
        return answer

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """The call under way is carried to its end; those behind it are cancelled if so wanted."""
        if self._thread is None:
            return
        if cancel_futures:
            with contextlib.suppress(Empty):
                while (call := self._calls.get_nowait()) is not None:
                    call.answer.cancel()
        self._calls.put(None)
        if wait:
            self._thread.join()

    # --- in the thread ---------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            try:
                call = self._calls.get(timeout=SPARE if self._process else None)
            except Empty:
                self._end()
                continue
            if call is None:
                self._end()
                return
            if not call.answer.set_running_or_notify_cancel():
                continue
            try:
                call.answer.set_result(self._answer(call.call))
            except BaseException as fault:  # whatever it is, who asked is told
                call.answer.set_exception(fault)

    def _answer(self, call: Callable[[], Any]) -> Any:
        """From the helper; from here while there is none, or when it broke."""
        try:
            if not self._at_hand():
                return call()
            answer = self._asked(call)
        except _BROKEN:
            self._end()
            return call()
        ok, value = answer
        if not ok:
            raise cast(BaseException, value)
        return value

    def _at_hand(self) -> bool:
        if self._process is None:
            # In a group of its own: Ctrl-C on our terminal is for us.
            argv = [sys.executable, "-c", _MAIN, *sys.path]
            self._process = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0
            )
            self._ready = False
        if not self._ready:
            out = self._out()
            if select.select([out], [], [], 0)[0]:
                if out.readline() != _READY:
                    raise EOFError("the helper did not begin")
                self._ready = True
        return self._ready

    def _asked(self, call: Callable[[], Any]) -> tuple[bool, Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        pickle.dump(call, self._process.stdin)
        self._process.stdin.flush()
        return cast(tuple[bool, Any], pickle.load(self._out()))

    def _out(self) -> BinaryIO:
        assert self._process is not None
        assert self._process.stdout is not None
        return cast(BinaryIO, self._process.stdout)

    def _end(self) -> None:
        if self._process is None:
            return
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()
        self._process.kill()
        self._process.wait()
        self._process = None


def serve() -> None:
    """The helper itself: calls on stdin, (True, value) or (False, exception) on stdout, until the end."""
    calls, answers = os.fdopen(0, "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a call prints is no answer
    import reconciler.decide.documents  # noqa: F401  # nearly all the time of the first call

    answers.write(_READY)
    answers.flush()
    with contextlib.suppress(*_BROKEN):
        while True:
            call = pickle.load(calls)
            try:
                answer = True, call()
            except Exception as fault:  # carried over to who asked
                answer = False, fault
            pickle.dump(answer, answers)
            answers.flush()
