"""`python -I -S -c … JSON`: the words of a guard → a guard, which imports nothing from then on.

It is started with the standard library's path alone, and one more to find this package by, which is taken
off again: nothing that is installed is ever loaded, and no directory is looked into later.
"""

import json
import os
import sys

from reconciler.guard.process import Guard, Taken, Wanted


def main(text: str) -> int:
    words = json.loads(text)
    if words.pop("detach", False) and os.fork():
        os._exit(0)  # whoever started us has no child to wait for
    try:
        guard = Guard(Wanted(**words))
    except (Taken, OSError) as why:
        print(why, file=sys.stderr)
        return 3
    sys.path.clear()
    sys.excepthook = lambda kind, fault, _: print(f"{kind.__name__}: {fault}", file=sys.stderr)
    guard.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
