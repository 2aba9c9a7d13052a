"""A service seen from another node than its holder → what that is waited for, and how it does there."""

import math
from dataclasses import replace

import pytest

from reconciler.decide.among import among
from reconciler.decide.asked import NOBODY
from reconciler.decide.candidates import Peer
from reconciler.decide.claims import Claim
from reconciler.decide.sessions import Level, Session
from reconciler.model import Service

WEB = Service("web", nodes=("n1", "n2"))
SESSION = Session("n1", 5, "b", "s", 10.0, Level.LEASE)
PEERS = {name: Peer(name, holds=frozenset({"root/web"} if name == "n1" else ())) for name in WEB.nodes}


def said(session=SESSION, needed=Level.LEASE, still=0.0, parts=()) -> list[str]:
    """Of n1, which holds it."""
    sessions = {"n1": session} if session else {}
    told = {"n1": {"resources": {rid: {"log": [], "waiting": "", **part} for rid, part in parts}}}
    lines = among(WEB, {0: Claim(0, "n1", 5)}, sessions, PEERS, NOBODY, needed, {"n1": still}, told)
    texts = [text for _, text in lines]
    return texts[1 : texts.index("n2: could take it, number 2")]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        pytest.param({"still": 2.4}, "", id="between two renewals"),
        pytest.param({"still": 2.6}, ", not heard of for 3 s: free after 10 s without a word", id="silent"),
        pytest.param(
            {"still": 5.0, "needed": Level.WATCHDOG},
            ", not heard of for 5 s: its safety level was lease, the service requires lease+watchdog: ",
            id="not surely stopped",
        ),
        pytest.param(
            {"session": replace(SESSION, wait=math.inf), "still": 99.0},
            ", in maintenance: nobody takes it over before `standfast node maintenance --off` there",
            id="maintenance",
        ),
        pytest.param(
            {"session": replace(SESSION, fencing="n2")}, ", and n2 has begun to fence it", id="fenced"
        ),
        pytest.param({"session": None}, "", id="no record of it"),
    ],
)
def test_what_its_holder_is_waited_for(more, says):
    (line,) = said(**more)
    assert line.startswith("n1: holds it (slot 0, epoch 5)" + says)
    assert says or line.endswith("epoch 5)")


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ({"state": "up", "goal": "up"}, None),
        ({"state": "n/a", "goal": "up"}, None),
        ({"state": "stdby up", "goal": "standby"}, None),
        ({"state": "down", "goal": "none"}, None),
        (
            {"state": "down", "goal": "up", "log": [{"level": "warn", "text": "/dev/x does not exist"}]},
            "fs#0 is down there, wanted up: /dev/x does not exist",
        ),
        (
            {"state": "up", "goal": "down", "waiting": "stuck: umount: busy"},
            "fs#0 is up there, wanted down: stuck: umount: busy",
        ),
        ({"state": "unknown", "goal": "up"}, "fs#0 is unknown there, wanted up"),
    ],
)
def test_how_it_does_where_it_is_held(part, says):
    first, *more = said(parts=[("fs#0", part)])
    assert first == "n1: holds it (slot 0, epoch 5)"
    assert more == ([says, "`standfast why` on n1 says more"] if says else [])
