"""Programs, and the agent with what it had in flight → killed, and seen to be gone."""

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterable

from reconciler.guard import kernel
from reconciler.guard.kernel import Process, boottime
from reconciler.guard.lines import Program
from reconciler.guard.words import Peer, Session

SHARE = 1 / 3
"""Of the time that is left, what a program is given to end by itself."""
LONGEST_PAUSE = 0.05


def stop(line: Program, by: float) -> str:
    """Its signal, a part of the time, then SIGKILL until nobody is left. "" when it is gone, else why."""

    def gone() -> bool:
        return not populated(line.group) and not _recorded(line.record)

    def kill() -> bool:
        kill_group(line.group)
        for each in _recorded(line.record):
            send(each, signal.SIGKILL)
        return gone()

    grace = min(line.grace, (by - boottime()) * SHARE)
    if grace > 0:
        for each in [*_members(line.group), *_recorded(line.record)]:
            send(each, line.signal)
        if until(gone, boottime() + grace):
            return ""
    if until(kill, by):
        return ""
    return f"not even SIGKILL ends {_named([*_members(line.group), *_recorded(line.record)])}"


def end_agent(session: Session | None, by: float) -> str:
    """The agent stands still at once; what it had in flight is killed, then it is. "" when all are gone.

    In flight is the control group of operations, what the notes name, and what the agent started and
    what is in its own control group still. A program that has one of its own is no operation.
    """
    if session is None:
        return ""
    agent, hold = session.agent, dict[Peer, int]()
    leader = kernel.pidfd(*agent)
    if leader is not None:
        hold[agent] = leader
        send_fd(leader, signal.SIGSTOP)
    try:

        def kill() -> bool:
            kill_group(session.operations)
            fresh = [p for p in _in_flight(session) if Peer(p.pid, p.start_time) not in hold]
            for each in fresh:
                fd = kernel.pidfd(each.pid, each.start_time)
                if fd is not None:
                    hold[Peer(each.pid, each.start_time)] = fd
                    send_fd(fd, signal.SIGKILL)
            return not fresh

        until(kill, by)
        if leader is not None:
            send_fd(leader, signal.SIGKILL)
        for fd in hold.values():
            _readable(fd, by)

        def gone() -> bool:
            kill_group(session.operations)
            return not populated(session.operations)

        if until(gone, by) and all(_readable(fd, 0.0) for fd in hold.values()):
            return ""
        left = [p for p in map(kernel.process, (peer.pid for peer in hold)) if p and p.alive]
        return f"not even SIGKILL ends {_named([*left, *_members(session.operations)])}"
    finally:
        for fd in hold.values():
            os.close(fd)


# --- groups --------------------------------------------------------------------------------


def populated(group: str) -> bool:
    """Whether anybody lives in the control group or below it; a group that is not there has nobody."""
    if not group:
        return False
    try:
        with open(f"{group}/cgroup.events", encoding="ascii") as file:
            return "populated 1" in file.read()
    except OSError:
        return False


def kill_group(group: str) -> None:
    """All at once, where the kernel can (5.14); else each that is found."""
    if not group:
        return
    try:
        with open(f"{group}/cgroup.kill", "w", encoding="ascii") as file:
            file.write("1")
    except OSError:
        for each in _members(group):
            send(each, signal.SIGKILL)


def _members(group: str) -> list[Process]:
    found: list[Process] = []
    for directory, _, _ in os.walk(group) if group else ():
        with contextlib.suppress(OSError), open(f"{directory}/cgroup.procs", encoding="ascii") as file:
            found += [p for pid in file.read().split() if (p := kernel.process(int(pid))) and p.alive]
    return found


# --- processes -----------------------------------------------------------------------------


def _recorded(record: str) -> list[Process]:
    """Who lives of the session whose leader wrote the file. Not to be had: nobody was started."""
    if not record:
        return []
    try:
        with open(record, encoding="utf-8") as file:
            words = file.read().split()
        leader, start_time, boot = int(words[0]), int(words[1]), words[2]
    except (OSError, ValueError, IndexError):
        return []
    now = kernel.process(leader)
    if boot != kernel.boot_id() or (now is not None and now.start_time != start_time):
        return []  # its number is another's by now, which it could not be with anybody in its session
    return [p for p in kernel.processes() if p.session == leader and p.start_time >= start_time]


def _in_flight(session: Session) -> list[Process]:
    """What the agent started, in its own control group, and what it noted, and what those started."""
    everyone = {p.pid: p for p in kernel.processes()}
    roots = {
        pid for pid, start in _noted(session.notes) if (p := everyone.get(pid)) and p.start_time == start
    }
    agent = everyone.get(session.agent.pid)
    if agent is not None and agent.start_time == session.agent.start_time:
        home = kernel.cgroup(agent.pid)
        # The guard itself may be a child of the agent.
        own = {p.pid for p in everyone.values() if p.parent == agent.pid} - {os.getpid()}
        roots |= {pid for pid in own if kernel.cgroup(pid) == home}
    groups = {pid: kernel.cgroup(pid) for pid in roots}
    fresh = groups
    while fresh:  # what these started, and who is in their sessions, as far as it has no group of its own
        fresh = {
            p.pid: group
            for p in everyone.values()
            if p.pid not in groups
            and (starter := p.parent if p.parent in groups else p.session) in groups
            and (group := kernel.cgroup(p.pid)) == groups[starter]
        }
        groups |= fresh
    return [everyone[pid] for pid in groups if pid in everyone]


def _noted(directory: str) -> Iterable[tuple[int, int]]:
    """Pid and start time of commands in flight."""
    try:
        names = os.listdir(directory) if directory else []
    except OSError:
        return
    for name in names:
        with (
            contextlib.suppress(OSError, ValueError, IndexError),
            open(f"{directory}/{name}", "rb") as file,
        ):
            yield int(name), int(file.read().split()[0])


def send(process: Process, number: int) -> None:
    """To exactly this process, or to nobody."""
    fd = kernel.pidfd(process.pid, process.start_time)
    if fd is not None:
        send_fd(fd, number)
        os.close(fd)


def send_fd(fd: int, number: int) -> None:
    with contextlib.suppress(OSError):
        signal.pidfd_send_signal(fd, signal.Signals(number))


def _readable(fd: int, by: float) -> bool:
    """A pidfd is, once all threads of its process are gone."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(max(0.0, by - boottime()) * 1000))


def until(done: Callable[[], bool], by: float) -> bool:
    """Try at once and again, until it is done or time is over: then once more."""
    pause = 0.002
    while not done():
        left = by - boottime()
        if left <= 0:
            return False
        time.sleep(min(pause, left))
        pause = min(2 * pause, LONGEST_PAUSE)
    return True


def _named(processes: Iterable[Process]) -> str:
    return ", ".join(map(str, processes)) or "somebody in its control group"
