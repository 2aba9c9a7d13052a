"""Cases of ip.host."""

from reconciler.asks import Address, Addresses, AddressHeld, Failed, Link, Links, Memory, Name
from reconciler.model import State
from tests.drivers.table import Case

KIND = "ip.host"
IP, V6, HOST = "192.0.2.10", "2001:db8::10", "demosvc.opensvc.com"
BR0 = Link("br0", 3, up=True, carrier=True, kind="bridge")
LINKS = {"br0": BR0}
BASE = Address("192.0.2.1", 24, "br0")
BASE6 = Address("2001:db8::1", 64, "br0")
OURS = Address(IP, 24, "br0")
ADD = [f"ip addr add {IP}/24 dev br0", f"arping -U -c 1 -I br0 {IP}"]
PIN = f"# remember address={IP}/24 until reboot"
RELEASE = f"# remember address={IP}/24 released until reboot"
DELETE = f"ip addr del {IP}/24 dev br0"
PROBE = f"arping -D -c 3 -w 0.4 -I br0 {IP}"


def spec(name=IP, dev="br0", **other):
    return {"name": name, "dev": dev, "family": "any", "check_carrier": True, "probe": True, **other}


def literal(*held, links=LINKS, ip=IP):
    """Answers about a literal whose netmask is named."""
    return {Links(): links, AddressHeld(ip): held}


def beside(*on_dev, links=LINKS, ip=IP):
    """The same when the netmask comes from the device."""
    return {**literal(*[a for a in on_dev if a.ip == ip], links=links, ip=ip), Addresses("br0"): on_dev}


def named(*on_dev, answer=(IP,), memory=None, links=LINKS):
    return {Links(): links, Addresses("br0"): on_dev, Memory(): memory or {}, Name(HOST): answer}


MASKED = spec(netmask=24)
NAMED = spec(HOST)
PINNED = {"address": f"{IP}/24"}
RELEASED = {"address": f"{IP}/24 released"}
DOWN_LINK = {"br0": Link("br0", 3, up=False, carrier=False)}
NO_CABLE = {"br0": Link("br0", 3, up=True, carrier=False)}

