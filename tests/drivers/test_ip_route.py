"""Cases of ip.route."""

from reconciler.asks import Address, AddressHeld, Failed, Link, Links, Route, Routes
from reconciler.model import State
from tests.drivers.table import Case

KIND = "ip.route"
LINKS = {"br0": Link("br0", 3, up=True, carrier=True), "br1": Link("br1", 4, up=False, carrier=False)}
NET, GATE = "198.51.100.0/24", "192.0.2.1"


def spec(to=NET, table=254, metric=0, **other):
    return {"to": to, "table": table, "metric": metric, **other}


def world(*routes, table=254, links=LINKS, **src):
    return {Links(): links, Routes(table): routes} | {AddressHeld(ip): held for ip, held in src.values()}


PLAIN = spec(via=GATE, dev="br0")
SOURCED = spec("default", via=GATE, src="192.0.2.10")
ADD = f"ip route replace {NET} via {GATE} dev br0"
CASES = [
    Case(
        "not there",
        PLAIN,
        world(),
        State.DOWN,
        up=[ADD],
        down=[],
        label=f"{NET} via {GATE} dev br0",
        blocked="",
        notes=(),
    ),
    Case(
        "there",
        PLAIN,
        world(Route(NET, GATE, "br0")),
        State.UP,
        up=[],
        down=[f"ip route del {NET} via {GATE} dev br0"],
    ),
    Case(
        "what is not named may be anything",
        spec(via=GATE),
        world(Route(NET, GATE, "br9", src="192.0.2.7")),
        State.UP,
    ),
    Case(
        "a host route, written without its prefix, in another table",
        spec("198.51.100.7", table=100, metric=50, dev="br0"),
        world(Route("198.51.100.7/32", "", "br0", 100, 50), table=100),
        State.UP,
        down=["ip route del 198.51.100.7/32 dev br0 metric 50 table 100"],
        label="198.51.100.7 dev br0 metric 50 table 100",
    ),
    Case(
        "another route in its place is never replaced",
        spec("0.0.0.0/0", via=GATE),
        world(Route("default", "192.0.2.254", "eth0")),
        State.DOWN,
        blocked="another route is in its place (default via 192.0.2.254 dev eth0): give this one a metric",
        down=[],
    ),
    Case(
        "another metric is another route",
        spec("default", via=GATE, metric=10),
        world(Route("default", "192.0.2.254", "eth0")),
        State.DOWN,
        up=[f"ip route replace default via {GATE} metric 10"],
        blocked="",
    ),
    Case(
        "IPv6: the kernel's metric for none",
        spec("2001:DB8:1::/48", via="2001:db8::1"),
        world(Route("2001:db8:1::/48", "2001:db8::1", "br0", metric=1024)),
        State.UP,
        down=["ip -6 route del 2001:db8:1::/48 via 2001:db8::1"],
    ),
    Case(
        "the default route of the other family is no rival",
        spec("default", via="2001:db8::1"),
        world(Route("default", GATE, "br0")),
        State.DOWN,
        up=["ip -6 route replace default via 2001:db8::1"],
        blocked="",
    ),
    Case(
        "the device is missing", spec(dev="br7"), world(), State.DOWN, blocked="device br7 does not exist"
    ),
    Case(
        "the device is down", spec(dev="br1"), world(), State.DOWN, blocked="br1 is administratively down"
    ),
    Case(
        "its source address is not here yet",
        SOURCED,
        world(src=("192.0.2.10", ())),
        State.DOWN,
        blocked="its source address 192.0.2.10 is not on this host",
    ),
    Case(
        "its source address is here",
        SOURCED,
        world(src=("192.0.2.10", (Address("192.0.2.10", 24, "br0"),))),
        State.DOWN,
        up=[f"ip route replace default via {GATE} src 192.0.2.10"],
        blocked="",
    ),
    Case("neither via nor dev", spec(), world(), State.DOWN, blocked="name via or dev"),
    Case("IPv6 default needs a gateway", spec("::/0", dev="br0"), world(), State.DOWN, blocked="name via"),
    Case(
        "not a network", spec("shop", dev="br0"), world(), State.DOWN, blocked="not an address or network"
    ),
    Case(
        "a reference without a value",
        spec(via="{ip#0.gateway}"),
        world(),
        State.DOWN,
        blocked="not an address or network",
        up=[f"ip route replace {NET} via {{ip#0.gateway}}"],
    ),
    Case(
        "cannot list the routes",
        PLAIN,
        {**world(), Routes(254): Failed("netlink")},
        State.UNKNOWN,
        down=[f"ip route del {NET} via {GATE} dev br0"],
    ),
]
