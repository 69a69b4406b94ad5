"""How much of a reply repeats itself, in runs of three units.

A unit is a Chinese, Japanese or Korean character, a word of letters, or a number; signs do not count. So "好的好的好的"
is a repetition although no space divides it. Thought and answer are measured apart, because an answer rightly repeats
the thought.
"""

import re

CAP = 0.5
SIZE = 3
UNIT = re.compile(
    "[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]|\\d+|[^\\W\\d_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+"
)
PARTS = re.compile(r"</?(?:think|answer)>")


def units(text: str) -> list[str]:
    """The units of a text, in lower case."""
    return UNIT.findall(text.lower())


def repeated_share(text: str, size: int = SIZE) -> float:
    """The share of the runs of `size` units that were there before: 0 for all different, towards 1 for a loop."""
    found = units(text)
    runs = [tuple(found[start : start + size]) for start in range(len(found) - size + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def repetition_penalty(reply: str, cap: float = CAP, size: int = SIZE) -> float:
    """The repeated share of the reply's worst part, at most `cap`: 0 is no penalty."""
    return min(cap, max(repeated_share(part, size) for part in PARTS.split(reply)))
