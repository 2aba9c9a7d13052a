"""Text of durations and sizes → seconds and bytes, and back again.

Every function that reads raises ValueError; its text says what is wrong and, after a line break,
what to write instead.
"""

import math
import re

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
LONGEST = 3650 * SECONDS["d"]
BYTES = {
    "B": 1,
    **{f"{letter}iB": 1024**power for power, letter in enumerate("KMGTPE", 1)},
    **{f"{letter}B": 1000**power for power, letter in enumerate("KMGTPE", 1)},
}
LARGEST = 2**63 - 1

_PART = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)(ms|s|m|h|d|w)", re.ASCII)
_SIZE = re.compile(r"(\d{1,20}(?:\.\d{1,9})?)[ ]?([KMGTPE]iB|[KMGTPE]B|B)", re.ASCII)
_CONF_SIZE = re.compile(r"(\d{1,20}(?:\.\d{1,9})?)\s*(?:([kmgtpe])(i)?)?b?", re.IGNORECASE | re.ASCII)
_BARE = re.compile(r"\d{1,20}(?:\.\d{1,9})?", re.ASCII)


def is_bare(text: str) -> bool:
    """True for a number without a unit; a bare zero is as clear as it can be."""
    return _BARE.fullmatch(text) is not None and float(text) != 0


def duration(text: str) -> float:
    """Seconds of `5s`, `1m30s`, `500ms`, `1d`; a bare number is seconds."""
    if _BARE.fullmatch(text):
        seconds = float(text)
    else:
        parts = _PART.findall(text)
        if not parts or "".join(number + unit for number, unit in parts) != text:
            raise ValueError(f'"{text}" is not a duration.\n{_duration_hint(text)}')
        seconds = sum(float(number) * SECONDS[unit] for number, unit in parts)
    if seconds > LONGEST:
        raise ValueError(f'"{text}" is longer than ten years.\nWrite a shorter duration.')
    return seconds


def duration_text(seconds: float) -> str:
    """The shortest text that `duration` reads as this many seconds."""
    milliseconds = round(seconds * 1000)
    if milliseconds == 0:
        return "0s"
    if not math.isclose(milliseconds / 1000, seconds):
        return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"
    text = ""
    for unit in ("w", "d", "h", "m", "s", "ms"):
        count, milliseconds = divmod(milliseconds, round(SECONDS[unit] * 1000))
        text += f"{count}{unit}" if count else ""
    return text


def _duration_hint(text: str) -> str:
    rule = "A duration is numbers with ms, s, m, h, d or w."
    found = re.match(r"\s*(\d+)\s*([a-zA-Z]+)", text)
    if not found:
        return f"{rule} Write 30s or 1m30s."
    number, word = found[1], found[2].lower()
    unit = "ms" if word.startswith(("ms", "milli")) else word[0]
    guess = f"{number}{unit}" if unit in SECONDS else "30s"
    return f'{rule} Did you mean "{guess}"?'


def size(text: str) -> int:
    """Bytes of `10GiB` or `10GB` (decimal); a bare number is bytes."""
    if _BARE.fullmatch(text):
        return _whole(text, float(text) if "." in text else int(text))
    found = _SIZE.fullmatch(text)
    if not found:
        raise ValueError(f'"{text}" is not a size.\n{_size_hint(text)}')
    return _whole(text, _times(found[1], BYTES[found[2]]))


def size_text(count: int) -> str:
    """The text with the largest unit that says exactly this many bytes."""
    for unit in ("EiB", "PiB", "TiB", "GiB", "MiB", "KiB"):
        if count and count % BYTES[unit] == 0:
            return f"{count // BYTES[unit]}{unit}"
    return f"{count}B"


def conf_size(text: str) -> int:
    """Bytes as OpenSVC reads them: `10g` counts by 1024, `10gi` by 1000 (sic), bare is bytes."""
    found = _CONF_SIZE.fullmatch(text)
    if not found:
        raise ValueError(f'"{text}" is not a size.\nA size is a number with k, m, g or t.')
    if not found[2]:
        return _whole(text, _times(found[1], 1))
    power = "kmgtpe".index(found[2].lower()) + 1
    return _whole(text, _times(found[1], (1000 if found[3] else 1024) ** power))


def _times(number: str, unit: int) -> float | int:
    return float(number) * unit if "." in number else int(number) * unit


def _whole(text: str, count: float | int) -> int:
    if count > LARGEST:
        raise ValueError(f'"{text}" is larger than any device.\nWrite a smaller size.')
    return int(count)


def _size_hint(text: str) -> str:
    rule = "A size is a number with KiB, MiB, GiB or TiB."
    found = re.match(r"\s*(\d+(?:\.\d+)?)\s*([kmgtpeKMGTPE])?", text)
    if not found:
        return f"{rule} Write 10GiB."
    letter = (found[2] or "G").upper()
    return f'{rule} Did you mean "{found[1]}{letter}iB"?'
