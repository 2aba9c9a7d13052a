"""Durations and sizes, both directions."""

import pytest

from reconciler.decide import values


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5s", 5),
        ("1m30s", 90),
        ("500ms", 0.5),
        ("1.5h", 5400),
        ("1w2d3h4m5s", 788645),
        ("0", 0),
        ("0s", 0),
        ("30", 30),
        ("1d", 86400),
    ],
)
def test_duration(text, seconds):
    assert values.duration(text) == pytest.approx(seconds)
    assert values.duration(values.duration_text(values.duration(text))) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "Write 30s"),
        ("soon", "Write 30s"),
        ("5 s", 'Did you mean "5s"?'),
        ("10 minutes", 'Did you mean "10m"?'),
        ("-5s", "Write 30s"),
        ("5s ", 'Did you mean "5s"?'),
        ("5S", 'Did you mean "5s"?'),
        ("1e3", "A duration is"),
        ("99999d", "longer than ten years"),
        ("9" * 4000, "is not a duration"),
        ("٣s", "is not a duration"),
    ],
)
def test_no_duration(text, hint):
    with pytest.raises(ValueError) as caught:
        values.duration(text)
    assert hint in str(caught.value)


@pytest.mark.parametrize("seconds", [0, 0.001, 0.25, 1, 59.9, 61, 3600, 86399, 604800, 1234567])
def test_duration_there_and_back(seconds):
    assert values.duration(values.duration_text(seconds)) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("10GiB", 10 * 2**30),
        ("1.5KiB", 1536),
        ("10GB", 10**10),
        ("0", 0),
        ("512", 512),
        ("7B", 7),
        ("10 MiB", 10 * 2**20),
    ],
)
def test_size(text, count):
    assert values.size(text) == count
    assert values.size(values.size_text(count)) == count


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("10 gigs", 'Did you mean "10GiB"?'),
        ("10g", 'Did you mean "10GiB"?'),
        ("512k", 'Did you mean "512KiB"?'),
        ("", "Write 10GiB"),
        ("9999999EiB", "larger than any device"),
        ("-1GiB", "Write 10GiB"),
    ],
)
def test_no_size(text, hint):
    with pytest.raises(ValueError) as caught:
        values.size(text)
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("10g", 10 * 2**30),
        ("10gi", 10**10),
        ("10G", 10 * 2**30),
        ("10", 10),
        ("1.5m", 1536 * 1024),
        ("8kb", 8192),
    ],
)
def test_size_as_opensvc_reads_it(text, count):
    assert values.conf_size(text) == count
