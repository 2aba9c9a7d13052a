"""`make explore`: the larger scopes, one after another → how many states each has, and the first wrong one.

make explore STATES=100000 looks at so many states of each at most
"""

import argparse
import sys
import time

from reconciler.testing.explorer import explored
from tests.explorer.scopes import LARGE


def main() -> int:
    parser = argparse.ArgumentParser(prog="make explore")
    parser.add_argument("--states", type=int, default=1_000_000)
    given, wrong = parser.parse_args(), False
    for name, scope in LARGE.items():
        began = time.perf_counter()
        found = explored(scope, most=given.states)
        print(f"{name}: {found}, {time.perf_counter() - began:.0f} s", flush=True)
        if found.wrong:
            wrong = True
            print(found.history)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
