"""Three to five numbers put in order.

The work goes through the tens, 1 to 9 or 9 to 1. Where a number has that ten it is written, else a dash: 38,12,74 give
`12,2-,38,4-,5-,6-,74,8-,9-`. No step compares all numbers; each asks whether a number begins with this digit, which
attention finds by looking for the same token. The answer is the same line without the dashes.
"""

import random

from minimind.data.primer.read import pick
from minimind.data.primer.skill import Draft, ask, draw_free, is_free, plain, subject, worked
from minimind.data.primer.wording import wording


def list_key(numbers: list[int]) -> tuple:
    """The key of a list of numbers, whatever their order."""
    return ("sorting", *sorted(numbers))


def scan(numbers: list[int], falling: bool) -> str:
    """The tens in turn, each with its numbers or a dash."""
    steps = []
    for ten in range(9, 0, -1) if falling else range(1, 10):
        found = sorted((number for number in numbers if number // 10 == ten), reverse=falling)
        steps += map(str, found) if found else [f"{ten}-"]
    return ",".join(steps)


def _numbers(rng: random.Random) -> list[int]:
    """Different numbers of two digits."""
    return rng.sample(range(10, 100), pick(rng, (3, 3, 4)))


def make_sorting(rng: random.Random, language: str) -> Draft:
    """Numbers to be put in rising or falling order."""
    numbers, falling = _numbers(rng), rng.random() < 0.5
    question = pick(rng, wording()["falling" if falling else "rising"][language])
    ordered = [str(number) for number in sorted(numbers, reverse=falling)]
    answer = ",".join(ordered)
    return Draft(
        (list_key(numbers),),
        ask(question.format(n=",".join(map(str, numbers)))),
        worked([scan(numbers, falling)], answer),
        answer,
        (", ".join(ordered), "、".join(ordered), " ".join(ordered)),
    )


def text_sorting(rng: random.Random, language: str) -> str:
    """Lists with their tens gone through, and whole questions."""
    if rng.random() < 0.4:
        return plain(draw_free(make_sorting, rng, language))
    numbers, falling = _numbers(rng), rng.random() < 0.5
    while not is_free((list_key(numbers),)):
        numbers = _numbers(rng)
    ordered = sorted(numbers, reverse=falling)
    return "\n".join((",".join(map(str, numbers)), scan(numbers, falling), ",".join(map(str, ordered))))


SORTING = subject("sorting", make_sorting, text_sorting, "numbers", 1.2)
