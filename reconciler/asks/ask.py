"""A question typed by its answer, and the answers as one resource may read them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

T = TypeVar("T")


class Ask(Generic[T]):
    """A question. `source` names who answers it; operations name the sources they touch.

    about  of a large answer, what the asker is concerned with: news of anything else do not wake it.
           Asks that differ in this only are one question. (): all of it.
    """

    __slots__ = ()

    about: tuple[str, ...] = ()

    @staticmethod
    def news(old: Any, new: Any) -> frozenset[str]:
        """What the difference of two answers is about, in the words of `about`."""
        return frozenset()

    source: ClassVar[str]
    relative: ClassVar[bool] = False
    costly: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class Failed:
    """The source could not look (error, time limit): the resource is unknown, not down."""

    why: str


@dataclass(frozen=True, slots=True)
class NotYet:
    """No answer so far."""


NOT_YET = NotYet()


class Unanswered(Exception):
    """Raised by `Facts.of`: becomes `unknown`. `pending` when asking again will help."""

    def __init__(self, ask: "Ask[Any]", why: str, pending: bool = False) -> None:
        super().__init__(why)
        self.ask, self.why, self.pending = ask, why, pending


class Facts:
    """The answers as one resource may read them."""

    def __init__(self, lookup: Callable[[Ask[Any]], Any]) -> None:
        self._lookup = lookup

    @classmethod
    def given(cls, answers: Mapping[Ask[Any], Any]) -> "Facts":
        """Facts from a plain mapping, for tests and simulation."""
        return cls(lambda ask: answers.get(ask, NOT_YET))

    def of(self, ask: Ask[T]) -> T:
        """The answer; raises Unanswered when the source failed or has not answered yet."""
        answer = self._lookup(ask)
        if isinstance(answer, Failed):
            raise Unanswered(ask, answer.why)
        if isinstance(answer, NotYet):
            raise Unanswered(ask, f"no answer yet about {ask}", pending=True)
        return answer  # type: ignore[no-any-return]  # the ask's own type says what it is

    def why_not(self, ask: Ask[Any]) -> str:
        """Why there is no answer, or "" when there is one."""
        try:
            self.of(ask)
        except Unanswered as missing:
            if missing.pending:
                raise
            return missing.why
        return ""
