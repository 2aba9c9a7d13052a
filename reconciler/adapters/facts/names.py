"""A host name → its addresses, by the system's resolver."""

import ipaddress
import socket
from collections.abc import Callable, Sequence
from typing import Any

from reconciler.adapters.facts.source import Base, Subject
from reconciler.adapters.facts.workers import Workers
from reconciler.asks import Failed, Name

_LIMIT = 5.0


def resolve(name: str) -> tuple[str, ...]:
    """Raises OSError with a text that names the host."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as fault:
        why = fault.strerror if isinstance(fault, OSError) else "is no host name"
        raise OSError(f"cannot resolve {name}: {why}") from None
    return tuple(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))


class NameSource(Base):
    """An address answers itself. Answers that only come in another order are the same answer."""

    def __init__(self, every: float, resolver: Callable[[str], tuple[str, ...]] = resolve) -> None:
        super().__init__(every)
        self._resolve = resolver
        self._workers = Workers(32, self.ask_again)
        self._last: dict[Subject, tuple[str, ...]] = {}

    async def look(self, subjects: Sequence[Subject]) -> None:
        literal = {subject: found for subject in subjects if (found := _literal(_name(subject)))}
        self.desk.report(literal)
        await self._workers.run(
            [subject for subject in subjects if subject not in literal],
            lambda subject: self._resolve(_name(subject)),
            lambda _: _LIMIT,
            self._take,
        )

    def forget(self, subjects: Any) -> None:
        for subject in subjects:
            self._last.pop(subject, None)

    def _take(self, answers: Any) -> None:
        steady = {}
        for subject, answer in answers.items():
            if not isinstance(answer, Failed):
                last = self._last.get(subject, ())
                answer = self._last[subject] = last if set(last) == set(answer) else answer
            steady[subject] = answer
        self.desk.report(steady)


def _name(subject: Subject) -> str:
    assert isinstance(subject.ask, Name)
    return subject.ask.name


def _literal(name: str) -> tuple[str, ...]:
    try:
        return (str(ipaddress.ip_address(name)),)
    except ValueError:
        return ()
