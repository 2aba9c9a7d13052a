"""Arguments of `run` → the agent in the foreground until it is told to end, or once."""

import argparse
import asyncio
import json
import logging
import os
import signal
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from reconciler.adapters.places import with_paths
from reconciler.cli import client, judge, tree
from reconciler.contracts import Event
from reconciler.daemon import running
from reconciler.decide.documents.node import read_node
from reconciler.errors import NeedsPerson
from reconciler.running import Running
from reconciler.settings import Settings

NODE_FILE = Path("/etc/standfast/node.yaml")


def node_settings(
    run: str | None = None, name: str = "", file: str = "", use_file: bool = True
) -> Settings:
    """Defaults, then node.yaml. Raises client.Failed with every fault in it."""
    settings = Settings(node=name or socket.gethostname().partition(".")[0])
    path = Path(file) if file else NODE_FILE
    if file or (path.exists() and use_file):
        try:
            values, faults = read_node(path.read_bytes(), str(path))
        except OSError as fault:
            raise client.Failed(client.USAGE, f"{path} cannot be read: {fault.strerror}") from None
        if faults:
            raise client.Failed(client.USAGE, "\n".join(str(f) for f in faults))
        paths = {name: values.pop(name) for name in ("services", "state", "run") if name in values}
        settings = with_paths(replace(settings, **values), **paths)
    return with_paths(settings, run=run)


def settings_of(args: argparse.Namespace) -> Settings:
    """What node.yaml says, overridden by the command line."""
    settings = node_settings(name=args.name or "", file=args.node or "", use_file=not args.sandbox)
    settings = with_paths(settings, services=args.services, state=args.state, run=args.run)
    changes: dict[str, Any] = {}
    if args.name:
        changes["node"] = args.name
    if args.look_every:
        changes["look_every"] = args.look_every
    if args.no_events:
        changes["events"] = False
    if args.metrics is not None:
        changes["metrics_listen"] = args.metrics
    if args.log:
        changes["log_format"] = args.log
    if args.sandbox:
        changes |= {"node": "sandbox", "metrics_listen": "127.0.0.1:9833"}
    return replace(settings, **changes)


class JsonLines(logging.Formatter):
    """One JSON object a line, with what an event carries."""

    def format(self, record: logging.LogRecord) -> str:
        line = {"at": record.created, "level": record.levelname.lower(), "message": record.getMessage()}
        event = getattr(record, "event", None)
        if isinstance(event, Event):
            fields = ("kind", "service", "rid", "reason", "seconds", "output")
            line |= {name: value for name in fields if (value := getattr(event, name))}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


class TextLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        event = getattr(record, "event", None)
        text = super().format(record)
        if isinstance(event, Event) and event.service:
            where = event.service.removeprefix("root/") + (f" {event.rid}" if event.rid else "")
            text = f"{where}: {text}"
            if event.seconds:
                text += f"  ({event.seconds * 1000:.0f} ms)"
            if event.output.strip():
                text += "".join(f"\n  | {line}" for line in event.output.strip().splitlines())
        return text


def start_log(form: str) -> None:
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # no line shows them
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines("%(message)s"))
    root = logging.getLogger("standfast")
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    root.propagate = False


async def keep(settings: Settings, args: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT; services stay up, unless `--stop-on-exit`."""
    start_log(settings.log_format)
    until = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, until.set)
    try:
        async with running(settings) as agent:
            code = await _once(agent, until, args.time) if args.once else client.OK
            if not args.once:
                await until.wait()
            if args.stop_on_exit and not await agent.stop_all():
                return client.FAILED
    except NeedsPerson as fault:
        raise client.Failed(client.REFUSED, str(fault)) from None
    return code


async def _once(agent: Running, until: asyncio.Event, patience: float) -> int:
    """Converge, print, leave: 0 when every service is as wanted."""
    await agent.converged(until, patience)
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    good = not agent.library.troubles
    for service in agent.agent.services():
        print(tree.render(service, colour, 100, agent.settings.node))
        good = good and judge.as_wanted(service)
    for trouble in agent.library.troubles.values():
        print("\n".join(str(fault) for fault in trouble.faults))
    return client.OK if good else client.FAILED
