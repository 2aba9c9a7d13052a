"""`python -m reconciler.cli.schemas OUT` → OUT/service.json and OUT/node.json for editors."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

HELP = "write the schemas that editors use"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", type=Path, help="the directory to write them to")


def run(args: argparse.Namespace) -> int:
    from reconciler.decide.documents.editor_schema import editor_schema
    from reconciler.decide.documents.kinds import schema

    args.out.mkdir(parents=True, exist_ok=True)
    for name, content in (("service.json", editor_schema()), ("node.json", schema("node.json"))):
        path = args.out / name
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        print(path)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m reconciler.cli.schemas", description=HELP)
    arguments(parser)
    return run(parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
