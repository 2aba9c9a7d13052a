"""`standfast lint FILE…|DIR` → faults, and what is legal but surely wrong; exit 0 when there is none."""

import argparse
from pathlib import Path

HELP = "print faults, and what is legal but surely wrong"


def arguments(parser: argparse.ArgumentParser) -> None:
    from reconciler.cli import documents

    parser.add_argument(
        "paths", metavar="FILE|DIR", type=Path, nargs="+", help="documents, or directories of them"
    )
    documents.options(parser)


def run(args: argparse.Namespace) -> int:
    from reconciler.adapters.drivers import Drivers
    from reconciler.cli import documents
    from reconciler.decide.documents import lint_together

    read = list(documents.documents(args.paths, documents.home(args)))
    faults = [fault for document in read for fault in document.checked.faults]
    lints = [lint for document in read for lint in document.checked.lints]
    lints += lint_together([found.checked.service for found in read if found.checked.service], Drivers())
    documents.tell(faults)
    documents.tell(sorted(set(lints)))
    counts = ((read, "document"), (faults, "fault"), (set(lints), "lint"))
    documents.summary(", ".join(documents.counted(len(found), word) for found, word in counts))
    return 1 if faults or lints else 0
