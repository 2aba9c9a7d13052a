"""A page of metrics on stdin → how long prometheus_client takes to render as many series, at each word.

First line: how many characters the page has.
"""

import sys
import time

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families


def registry(page: str) -> CollectorRegistry:
    """Gauges of the same names and labels."""
    made = CollectorRegistry()
    for family in text_string_to_metric_families(page):
        for name in {sample.name for sample in family.samples}:
            samples = [sample for sample in family.samples if sample.name == name]
            labels = sorted(samples[0].labels)
            gauge = Gauge(f"copy_{name}", family.documentation or name, labels, registry=made)
            for sample in samples:
                values = [sample.labels[label] for label in labels]
                (gauge.labels(*values) if labels else gauge).set(sample.value)
    return made


def main() -> None:
    source = registry(sys.stdin.read(int(sys.stdin.readline())))
    for _ in sys.stdin:
        began = time.perf_counter()
        generate_latest(source)
        print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()
