"""One stream of changes out of many broken ones: a watch that goes on where the last one ended.

A task reads, so that a slow reader of the changes is not taken for a silent etcd. It ends, and says
why, when changes are no longer kept (compaction), were left unread, or the store is another one.
Progress notices are not asked for: before 3.4.25 they could run ahead of the changes they vouch for.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator
from typing import Any

from reconciler.adapters.etcd_endpoint import Endpoint
from reconciler.adapters.etcd_gateway import Gateway
from reconciler.adapters.etcd_wire import EtcdError, after_prefix, b64, changes_of, number
from reconciler.contracts import Change
from reconciler.errors import MayHeal, NeedsPerson

FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.25  # seconds between one stream and the next


class Watch:
    """`reached`: every change up to this revision has come. `rebuilt`: how often it was."""

    def __init__(self, gateway: Gateway, revision: int) -> None:
        self.reached = revision
        self.rebuilt = 0
        self._gateway = gateway
        self._kept = gateway.settings.kept
        self._waiting: deque[Change] = deque()
        self._news = asyncio.Event()
        self._end: Exception | None = None
        self._at: Endpoint | None = None
        self._task: asyncio.Task[None] | None = None

    async def changes(self) -> AsyncGenerator[Change, None]:
        """Every change, in order, until it ends with an error."""
        self._start()
        try:
            while self._end is None:
                if self._waiting:
                    yield self._waiting.popleft()
                else:
                    self._news.clear()
                    await self._news.wait()
            raise self._end
        finally:
            if self._task is not None:
                self._task.cancel()

    def rebuild(self, why: str) -> None:
        """Leave the member that serves it and go on by another one."""
        if self._task is None or self._end is not None:
            return
        self.rebuilt += 1
        self._task.cancel()
        if self._at is not None:
            self._gateway.leave(self._at, MayHeal(why))
        self._start()

    def end(self, why: Exception) -> None:
        """Nothing more comes; what was not read yet is dropped."""
        self._waiting.clear()
        self._end = self._end or why
        self._news.set()

    def _start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._read(), name="etcd watch")

    async def _read(self) -> None:
        pause = FIRST_PAUSE
        try:
            while self._end is None:
                before = self.reached
                self._at = endpoint = self._gateway.current
                try:
                    await self._stream(endpoint)
                except MayHeal as fault:
                    self._gateway.leave(endpoint, fault)
                except NeedsPerson as fault:
                    self._gateway.leave(endpoint, fault)
                    self._gateway.give_up_when_all_refuse()
                pause = FIRST_PAUSE if self.reached > before else min(2 * pause, LONGEST_PAUSE)
                await asyncio.sleep(pause)
        except Exception as fault:  # whatever it is, the reader of the changes must hear of it
            self.end(fault)

    async def _stream(self, endpoint: Endpoint) -> None:
        gateway, prefix = self._gateway, self._gateway.settings.prefix
        wanted = {
            "key": b64(prefix),
            "range_end": after_prefix(prefix),
            "start_revision": str(self.reached + 1),
        }
        token = gateway.token
        stream = gateway.stream(endpoint, "watch", {"create_request": wanted})
        async with contextlib.aclosing(stream) as messages:
            async for message in messages:
                if self._end is not None:  # what follows would leave a gap
                    return
                if message.get("canceled"):
                    await self._canceled(endpoint, message, token)
                    return
                self._take(message, prefix)

    def _take(self, message: dict[str, Any], prefix: str) -> None:
        found = changes_of(message, prefix)
        if found:
            self._waiting.extend(found)
            self.reached = max(self.reached, found[-1].revision)
            self._news.set()
        if len(self._waiting) > self._kept:
            self.end(MayHeal(f"more than {self._kept} changes were left unread: read anew"))

    async def _canceled(self, endpoint: Endpoint, message: dict[str, Any], token: str) -> None:
        """A refusal comes as an answer like any other."""
        reason = str(message.get("cancel_reason", ""))
        if number(message, "compact_revision") or "compacted" in reason:
            self.end(MayHeal(f"compacted: changes after {self.reached} are no longer kept; read anew"))
        elif "auth token" in reason or ("permission denied" in reason and not token):
            await self._gateway.renew_token(endpoint, token)
        elif "permission denied" in reason:
            raise NeedsPerson(f"etcd refuses the watch: {EtcdError(7, reason)}")
        else:
            raise MayHeal(f"{endpoint.url} ended the watch: {reason or 'no reason given'}")
