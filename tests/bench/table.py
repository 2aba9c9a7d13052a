"""Rows → one table for people."""

from collections.abc import Iterable

from tests.bench.measure import Row

HEAD = ("row", "what", "ours", "yardstick", "ratio", "target", "ok?", "n")


def table(rows: Iterable[Row]) -> str:
    lines = [HEAD, *map(_cells, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _cells(row: Row) -> tuple[str, ...]:
    if row.ok is None:
        return row.name, row.what, f"skipped: {row.why}", "", "", "", "", ""
    ours = _figure(row.ours, row.unit)
    if row.n > 1:
        ours += f" ({_number(row.low)}–{_number(row.high)})"
    yardstick = "–" if row.yardstick is None else _figure(row.yardstick, row.unit)
    ratio = "–" if row.ratio is None else f"{row.ratio:.2f}×"
    return row.name, row.what, ours, yardstick, ratio, row.target, "yes" if row.ok else "NO", str(row.n)


def _figure(value: float, unit: str) -> str:
    return f"{_number(value)} {unit}"


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"
