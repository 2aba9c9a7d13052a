"""Values → the text format of Prometheus, quickly: one join writes all states of a thing.

prometheus_client builds an object for every sample; at 10,000 resources that costs seconds. A page
here is a list of text pieces for each metric of the catalogue, whose fixed parts are made once.
"""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from metrics.account import Histogram
from metrics.catalogue import CATALOGUE, Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PART = 2000  # things of one family encoded at once
Value: TypeAlias = float | int | bool


class Page:
    """One answer to a scrape. Only metrics of the catalogue can be written."""

    def __init__(self) -> None:
        self._pieces: dict[str, list[str]] = {metric.name: [] for metric in CATALOGUE}

    def value(self, name: str, value: Value, labels: str = "") -> None:
        """One sample; `labels` as made by `labelled`."""
        braced = f"{{{labels}}}" if labels else ""
        self._pieces[name].append(f"{name}{braced} {number(value)}\n")

    def states(self, name: str, current: str, labels: str = "") -> None:
        """Every state of the metric as 0, the current one as 1 (none of them is, if it is unknown)."""
        known = _STATES[name]
        self._pieces[name].append(labels.join(known.get(current) or known[""]))

    def histogram(self, name: str, of: Histogram, labels: str = "") -> None:
        comma = "," if labels else ""
        total, pieces = 0, self._pieces[name]
        for bound, count in zip((*of.bounds, "+Inf"), of.counts, strict=True):
            total += count
            pieces.append(f'{name}_bucket{{{labels}{comma}le="{bound}"}} {total}\n')
        braced = f"{{{labels}}}" if labels else ""
        pieces.append(f"{name}_sum{braced} {number(of.sum)}\n{name}_count{braced} {total}\n")

    def pieces(self) -> Iterator[bytes]:
        """The page, family by family, a big one in parts; empty families are left out."""
        for metric in CATALOGUE:
            written = self._pieces[metric.name]
            head = _HEADS[metric.name]
            for start in range(0, len(written), PART):
                yield (head + "".join(written[start : start + PART])).encode()
                head = ""


def labelled(names: Sequence[str], values: Sequence[str]) -> str:
    """`a="x",b="y"`, escaped."""
    return ",".join(f'{name}="{escaped(value)}"' for name, value in zip(names, values, strict=True))


def escaped(text: str) -> str:
    if "\\" in text or '"' in text or "\n" in text:
        return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return text


def number(value: Value) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return repr(value)


def _parts(metric: Metric, current: str) -> list[str]:
    """The text between the labels: `labels.join` of these is the samples of all states."""
    comma = "," if metric.labels else ""
    samples = [f'{comma}{metric.by}="{state}"}} {int(state == current)}\n' for state in metric.states]
    starts = [f"{metric.name}{{"] * len(samples)
    return [
        starts[0],
        *(sample + start for sample, start in zip(samples[:-1], starts[1:], strict=True)),
        samples[-1],
    ]


_HEADS = {m.name: f"# HELP {m.name} {m.help}\n# TYPE {m.name} {m.kind}\n" for m in CATALOGUE}
_STATES = {m.name: {state: _parts(m, state) for state in ("", *m.states)} for m in CATALOGUE if m.states}
