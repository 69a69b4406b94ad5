"""Pairs of replies to one conversation: what a good pupil says, and the same spoiled by a single flaw.

The better reply is always the one that supervised fine-tuning teaches, so learning the preference does not pull the
model away from what it knows. The kinds of flaw are drawn equally often, and some of them pull in opposite directions
(claiming to know what nobody knows, and refusing what everybody knows), so that no cheap habit satisfies them all.
"""

import random
from collections.abc import Callable, Iterator
from functools import cache

from minimind.data.primer.catalogue import subjects
from minimind.data.primer.read import between, pick, read_toml
from minimind.data.primer.subject import LANGUAGES, Example, Subject, final_answer, normalise
from minimind.data.primer.unknown import UNKNOWN
from minimind.data.primer.wording import wording

EXAM_SEED = 5
# Draws an example of a subject in a language: training's, or the exam's.
Draw = Callable[[random.Random, Subject, str], Example]

WORKED = ("addition", "arithmetic", "word_problems", "sorting", "dates")
KNOWN = ("geography", "science", "nature", "culture", "calendar_units", "followup", "recall")
SPOKEN = (*(name for name in KNOWN if name != "calendar_units"), "identity")  # whose replies are words


@cache
def _named() -> dict[str, Subject]:
    return {subject.name: subject for subject in subjects()}


def _pick(rng: random.Random, names: tuple[str, ...]) -> Subject:
    return _named()[pick(rng, names)]


def _other(rng: random.Random, example: Example) -> Example:
    """Another example of the same subject with another answer."""
    while True:
        other = _named()[example.subject].train(rng, example.language)
        if normalise(other.answer) != normalise(example.answer) and "<tool_call>" not in other.response:
            return other


def _misread(rng: random.Random, answer: str) -> str:
    """A number with one digit changed; a list with two neighbours exchanged."""
    if "," in answer:
        numbers = answer.split(",")
        place = between(rng, 1, len(numbers) - 1)
        return ",".join((*numbers[: place - 1], numbers[place], numbers[place - 1], *numbers[place + 1 :]))
    place = pick(rng, [index for index, letter in enumerate(answer) if letter.isdigit()])
    digit = pick(rng, [digit for digit in "123456789" if digit != answer[place]])
    return answer[:place] + digit + answer[place + 1 :]


def wrong_answer(rng: random.Random, language: str, draw: Draw) -> tuple[Example, str]:
    """Another answer; after the right steps where there are steps."""
    example = draw(rng, _pick(rng, (*KNOWN, *WORKED)), language)
    if "<answer>" not in example.response:
        return example, _other(rng, example).response
    right = final_answer(example.response)
    wrong = _misread(rng, right) if right[0].isdigit() else final_answer(_other(rng, example).response)
    return example, example.response.replace(f"<answer>\n{right}\n", f"<answer>\n{wrong}\n")


def wrong_language(rng: random.Random, language: str, draw: Draw) -> tuple[Example, str]:
    """A reply in the language that was not asked in."""
    subject = _pick(rng, SPOKEN)
    example = draw(rng, subject, language)
    other = LANGUAGES[language == LANGUAGES[0]]
    while True:
        foreign = subject.train(rng, other).response
        if any("\u4e00" <= letter <= "\u9fff" for letter in foreign) == (other == "zh") and any(
            map(str.isalpha, foreign)
        ):
            return example, foreign


def rude(rng: random.Random, language: str, draw: Draw) -> tuple[Example, str]:
    """Rudeness, with the answer or instead of it."""
    example = draw(rng, _pick(rng, SPOKEN), language)
    return example, pick(rng, wording()["rude"][language]).format(r=example.response)


def rambling(rng: random.Random, language: str, draw: Draw) -> tuple[Example, str]:
    """The answer said over and over, or words around it; steps worked twice."""
    example = draw(rng, _pick(rng, (*SPOKEN, *WORKED)), language)
    if "</think>" in example.response:
        steps = example.response.removeprefix("<think>\n").partition("\n</think>")
        return example, "<think>\n" + "\n".join([steps[0]] * rng.randrange(2, 4)) + steps[1] + steps[2]
    return example, pick(rng, wording()["rambling"][language]).format(r=example.response)


def made_up(rng: random.Random, language: str, draw: Draw) -> tuple[Example, str]:
    """An answer to what nobody can know."""
    return draw(rng, UNKNOWN, language), _pick(rng, KNOWN).train(rng, language).response


def refusal(rng: random.Random, language: str, draw: Draw) -> tuple[Example, str]:
    """No answer to what can be known."""
    return draw(rng, _pick(rng, (*SPOKEN, *WORKED)), language), read_toml("unknown")[language]["reply"]


def impostor(rng: random.Random, language: str, draw: Draw) -> tuple[Example, str]:
    """Another model's name, or a human."""
    example = draw(rng, _named()["identity"], language)
    name = pick(rng, read_toml("identity")["others"])
    return example, pick(rng, wording()["impostor"][language]).format(x=name)


def formless(rng: random.Random, language: str, draw: Draw) -> tuple[Example, str]:
    """The answer without steps, the steps without an answer, or tags left open."""
    example = draw(rng, _pick(rng, WORKED), language)
    steps, _, rest = example.response.partition("\n</think>\n")
    flaws = (
        final_answer(rest),
        rest,
        f"{steps}\n</think>",
        f"{steps}\n{rest}",
        f"{steps}\n</think>\n{final_answer(rest)}",
    )
    return example, pick(rng, flaws)


FLAWS = {
    flaw.__name__: flaw for flaw in (wrong_answer, wrong_language, rude, rambling, made_up, refusal, impostor, formless)
}


def _record(example: Example, worse: str) -> dict:
    return {
        side: [*example.messages, {"role": "assistant", "content": words}]
        for side, words in (("chosen", example.response), ("rejected", worse))
    }


def _pair(rng: random.Random, language: str, flaw: str, draw: Draw) -> dict:
    while True:
        example, worse = FLAWS[flaw](rng, language, draw)
        if normalise(worse) != normalise(example.response):
            return _record(example, worse)


def preference(rng: random.Random, language: str) -> dict:
    """A pair for training: {"chosen": [message, ...], "rejected": [message, ...]}, equal but for the last message."""
    return _pair(rng, language, pick(rng, tuple(FLAWS)), lambda rng, subject, language: subject.train(rng, language))


def preferences(seed: int) -> Iterator[dict]:
    """Pairs for training, both languages, for ever."""
    rng = random.Random(f"preferences {seed}")
    while True:
        yield preference(rng, pick(rng, LANGUAGES))


def preference_exam(count: int = 400) -> list[dict]:
    """Pairs whose conversations are the exam's: each flaw in each language in turn."""
    rng = random.Random(f"preference exam {EXAM_SEED}")
    items: dict[tuple[str, str], list[Example]] = {}

    def draw(rng: random.Random, subject: Subject, language: str) -> Example:
        if (subject.name, language) not in items:
            items[subject.name, language] = subject.exam(rng, language, 60)
        return pick(rng, items[subject.name, language])

    rounds = [(flaw, language) for flaw in FLAWS for language in LANGUAGES]
    return [
        _pair(rng, language, flaw, draw) for flaw, language in (rounds[index % len(rounds)] for index in range(count))
    ]
