"""`standfast validate FILE…|DIR` → every fault, as file:line: path: what; exit 0 when there is none."""

import argparse
from pathlib import Path

HELP = "check documents and print every fault in them"


def arguments(parser: argparse.ArgumentParser) -> None:
    from reconciler.cli import documents

    parser.add_argument(
        "paths", metavar="FILE|DIR", type=Path, nargs="+", help="documents, or directories of them"
    )
    documents.options(parser)


def run(args: argparse.Namespace) -> int:
    from reconciler.cli import documents

    where = documents.home(args)
    read = list(documents.documents(args.paths, where))
    faults = [fault for document in read for fault in document.checked.faults]
    documents.tell(faults)
    bad = sum(1 for document in read if document.checked.faults)
    told, all_of_them = documents.counted(len(faults), "fault"), documents.counted(len(read), "document")
    documents.summary(f"{told} in {bad} of {all_of_them}" if faults else f"{all_of_them}, no faults")
    return 1 if faults else 0
