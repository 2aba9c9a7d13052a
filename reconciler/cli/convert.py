"""`standfast convert svc1.conf` → the YAML document that means the same, on standard output."""

import argparse
import sys
from pathlib import Path

HELP = "turn an OpenSVC .conf into YAML that means the same"


def arguments(parser: argparse.ArgumentParser) -> None:
    from reconciler.cli import documents

    parser.add_argument("path", metavar="FILE.conf", type=Path)
    parser.add_argument("--namespace", default="root", help="the namespace it will be in (root)")
    documents.options(parser)


def run(args: argparse.Namespace) -> int:
    """Faults and lints go to standard error: the output is a document."""
    from reconciler.cli import documents
    from reconciler.cli.client import USAGE, Failed
    from reconciler.decide.documents.convert import convert

    if args.path.suffix != ".conf":
        raise Failed(USAGE, f"{args.path}: only a .conf can be converted")
    try:
        content = args.path.read_bytes()
    except OSError as error:
        raise Failed(USAGE, f"{args.path}: {error.strerror}") from None
    key = f"{args.namespace}/{args.path.stem}"
    text, faults, lints = convert(content, str(args.path), key, documents.home(args))
    for fault in (*faults, *lints):
        print(fault, file=sys.stderr)
    print(text, end="")
    return 1 if faults else 0
