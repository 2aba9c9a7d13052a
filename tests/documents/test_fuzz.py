"""Random documents and spoiled examples: never a crash, every fault in its place, refused means refused.

STANDFAST_FUZZ sets how many (500), STANDFAST_SEED which; a failure prints both.
"""

import json
import os
import random
from pathlib import Path

from reconciler.adapters.drivers import Drivers
from reconciler.decide.documents import check, identity, kinds, lint_together
from reconciler.decide.documents.convert import convert
from reconciler.decide.documents.node import read_node
from tests.documents.bed import HOME
from tests.documents.test_conf import GUIDE, SECTIONS
from tests.documents.test_convert import ODD

COUNT = int(os.environ.get("STANDFAST_FUZZ", "500"))
SEED = os.environ.get("STANDFAST_SEED") or str(random.SystemRandom().randrange(10**9))
YAMLS = [path.read_text() for path in sorted(Path("examples/services").glob("*.yaml"))]
CONFS = [GUIDE, SECTIONS, ODD]
BITS = """
{name} {{ }} {{name}} ${x} {disk#0.name} {fs#a.mnt} {env.x[0]} {#env.y} {rid} {path} {a.b.c[99]} {x[#]}
true false null ~ yes 0755 1e9 -1 .inf 0x1 10GiB 5s "" '' [] {} & * ! | > ? : - # @ % \\ \t \0 \ufeff é 漢
nodes@demo1 @ a@ @b type resources vars timeouts triggers requires after provision ip#0 fs#a fs# #x
[DEFAULT] [env] [fs#a] [ = ; --- ... << *a &a !!str !x %YAML
""".split()  # noqa: SIM905  # a list of sixty quoted words would be harder to read


def documents(chance: random.Random):
    """(flavour, bytes) without end: spoiled text, random trees, random bytes."""
    while True:
        match chance.randrange(6):
            case 0:
                yield "yaml", _spoil(chance, chance.choice(YAMLS)).encode("utf-8", "surrogatepass")
            case 1:
                yield "conf", _spoil(chance, chance.choice(CONFS)).encode("utf-8", "surrogatepass")
            case 2:
                yield "yaml", json.dumps(_document(chance)).encode()
            case 3:
                yield "conf", "\n".join(_line(chance) for _ in range(chance.randrange(30))).encode()
            case 4:
                yield "yaml", " ".join(chance.choice(BITS) for _ in range(chance.randrange(40))).encode()
            case 5:
                yield (
                    chance.choice(["yaml", "conf"]),
                    bytes(chance.randrange(256) for _ in range(chance.randrange(80))),
                )


def _spoil(chance: random.Random, text: str) -> str:
    """A few cuts, copies, swaps and insertions."""
    for _ in range(chance.randrange(1, 6)):
        here, there = sorted(chance.randrange(len(text) + 1) for _ in range(2))
        there = min(there, here + 40)
        match chance.randrange(4):
            case 0:
                text = text[:here] + text[there:]
            case 1:
                text = text[:here] + chance.choice(BITS) + text[here:]
            case 2:
                text = text[:here] + chance.choice(BITS) + text[there:]
            case 3:
                lines = text.split("\n")
                chance.shuffle(lines) if chance.random() < 0.1 else lines.insert(
                    here % len(lines), chance.choice(lines)
                )
                text = "\n".join(lines)
    return text


def _document(chance: random.Random):
    kind = chance.choice(sorted(kinds.kinds()))
    group, _, name = kind.partition(".")
    found = kinds.kinds()[kind]
    keys = chance.sample(sorted(found.properties), chance.randrange(min(8, len(found.properties))))
    resource = {"type": name, **{key: _value(chance) for key in keys}}
    resource |= {key: "/x" for key in found.required if chance.random() < 0.9}
    spec = {key: _value(chance) for key in chance.sample(sorted(kinds.service_kind().properties), 3)}
    if chance.random() < 0.8:
        spec["resources"] = {
            f"{group}#{chance.choice('ab0')}": resource,
            "fs#a": {"type": "flag", "path": _value(chance)},
        }
    return {"apiVersion": "standfast/v1", "kind": "Service", "metadata": {"name": "x"}, "spec": spec}


def _value(chance: random.Random, depth: int = 0):
    if depth < 3 and chance.random() < 0.2:
        return {chance.choice(BITS): _value(chance, depth + 1) for _ in range(chance.randrange(3))}
    if depth < 3 and chance.random() < 0.2:
        return [_value(chance, depth + 1) for _ in range(chance.randrange(3))]
    if chance.random() < 0.3:
        return chance.choice([None, True, False, 0, -1, 5, 2**70, 0.5, 1e300])
    return "".join(chance.choice(BITS) for _ in range(chance.randrange(4)))


def _line(chance: random.Random) -> str:
    words = [
        *BITS,
        *kinds.service_kind().properties,
        *kinds.schema("common.json")["properties"],
        "start_timeout",
        "flex_min",
    ]
    return (
        chance.choice(["", " ", "[", "#"])
        + chance.choice(words)
        + chance.choice([" = ", "=", ":", "]", "@n = "])
        + chance.choice(BITS)
    )


def test_nothing_crashes_and_what_is_refused_is_refused():
    chance, drivers, accepted = random.Random(SEED), Drivers(), 0
    for number, (flavour, content) in zip(range(COUNT), documents(chance), strict=False):
        told = f"STANDFAST_SEED={SEED}, document {number}, {flavour}:\n{content!r}"
        try:
            checked = check(content, "x.file", "root/x", flavour, HOME)
            json.dumps(checked.document)
            if flavour == "conf":
                convert(content, "x.file", "root/x", HOME)
            else:
                read_node(content, "node.yaml")
            if checked.service:
                accepted += 1
                lint_together([checked.service], drivers)
                hash(checked.service.resources and checked.service.resources[0].refs)
        except Exception as error:
            raise AssertionError(told) from error
        assert (checked.service is None) == bool(checked.faults), told
        for fault in (*checked.faults, *checked.lints):
            assert fault.file == "x.file", told
            assert 0 <= fault.line <= content.count(b"\n") + 1, told
            assert fault.what, told
    assert accepted or COUNT < 100, f"STANDFAST_SEED={SEED}: every document was refused"


def test_any_name_is_identified_or_not():
    chance = random.Random(SEED)
    for _ in range(COUNT):
        identity(
            "/".join(
                "".join(chance.choice("ab.~@# é/yamlconf") for _ in range(8))
                + chance.choice(["", ".yaml", ".conf"])
                for _ in range(chance.randrange(4))
            )
        )
