"""Content of files → checked documents, in order, many of them in a process beside us."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial

from reconciler.decide.documents import Checked, Home, check
from reconciler.decide.documents.alike import Alike
from reconciler.engine.directory import File

BULK = 8
"""More changed documents than this are checked in a process of their own."""
AHEAD = 2 * BULK
"""Documents that are being checked while others are put in force: more would lie about in memory."""


class Reader:
    """`home`: of what node; another one counts from the next document on."""

    def __init__(self, home: Home, bulk: Executor) -> None:
        self.home, self._bulk = home, bulk
        self._alike = Alike()

    async def checked(self, file: File, together: int = 1) -> Checked:
        """`together`: how many are read at once."""
        given = (file.content or b"", file.path, file.key, file.flavour, self.home)
        work: Callable[[], Checked] = partial(check, *given)
        bulk = self._bulk if together > BULK else None
        checked = await asyncio.get_running_loop().run_in_executor(bulk, work)
        if checked.service is None:
            return checked
        alike = self._alike
        return replace(
            checked, service=alike.service(checked.service), document=alike.tree(checked.document)
        )

    async def all(self, files: Sequence[File]) -> AsyncIterator[tuple[File, Checked]]:
        """In order, each as soon as it is there: the first service need not wait for the last document."""
        ahead: deque[tuple[File, asyncio.Task[Checked]]] = deque()
        try:
            for file in files:
                ahead.append((file, asyncio.create_task(self.checked(file, len(files)))))
                if len(ahead) == AHEAD:
                    first, task = ahead.popleft()
                    yield first, await task
            while ahead:
                first, task = ahead.popleft()
                yield first, await task
        finally:
            for _, task in ahead:
                task.cancel()
