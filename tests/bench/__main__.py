"""Names of rows → their table on stdout, and bench.json."""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.bench import commands, hosts, repairs, rest, stacks
from tests.bench.measure import QUICK, Row, Size
from tests.bench.table import table

ROWS: dict[str, Callable[[Size], list[Row]]] = {
    "status": commands.status,
    "start": stacks.start_and_stop,
    "probe": stacks.start_with_probe,
    "address": repairs.address,
    "kill": repairs.kill,
    "umount": repairs.unmounted,
    "file": repairs.dropped,
    "load": stacks.load,
    "switch": hosts.switched,
    "failover": hosts.failed_over,
    "some": rest.some,
    "many": rest.many,
}


UNLIKE_INSTALLED = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")
"""With the first of them set, what an installed package has compiled is compiled at each start."""


def measured(names: Iterable[str], size: Size) -> list[Row]:
    """The rows of these, one after another; a dot on stderr for each.

    Ours and the yardsticks run alike, without what a shell may have set for Python.
    """
    for name in UNLIKE_INSTALLED:
        os.environ.pop(name, None)
    rows: list[Row] = []
    for name in names:
        print(f"{name} …", end=" ", file=sys.stderr, flush=True)
        rows += ROWS[name](size)
    print(file=sys.stderr)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {' '.join(ROWS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="few pairs of small things: does it run?")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a target is missed")
    parser.add_argument("--json", default="bench.json", metavar="FILE", help="bench.json")
    args = parser.parse_args()
    if wrong := set(args.rows) - ROWS.keys():
        parser.error(f"no row {', '.join(sorted(wrong))}: there are {' '.join(ROWS)}")
    if os.geteuid() != 0:
        print("make bench needs root: namespaces, loop devices, mounts", file=sys.stderr)
        return 1
    size = QUICK if args.quick else Size()
    rows = measured(args.rows or ROWS, size)
    print(table(rows))
    kept = {
        "at": time.time(),
        "quick": args.quick,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "cores": os.cpu_count(),
        "rows": [row.as_json() for row in rows],
    }
    Path(args.json).write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return int(args.strict and any(row.ok is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
