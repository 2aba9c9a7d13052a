"""A reader at its own speed: the latest of each object, events in order, bounded memory."""

import asyncio
from typing import Any

from reconciler.api import fanout
from reconciler.api.fanout import Fanout


def named(name: str, **more: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "root", "name": name}, **more}


async def drain(reader: Any) -> list[tuple[str, Any]]:
    found = []
    while True:
        try:
            async with asyncio.timeout(0.01):
                found.append(await anext(reader))
        except TimeoutError:
            return found


async def test_of_an_object_only_the_latest_state_is_kept() -> None:
    hub = Fanout()
    reader = hub.subscribe()
    for n in range(1000):
        hub.publish("service", named("a", n=n))
        hub.publish("service", named("b", n=n))
    assert [o["n"] for _, o in await drain(reader)] == [999, 999]


async def test_a_deletion_follows_what_it_deletes_and_a_return_follows_the_deletion() -> None:
    hub = Fanout()
    reader = hub.subscribe()
    hub.publish("service", named("a"))
    hub.publish("deleted", named("a"))
    assert [kind for kind, _ in await drain(reader)] == ["deleted"]
    hub.publish("deleted", named("a"))
    hub.publish("service", named("a"))
    assert [kind for kind, _ in await drain(reader)] == ["service"]


async def test_events_come_in_order_and_a_slow_reader_loses_the_oldest() -> None:
    hub = Fanout()
    reader = hub.subscribe()
    for n in range(fanout.EVENTS + 5):
        hub.publish("event", {"number": n})
    assert [o["number"] for _, o in await drain(reader)] == list(range(5, fanout.EVENTS + 5))


async def test_a_subscription_begins_when_it_is_made() -> None:
    hub = Fanout()
    hub.publish("event", {"number": 1})
    reader = hub.subscribe()
    hub.publish("event", {"number": 2})
    assert await drain(reader) == [("event", {"number": 2})]
