"""`python -m tests.golden [--update] [WORD…]` → which cases are decided otherwise now."""

import sys

from tests.golden.cases import goldens


def main(words: list[str]) -> int:
    update, names = "--update" in words, [word for word in words if not word.startswith("-")]
    other = []
    for golden in goldens():
        if names and not any(name in golden.name for name in names):
            continue
        if golden.now() != golden.kept():
            other.append(golden.name)
            if update:
                golden.renew()
    print("\n".join(other) or "all as they were")
    return 0 if update or not other else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
