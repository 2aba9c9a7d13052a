"""Our own etcd's election timeout → said where it is longer than this node's times count on."""

import json

from reconciler.decide.timing import PROFILES
from tests.etcd.bed import needs_etcd

pytestmark = needs_etcd
FAST = PROFILES["fast"].election


def test_a_failover_time_that_was_lowered_needs_quicker_elections(bed):
    """etcd keeps the times of `init`; while it elects, the agents take each other for dead."""
    a = bed.host("a")
    assert a.standfast("init", "--failover-time", "conservative") == 0, a.err

    def said() -> list[str]:
        return [text for text in a.status()["warnings"] if "elects" in text]

    assert said() == []
    a.node.write_text(a.node.read_text().replace("failover_time: conservative", "failover_time: fast"))
    (text,) = said()
    assert text.startswith(f"etcd here elects with a timeout of 2 s, failover_time fast counts on {FAST} s")
    assert f"set election to {FAST} in {a.files.unit}" in text
    assert a.status()["well"]
    kept = json.loads(a.files.unit.read_text()) | {"election": FAST}
    a.files.unit.write_text(json.dumps(kept))
    assert said() == []
