"""Reading the primer's tables, and the small helpers that all its subjects use to draw and to write."""

import csv
import functools
import io
import random
import tomllib
from collections.abc import Sequence
from importlib.resources import files
from typing import TypeVar

Thing = TypeVar("Thing")
GAP = {"en": " ", "zh": ""}  # what stands between two sentences


@functools.cache
def read_table(name: str) -> tuple[dict[str, str], ...]:
    """The rows of `tables/{name}.tsv` by column; ValueError for a row of the wrong length."""
    text = files("minimind.data.primer").joinpath(f"tables/{name}.tsv").read_text(encoding="utf-8")
    head, *rows = csv.reader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE)
    for number, row in enumerate(rows, start=2):
        if len(row) != len(head):
            raise ValueError(f"{name}.tsv:{number} has {len(row)} cells, the head has {len(head)}")
    return tuple(dict(zip(head, row, strict=True)) for row in rows)


@functools.cache
def read_toml(name: str) -> dict:
    """`tables/{name}.toml` as nested dictionaries."""
    return tomllib.loads(files("minimind.data.primer").joinpath(f"tables/{name}.toml").read_text(encoding="utf-8"))


def pick(rng: random.Random, things: Sequence[Thing]) -> Thing:
    """One of `things`; several times as fast as rng.choice, and the primer draws a dozen times a record."""
    return things[int(rng.random() * len(things))]


def between(rng: random.Random, low: int, high: int) -> int:
    """A whole number from `low` to `high`, both included."""
    return low + int(rng.random() * (high - low + 1))


def capitals(text: str) -> str:
    """Carry out the `^` marks: "^paris" is "Paris"."""
    while (at := text.find("^")) >= 0:
        text = text[:at] + text[at + 1 : at + 2].upper() + text[at + 2 :]
    return text


def with_article(noun: str) -> str:
    return ("an " if noun[:1].lower() in "aeiou" else "a ") + noun


def possessive(noun: str) -> str:
    return noun + ("'" if noun.endswith("s") else "'s")