CASES = [
    # --- an address
    Case(
        "not there",
        MASKED,
        literal(),
        State.DOWN,
        up=ADD,
        standby=ADD,
        down=[],
        preflight=[PROBE],
        label=f"{IP}/24 br0",
        notes=(),
        blocked="",
        exposes={"ipaddr": (IP,)},
    ),
    Case("there", MASKED, literal(OURS), State.UP, up=[], down=[DELETE], preflight=[], notes=()),
    Case("a dotted netmask", spec(netmask="255.255.255.0"), literal(), State.DOWN, up=ADD),
    Case("the prefix written with the address", spec(f"{IP}/24"), literal(), State.DOWN, up=ADD),
    Case(
        "the netmask comes from an address of its network",
        spec(),
        beside(Address("10.0.0.1", 8, "br0"), BASE),
        State.DOWN,
        up=ADD,
        label=f"{IP}/24 br0",
    ),
    Case(
        "no netmask, and none to be found",
        spec(),
        beside(Address("10.0.0.1", 8, "br0")),
        State.DOWN,
        blocked="br0 has no address in the network of 192.0.2.10 to take the netmask from: add netmask",
        down=[],
        label=f"{IP} br0",
    ),
    Case(
        "no netmask, but up: with whatever prefix it has",
        spec(),
        beside(Address(IP, 32, "br0"), BASE),
        State.UP,
        down=[f"ip addr del {IP}/32 dev br0"],
    ),
    Case(
        "a netmask that is none",
        spec(netmask="255.0.255.0"),
        beside(BASE),
        State.DOWN,
        blocked="netmask 255.0.255.0 does not fit 192.0.2.10",
    ),
    Case("a prefix too long", spec(netmask=33), beside(BASE), State.DOWN, blocked="does not fit"),
    Case(
        "another prefix: replaced",
        MASKED,
        literal(Address(IP, 32, "br0")),
        State.WARN,
        up=[f"ip addr del {IP}/32 dev br0", *ADD],
        down=[f"ip addr del {IP}/32 dev br0"],
        notes=("held with prefix /32, not /24",),
    ),
    Case(
        "with the right and a wrong prefix: the wrong one goes, both go on the way down",
        MASKED,
        literal(Address(IP, 32, "br0"), OURS),
        State.WARN,
        up=[f"ip addr del {IP}/32 dev br0", *ADD],
        down=[f"ip addr del {IP}/32 dev br0", DELETE],
    ),
    Case(
        "held on another device: left alone, it may be the host's own",
        MASKED,
        literal(Address(IP, 24, "eth1")),
        State.DOWN,
        notes=("192.0.2.10 is held on eth1, not on br0",),
        blocked="is held on eth1, not on br0: `ip addr del` it there or correct dev",
        down=[],
    ),
    Case(
        "held on both devices",
        MASKED,
        literal(Address(IP, 24, "eth1"), OURS),
        State.UP,
        down=[DELETE],
    ),
    Case(
        "with a label",
        spec(dev="br0:web", netmask=24),
        literal(),
        State.DOWN,
        up=[
            f"ip addr add {IP}/24 dev br0 label br0:web",
            ADD[1],
        ],
    ),
    Case("no probe wanted", spec(netmask=24, probe=False), literal(), State.DOWN, preflight=[]),
    # --- IPv6
    Case(
        "IPv6: usable at once",
        spec("2001:DB8:0::10", netmask=64),
        literal(ip=V6),
        State.DOWN,
        up=[f"ip addr add {V6}/64 dev br0 nodad", f"ndsend {V6} br0"],
        preflight=[f"ndisc6 -q {V6} br0"],
        label=f"{V6}/64 br0",
    ),
    Case(
        "IPv6: the netmask comes from the device",
        spec(V6),
        beside(BASE, BASE6, ip=V6),
        State.DOWN,
        label=f"{V6}/64 br0",
    ),
    Case(
        "IPv6 with a dotted mask", spec(V6, netmask="255.255.0.0"), beside(ip=V6), State.DOWN, blocked="fit"
    ),
    Case(
        "IPv6: added by somebody else, detection still runs",
        spec(V6, netmask=64),
        literal(Address(V6, 64, "br0", tentative=True), ip=V6),
        State.UP,
        notes=("detection still runs",),
    ),
    Case(
        "IPv6: another host has it",
        spec(V6, netmask=64),
        literal(Address(V6, 64, "br0", tentative=True, duplicate=True), ip=V6),
        State.WARN,
        notes=("another host answers for it",),
        up=[
            f"ip addr del {V6}/64 dev br0",
            f"ndisc6 -q {V6} br0",
            f"ip addr add {V6}/64 dev br0 nodad",
            f"ndsend {V6} br0",
        ],
        down=[f"ip addr del {V6}/64 dev br0"],
    ),
    # --- the device
    Case(
        "the device is missing",
        MASKED,
        literal(links={}),
        State.DOWN,
        blocked="device br0 does not exist",
        up=ADD,
        down=[],
        preflight=[],
    ),
    Case(
        "the device is set down: set up first, then asked, then added",
        MASKED,
        literal(links=DOWN_LINK),
        State.DOWN,
        up=["ip link set br0 up", PROBE, *ADD],
        preflight=[],
        blocked="",
    ),
    Case(
        "the device was set down under it",
        MASKED,
        literal(OURS, links=DOWN_LINK),
        State.WARN,
        up=["ip link set br0 up", ADD[1]],
        down=[DELETE],
        notes=("device br0 is administratively down",),
    ),
    Case(
        "no carrier: not brought up",
        MASKED,
        literal(links=NO_CABLE),
        State.DOWN,
        blocked="br0 has no carrier",
        down=[],
    ),
    Case(
        "carrier lost: stays up, with a warning",
        MASKED,
        literal(OURS, links=NO_CABLE),
        State.UP,
        notes=("device br0 has no carrier",),
        up=[],
    ),
    Case(
        "no carrier, and nobody minds",
        spec(netmask=24, check_carrier=False),
        literal(links=NO_CABLE),
        State.DOWN,
        blocked="",
        up=ADD,
    ),
    Case(
        "on the loopback nobody is asked",
        spec(dev="lo", netmask=32),
        literal(links={"lo": Link("lo", 1, up=True, carrier=True, loopback=True)}),
        State.DOWN,
        preflight=[],
        up=[f"ip addr add {IP}/32 dev lo", f"arping -U -c 1 -I lo {IP}"],
    ),
    # --- a name
    Case(
        "a name: resolved, remembered",
        NAMED,
        named(BASE),
        State.DOWN,
        up=[ADD[0], PIN, ADD[1]],
        down=[],
        preflight=[PROBE],
        label=f"{IP}/24 br0 {HOST}",
        notes=(),
        blocked="",
    ),
    Case(
        "a name: up",
        NAMED,
        named(BASE, OURS, memory=PINNED),
        State.UP,
        up=[],
        down=[DELETE, RELEASE],
        notes=(),
    ),
    Case(
        "up by hand, nothing remembered",
        NAMED,
        named(BASE, OURS),
        State.UP,
        up=[],
        down=[DELETE, RELEASE],
        notes=(),
    ),
    Case(
        "DNS out while up: nothing changes",
        NAMED,
        named(BASE, OURS, memory=PINNED, answer=Failed("no answer from 192.0.2.53")),
        State.UP,
        down=[DELETE, RELEASE],
        notes=("does not resolve now (no answer from 192.0.2.53): 192.0.2.10 stays",),
    ),
    Case(
        "DNS out, and the address deleted by hand: it comes back",
        NAMED,
        named(BASE, memory=PINNED, answer=Failed("no answer")),
        State.DOWN,
        up=[ADD[0], PIN, ADD[1]],
        blocked="",
    ),
    Case(
        "DNS out after the stop: the stop is seen to be complete",
        NAMED,
        named(BASE, memory=RELEASED, answer=Failed("no answer")),
        State.DOWN,
        down=[],
        blocked="demosvc.opensvc.com does not resolve: no answer",
    ),
    Case(
        "DNS out, and added again by hand after the stop",
        NAMED,
        named(BASE, OURS, memory=RELEASED, answer=Failed("no answer")),
        State.UP,
        down=[DELETE, RELEASE],
    ),
    Case(
        "DNS out, nothing remembered",
        NAMED,
        named(BASE, answer=Failed("no answer")),
        State.UNKNOWN,
        down=[],
    ),
    Case(
        "another answer while up: a warning, not a move",
        NAMED,
        named(BASE, OURS, memory=PINNED, answer=("192.0.2.99",)),
        State.UP,
        up=[],
        down=[DELETE, RELEASE],
        notes=("resolves to 192.0.2.99 now: 192.0.2.10 stays until this resource is stopped",),
    ),
    Case(
        "another answer after the stop: taken",
        NAMED,
        named(BASE, memory=RELEASED, answer=("192.0.2.99",)),
        State.DOWN,
        label=f"192.0.2.99/24 br0 {HOST}",
        notes=(),
    ),
    Case(
        "several answers: the same one on every host",
        NAMED,
        named(BASE, answer=(V6, "192.0.2.20", IP)),
        State.DOWN,
        label=f"{IP}/24 br0 {HOST}",
        notes=("several addresses",),
    ),
    Case(
        "several answers, one of them up",
        NAMED,
        named(BASE, Address("192.0.2.20", 24, "br0"), answer=(IP, "192.0.2.20")),
        State.UP,
        label=f"192.0.2.20/24 br0 {HOST}",
    ),
    Case(
        "a family named",
        spec(HOST, family="ipv6"),
        named(BASE, BASE6, answer=(IP, V6)),
        State.DOWN,
        label=f"{V6}/64 br0 {HOST}",
    ),
    Case(
        "a name without an address of the family",
        spec(HOST, family="ipv6"),
        named(BASE6),
        State.DOWN,
        blocked="demosvc.opensvc.com has no address of family ipv6",
        label=f"{HOST} br0",
    ),
    Case(
        "a name whose network the device does not know",
        NAMED,
        named(),
        State.DOWN,
        blocked="to take the netmask from",
    ),
    Case(
        "an edited netmask comes before the remembered one",
        spec(HOST, netmask=25),
        named(BASE, OURS, memory=PINNED),
        State.WARN,
        up=[
            DELETE,
            f"ip addr add {IP}/25 dev br0",
            f"# remember address={IP}/25 until reboot",
            ADD[1],
        ],
    ),
    # --- cannot look
    Case(
        "cannot list the links",
        MASKED,
        {**literal(), Links(): Failed("netlink")},
        State.UNKNOWN,
        down=[DELETE],
    ),
    Case(
        "cannot list the addresses, and the prefix is not known",
        spec(),
        {**beside(), AddressHeld(IP): Failed("netlink")},
        State.UNKNOWN,
        down=[],
    ),
    Case(
        "memory cannot be read", NAMED, {**named(), Memory(): Failed("store away")}, State.UNKNOWN, down=[]
    ),
    Case(
        "a reference without a value",
        spec("{env.late[0]}", netmask=24),
        {Links(): LINKS},
        State.DOWN,
        blocked="has no value yet",
        label="{env.late[0]} br0",
        down=[],
    ),
]
