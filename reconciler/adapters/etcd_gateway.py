"""Requests → answers of an etcd cluster: the member that serves us, the next one, and the token.

A call takes at most r seconds. Within it another member is asked whenever it is certain that the
first did not do it; a commit that may have been done is never sent twice.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from reconciler.adapters.etcd_endpoint import Answered, Endpoint, NotDone, PerhapsDone, TlsRefused
from reconciler.adapters.etcd_settings import EtcdSettings, tls
from reconciler.adapters.etcd_wire import Json, Meaning, b64, cluster_of
from reconciler.errors import MayHeal, NeedsPerson, StoreLost, UnknownOutcome

FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.2  # between rounds over all endpoints, while none serves us
NOT_SAID = "etcd did not say whether it took the commit"


class Compacted(MayHeal):
    """The revision asked for is no longer kept."""


class Future(MayHeal):
    """The revision asked for is not there yet."""


@dataclass
class _Attempt:
    """What a call knows of itself when its time is up."""

    at: Endpoint | None = None
    sent: bool = False


class Gateway:
    """One cluster through any of its members. `cluster`: its id, "" until one answered."""

    def __init__(self, settings: EtcdSettings, cluster: str = "") -> None:
        self.settings = settings
        self.cluster = cluster
        tls(settings)  # what cannot be used is said now
        self.endpoints = self._reached(())
        self._current = self.endpoints[0]
        self._token = ""
        self._signing_in = asyncio.Lock()
        self._dropping: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def current(self) -> Endpoint:
        """The member that is asked next."""
        return self._current

    @property
    def trouble(self) -> str:
        """What is wrong with the members, in words; "" when the one that serves us is well."""
        return self._troubles() if self._current.trouble else ""

    async def call(self, path: str, body: Json, *, writes: bool = False) -> Json:
        """The answer of a member, within r seconds in all.

        Raises UnknownOutcome (only if it `writes`), Compacted, Future, MayHeal, NeedsPerson, StoreLost.
        """
        self.check()
        attempt = _Attempt()
        limit = self.settings.request_timeout
        try:
            async with asyncio.timeout(limit):
                return await self._rounds(path, body, writes, attempt)
        except TimeoutError:
            if attempt.at is not None:
                self.leave(attempt.at, MayHeal(f"{attempt.at.url} did not answer within {limit:g} s"), True)
            self.check()
            if writes and attempt.sent:
                raise UnknownOutcome(f"{NOT_SAID}: {self._troubles()}") from None
            raise MayHeal(f"etcd did not answer within {limit:g} s: {self._troubles()}") from None

    async def stream(self, endpoint: Endpoint, path: str, body: Json) -> AsyncGenerator[Json, None]:
        """Messages of one member until it breaks off, which raises MayHeal; the first within r."""
        self.check()
        limit = self.settings.request_timeout
        try:
            async with asyncio.timeout(limit):
                await self.greet(endpoint)
            async with contextlib.aclosing(endpoint.stream(path, body, self._token, limit)) as messages:
                async for message in messages:
                    self.same_cluster(endpoint, message)
                    yield message
        except TimeoutError:
            raise MayHeal(f"{endpoint.url} did not answer within {limit:g} s") from None
        except Answered as answer:
            raise self._refusal(answer) or MayHeal(f"{endpoint.url}: {answer}") from answer
        except (NotDone, PerhapsDone) as fault:
            raise MayHeal(str(fault)) from fault

    def leave(self, endpoint: Endpoint, why: Exception, silent: bool = False) -> None:
        """Ask another member from now on. `silent`: its connections are not worth keeping."""
        endpoint.failed_at = asyncio.get_running_loop().time()
        endpoint.trouble = why
        endpoint.greeted = False
        self.endpoints = self._reached(self.endpoints)
        if silent:
            self._drop(endpoint)
        if endpoint is self._current:
            self._current = min(self.endpoints, key=lambda one: one.failed_at)

    def _reached(self, known: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
        """Members that joined later serve us as well as those we were told of."""
        connect = self.settings.request_timeout / 2  # so that there is time for another one
        there = {endpoint.url for endpoint in known}
        urls = (*self.settings.endpoints, *self.settings.further())
        return known + tuple(
            Endpoint(url, partial(tls, self.settings), connect)
            for url in dict.fromkeys(url.rstrip("/") for url in urls)
            if url not in there
        )

    async def each(self, ask: Callable[[Endpoint], Awaitable[Json]]) -> dict[str, Json | str]:
        """What every member answers, or why it does not, by its URL, within r seconds."""

        async def one(endpoint: Endpoint) -> Json | str:
            try:
                async with asyncio.timeout(self.settings.request_timeout):
                    return await ask(endpoint)
            except TimeoutError:
                return "does not answer"
            except (NotDone, PerhapsDone, Answered, NeedsPerson) as fault:
                return str(fault)

        self.check()
        found = await asyncio.gather(*(one(endpoint) for endpoint in self.endpoints))
        return {endpoint.url: said for endpoint, said in zip(self.endpoints, found, strict=True)}

    async def close(self) -> None:
        self._closed = True
        await asyncio.gather(*self._dropping, *(endpoint.close() for endpoint in self.endpoints))

    def check(self) -> None:
        if self._closed:
            raise MayHeal("the store is closed")

    # --- one call ---------------------------------------------------------------------------

    async def _rounds(self, path: str, body: Json, writes: bool, attempt: _Attempt) -> Json:
        pause = FIRST_PAUSE
        while True:
            for _ in self.endpoints:
                endpoint = self._current
                try:
                    return await self._ask(endpoint, path, body, attempt)
                except (NotDone, NeedsPerson) as fault:
                    self.leave(endpoint, fault, isinstance(fault, TlsRefused))
                except PerhapsDone as fault:
                    self.leave(endpoint, fault)
                    self.check()
                    if writes and attempt.sent:
                        raise UnknownOutcome(f"{NOT_SAID}: {fault}") from fault
                except Answered as answer:
                    self._judge(endpoint, answer, writes and attempt.sent)
                attempt.at, attempt.sent = None, False
            self.give_up_when_all_refuse()
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _ask(self, endpoint: Endpoint, path: str, body: Json, attempt: _Attempt) -> Json:
        attempt.at = endpoint
        await self.greet(endpoint)
        attempt.sent = True
        answer = await self.signed(endpoint, path, body)
        self.same_cluster(endpoint, answer)
        endpoint.trouble = None
        return answer

    def _judge(self, endpoint: Endpoint, answer: Answered, sent: bool) -> None:
        """Raise what ends the call; return when another member may do it."""
        error, text = answer.error, f"{endpoint.url}: {answer}"
        if refusal := self._refusal(answer):
            raise refusal from answer
        match error.meaning:
            case Meaning.ELSEWHERE | Meaning.TOKEN:
                self.leave(endpoint, MayHeal(text))
            case Meaning.NOT_NOW:
                raise MayHeal(f"etcd refuses it: {answer}") from answer
            case Meaning.COMPACTED:
                raise Compacted(f"compacted: {error.text}; read anew") from answer
            case Meaning.FUTURE:
                raise Future(error.text) from answer
            case Meaning.UNKNOWN:
                self.leave(endpoint, MayHeal(text))
                if sent:
                    raise UnknownOutcome(f"{NOT_SAID}: {text}") from answer

    def _refusal(self, answer: Answered) -> NeedsPerson | None:
        """What only a person can mend."""
        if answer.error.meaning is Meaning.TOKEN and not self.settings.user:
            return NeedsPerson(f"etcd wants to know who we are ({answer}): name a user and its password")
        if answer.error.meaning is Meaning.REFUSED:
            return NeedsPerson(f"etcd refuses it: {answer}")
        return None

    def give_up_when_all_refuse(self) -> None:
        troubles = [endpoint.trouble for endpoint in self.endpoints]
        if all(isinstance(trouble, NeedsPerson) for trouble in troubles):
            lost = next((one for one in troubles if isinstance(one, StoreLost)), troubles[0])
            assert isinstance(lost, NeedsPerson)
            raise type(lost)(str(lost))

    # --- one member -------------------------------------------------------------------------

    async def greet(self, endpoint: Endpoint) -> None:
        """Before it is used, and after each failure: its version, and that it is of our cluster.

        In half the time of a request, as connecting: so one that is stopped leaves time for another.
        """
        self.check()
        if endpoint.greeted:
            return
        try:
            async with asyncio.timeout(self.settings.request_timeout / 2):
                await endpoint.learn_version()
                if self.settings.user and not self._token:
                    await self._sign_in(endpoint, "")
                any_key = {"key": b64(self.settings.own), "serializable": True}
                hello = await self.signed(endpoint, "kv/range", any_key)
        except TimeoutError:
            raise NotDone(f"{endpoint.url} does not answer") from None
        self.same_cluster(endpoint, hello)
        endpoint.greeted = True

    async def signed(self, endpoint: Endpoint, path: str, body: Json, led: bool = True) -> Json:
        """With the token; with a new one when the member does not know it, as after its restart.

        Not `led`: an answer of a member that has no leader will do.
        """
        token = self._token
        try:
            return await endpoint.post(path, body, token, led)
        except Answered as answer:
            if answer.error.meaning is not Meaning.TOKEN or not self.settings.user:
                raise
        await self._sign_in(endpoint, token)
        return await endpoint.post(path, body, self._token, led)

    async def renew_token(self, endpoint: Endpoint, old: str) -> None:
        """For streams, which say in a message of their own that the token is unknown."""
        limit = self.settings.request_timeout
        try:
            async with asyncio.timeout(limit):
                await self._sign_in(endpoint, old)
        except TimeoutError:
            raise MayHeal(f"{endpoint.url} did not answer within {limit:g} s") from None
        except (NotDone, PerhapsDone, Answered) as fault:
            raise MayHeal(str(fault)) from fault

    @property
    def token(self) -> str:
        return self._token

    async def _sign_in(self, endpoint: Endpoint, old: str) -> None:
        async with self._signing_in:
            if self._token != old:
                return  # another call has just got one
            who: Json = {"name": self.settings.user, "password": self.settings.password}
            try:
                self._token = str((await endpoint.post("auth/authenticate", who, ""))["token"])
            except Answered as answer:
                if "authentication is not enabled" in answer.error.text:
                    return
                if answer.error.meaning is Meaning.REFUSED:
                    who_text = f"user {self.settings.user!r} at {endpoint.url}"
                    raise NeedsPerson(f"etcd refuses {who_text}: {answer}") from answer
                raise
            except PerhapsDone as fault:
                raise NotDone(str(fault)) from fault  # what was to follow it was not sent

    def same_cluster(self, endpoint: Endpoint, message: Json) -> None:
        found = cluster_of(message)
        if not found or found == self.cluster:
            return
        if self.cluster:
            raise StoreLost(
                f"{endpoint.url} belongs to another etcd cluster ({found}, ours is {self.cluster}): "
                "correct the endpoints, or take the new one with `standfast cluster accept-store`"
            )
        self.cluster = found

    def _drop(self, endpoint: Endpoint) -> None:
        task = asyncio.get_running_loop().create_task(endpoint.close())
        self._dropping.add(task)
        task.add_done_callback(self._dropping.discard)

    def _troubles(self) -> str:
        return (
            "; ".join(str(endpoint.trouble) for endpoint in self.endpoints if endpoint.trouble)
            or "no reason known"
        )
