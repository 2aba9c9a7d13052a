"""A command that undoes → run within its time, then asked whether the thing is gone."""

import contextlib
import os
import select
import signal

from reconciler.guard import kernel
from reconciler.guard.kernel import boottime
from reconciler.guard.lines import Command


def stop(line: Command, by: float) -> str:
    """ "" when it is gone; else why."""
    done = run(line.argv, min(by, boottime() + line.timeout))
    if not line.verify:
        return done
    seen = run(line.verify, by)
    return f"{done}; {seen}" if done and seen else seen


def run(argv: tuple[str, ...], by: float) -> str:
    """ "" when it exits with 0. Whoever it started goes with it when time is over."""
    try:
        pid = kernel.spawn(argv)
    except OSError as error:
        return f"{argv[0]}: {error.strerror}"
    fd = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        if not poll.poll(max(0.0, by - boottime()) * 1000):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            if not poll.poll(1000):
                return f"{argv[0]} did not end in time, and not even SIGKILL ends it"
            os.waitpid(pid, 0)
            return f"{argv[0]} did not end in time"
    finally:
        os.close(fd)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return "" if code == 0 else f"{argv[0]} exited with code {code}"
