"""A call → a thread that carries it out, begun from the loop without waiting for it.

`threading.Thread.start` returns when the new thread runs. On a busy machine that is after a slice of
whoever else is served, 4 ms and more, for each of them; meanwhile the loop serves nobody. These threads
end with the process, as daemon threads do.
"""

import _thread
from collections.abc import Callable


def begin(act: Callable[[], object]) -> None:
    _thread.start_new_thread(act, ())
