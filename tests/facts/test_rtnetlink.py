"""Recorded bytes of rtnetlink, and bytes that are none."""

import struct

import pytest

from reconciler.adapters.facts import rtnetlink as nl
from reconciler.adapters.facts.rtnetlink import AddressRow, RouteGroup
from reconciler.asks import Link, Route


def attribute(kind, value):
    data = struct.pack("=HH", 4 + len(value), kind) + value
    return data + bytes(-len(data) % 4)


def body(head, *attributes):
    return head + b"".join(attribute(*pair) for pair in attributes)


def message(kind, payload, flags=2):
    data = struct.pack("=IHHII", 16 + len(payload), kind, flags, 1, 0) + payload
    return data + bytes(-len(data) % 4)


V4, V6 = bytes((10, 9, 0, 1)), bytes.fromhex("fd00" + "00" * 13 + "01")


@pytest.mark.parametrize(
    ("data", "row"),
    [
        pytest.param(
            body(
                struct.pack("=BBBBI", 2, 24, 0x80, 0, 3),
                (1, V4),
                (2, V4),
                (3, b"br0:x\0"),
                (8, b"\x80\0\0\0"),
            ),
            AddressRow(3, "10.9.0.1", 24, False, False, False, "br0:x"),
            id="IPv4 with a label",
        ),
        pytest.param(
            body(struct.pack("=BBBBI", 2, 32, 0x80, 0, 3), (1, bytes((10, 0, 0, 2))), (2, V4)),
            AddressRow(3, "10.9.0.1", 32, False, False, False, ""),
            id="point to point: our end, not the peer's",
        ),
        pytest.param(
            body(struct.pack("=BBBBI", 2, 24, 0x81, 0, 3), (2, V4), (8, b"\x81\0\0\0")),
            AddressRow(3, "10.9.0.1", 24, True, False, False, ""),
            id="a secondary one",
        ),
        pytest.param(
            body(struct.pack("=BBBBI", 10, 64, 0xC0, 0, 4), (1, V6), (8, b"\xc0\0\0\0")),
            AddressRow(4, "fd00::1", 64, False, True, False, ""),
            id="IPv6 while duplicate detection runs",
        ),
        pytest.param(
            body(struct.pack("=BBBBI", 10, 64, 0xC8, 0, 4), (1, V6), (8, b"\xc8\0\0\0")),
            AddressRow(4, "fd00::1", 64, False, False, True, ""),
            id="IPv6 that is a duplicate",
        ),
        pytest.param(
            body(struct.pack("=BBBBI", 10, 64, 0, 0, 4), (1, V6), (8, b"\x00\x02\0\0")),
            AddressRow(4, "fd00::1", 64, False, False, False, ""),
            id="flags beyond one byte (noprefixroute)",
        ),
    ],
)
def test_addresses(data, row):
    assert nl.address(data) == row


def link_body(flags, *more):
    return body(struct.pack("=BxHiII", 0, 1, 5, flags, 0), (3, b"eth0\0"), *more)


@pytest.mark.parametrize(
    ("data", "link"),
    [
        pytest.param(
            link_body(0x11043, (1, bytes.fromhex("020000000001")), (16, b"\6")),
            Link("eth0", 5, True, True, "02:00:00:00:00:01"),
            id="a card with a cable",
        ),
        pytest.param(link_body(0x1003, (16, b"\2")), Link("eth0", 5, True, False), id="without one"),
        pytest.param(link_body(0x1002, (16, b"\2")), Link("eth0", 5, False, False), id="down"),
        pytest.param(
            link_body(0x11043, (16, b"\0"), (18, attribute(1, b"bridge\0") + attribute(2, b""))),
            Link("eth0", 5, True, True, kind="bridge"),
            id="a bridge, which has no state of its own",
        ),
        pytest.param(
            link_body(0x10049, (1, bytes(6)), (16, b"\0")),
            Link("eth0", 5, True, True, loopback=True),
            id="loopback",
        ),
        pytest.param(
            link_body(0x11043, (16, b"\5")), Link("eth0", 5, True, False), id="dormant: not usable yet"
        ),
    ],
)
def test_links(data, link):
    assert nl.link(data) == link


def route_body(*attributes, family=2, length=16, table=254, kind=1, flags=0):
    return body(struct.pack("=BBBBBBBBI", family, length, 0, 0, table, 3, 0, kind, flags), *attributes)


DST, GW = (1, bytes((10, 66, 0, 0))), (5, bytes((10, 9, 0, 254)))


@pytest.mark.parametrize(
    ("data", "group", "routes"),
    [
        pytest.param(
            route_body(DST, GW, (4, b"\3\0\0\0"), (6, b"\7\0\0\0"), (7, V4)),
            RouteGroup(2, 254, "10.66.0.0/16", 7),
            [Route("10.66.0.0/16", "10.9.0.254", "d3", 254, 7, "10.9.0.1")],
            id="with gateway, metric and source",
        ),
        pytest.param(
            route_body(GW, (4, b"\3\0\0\0"), (15, b"\xe8\3\0\0"), length=0, table=252),
            RouteGroup(2, 1000, "default", 0),
            [Route("default", "10.9.0.254", "d3", 1000)],
            id="default, of a table above 255",
        ),
        pytest.param(
            route_body(DST, (18, b"\x0a\0" + V6), (4, b"\3\0\0\0")),
            RouteGroup(2, 254, "10.66.0.0/16", 0),
            [Route("10.66.0.0/16", "fd00::1", "d3")],
            id="IPv4 by an IPv6 gateway",
        ),
        pytest.param(
            route_body(
                DST, (9, b"".join(struct.pack("=HBBi", 16, 0, 0, i) + attribute(*GW) for i in (3, 4)))
            ),
            RouteGroup(2, 254, "10.66.0.0/16", 0),
            [Route("10.66.0.0/16", "10.9.0.254", "d3"), Route("10.66.0.0/16", "10.9.0.254", "d4")],
            id="multipath",
        ),
    ],
)
def test_routes(data, group, routes):
    found_group, found = nl.routes(data, lambda index: f"d{index}")
    assert (found_group, list(found.values())) == (group, routes)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(route_body(DST, kind=2), id="a local address"),
        pytest.param(route_body(DST, kind=3), id="a broadcast address"),
        pytest.param(route_body(DST, kind=7), id="unreachable"),
        pytest.param(route_body(DST, flags=0x200), id="a cached one"),
        pytest.param(route_body(DST, family=5), id="another family (MPLS)"),
    ],
)
def test_what_is_no_route_of_ours(data):
    assert nl.routes(data, str) is None


def test_messages_of_a_datagram_one_after_another():
    data = message(nl.NEWADDR, b"abcde") + message(nl.DONE, b"\0\0\0\0", flags=0x12)
    found = list(nl.messages(data))
    assert [(m.kind, m.flags, m.body) for m in found] == [(20, 2, b"abcde"), (3, 0x12, b"\0\0\0\0")]


@pytest.mark.parametrize(
    "data", [b"\x08\0\0\0" + bytes(12), b"\xff\0\0\0" + bytes(12)], ids=["too short", "too long"]
)
def test_a_malformed_message_is_an_error(data):
    with pytest.raises(ValueError, match="netlink message"):
        list(nl.messages(data))


def test_a_malformed_attribute_is_an_error():
    with pytest.raises(ValueError, match="netlink attribute"):
        nl.attributes(b"\xff\0\1\0\0\0\0\0", 0)


def test_the_number_of_an_error():
    assert nl.error_number(struct.pack("=i", -13) + bytes(16)) == 13
