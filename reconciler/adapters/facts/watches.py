"""Directories that somebody cares for → one inotify watch each, or on what exists above them."""

import asyncio
import errno
import threading
from collections.abc import Callable
from os.path import lexists
from posixpath import join, split

from reconciler.adapters.facts.inotify import Inotify, Seen

Changed = Callable[[str, str | None], None]
_TRIES = 5


class Watches:
    """`changed(directory, name)`, called in the loop: name None for all in it, directory "" for all.

    A directory that does not exist is waited for at the nearest one above it that does. Where watches
    run out, the rest is left to the periodic look.
    """

    def __init__(self, changed: Changed) -> None:
        self._changed = changed
        self._inotify: Inotify | None = None
        self._lock = threading.Lock()
        self._at: dict[str, tuple[str, int]] = {}  # directory → the watched path above or at it, its watch
        self._doubted: set[str] = set()
        self._by_watch: dict[int, dict[str, set[str]]] = {}  # watch → watched path → directories

    def start(self) -> None:
        try:
            self._inotify = Inotify()
        except OSError:
            return
        asyncio.get_running_loop().add_reader(self._inotify.file, self._heard)

    def cover(self, directory: str) -> None:
        """Have this directory watched. In a thread: it may hang in a dead mount."""
        with self._lock:
            inotify = self._inotify
            if inotify is None or (directory in self._at and directory not in self._doubted):
                return
        found = _nearest(inotify, directory)
        for _ in range(_TRIES):
            if found is None:
                return
            place = found[0]
            if place == directory or not lexists(join(place, _next_step(place, directory))):
                break
            found = _nearest(inotify, directory)  # made while we looked: its own events would be missed
        if found is not None:
            self._settle(directory, *found)

    def _settle(self, directory: str, place: str, number: int) -> None:
        with self._lock:
            self._doubted.discard(directory)
            old = self._at.get(directory)
            if old == (place, number):
                return
            self._by_watch.setdefault(number, {}).setdefault(place, set()).add(directory)
            if old is not None:
                self._leave(directory)
            self._at[directory] = place, number

    def forget(self, directory: str) -> None:
        with self._lock:
            self._leave(directory)

    def distrust(self) -> None:
        """Paths may lead elsewhere by now: have each watched anew at its next look."""
        with self._lock:
            self._doubted.update(self._at)

    def close(self) -> None:
        with self._lock:
            if self._inotify is not None:
                asyncio.get_running_loop().remove_reader(self._inotify.file)
                self._inotify.close()
                self._inotify = None

    def _leave(self, directory: str) -> None:
        place, number = self._at.pop(directory, ("", -1))
        self._doubted.discard(directory)
        places = self._by_watch.get(number, {})
        places.get(place, set()).discard(directory)
        if not places.get(place, True):
            del places[place]
        if number in self._by_watch and not places:
            del self._by_watch[number]
            if self._inotify is not None:
                self._inotify.unwatch(number)

    def _heard(self) -> None:
        told: set[tuple[str, str | None]] = set()
        with self._lock:
            if self._inotify is None:
                return
            for seen in self._inotify.read():
                self._note(seen, told)
        for directory, name in told:
            self._changed(directory, name)

    def _note(self, seen: Seen, told: set[tuple[str, str | None]]) -> None:
        if seen.watch < 0:
            self._doubted.update(self._at)
            told.add(("", None))
            return
        for place, directories in list(self._by_watch.get(seen.watch, {}).items()):
            for directory in list(directories):
                if seen.gone or directory != place:
                    # It came, went, or something on the way to it did: the next look watches anew.
                    if seen.gone or _next_step(place, directory) == seen.name:
                        self._leave(directory)
                        told.add((directory, None))
                else:
                    told.add((directory, seen.name))


def _nearest(inotify: Inotify, directory: str) -> tuple[str, int] | None:
    """Watch it or what exists above it; None where there is no watch to be had."""
    place = directory
    while True:
        try:
            return place, inotify.watch(place)
        except OSError as fault:
            if fault.errno not in (errno.ENOENT, errno.ENOTDIR) or place in ("/", ""):
                return None
        place = split(place)[0]


def _next_step(place: str, directory: str) -> str:
    """The name in `place` that leads to `directory`."""
    return directory[len(place.rstrip("/")) + 1 :].partition("/")[0]
