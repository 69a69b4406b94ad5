"""How a skill becomes a subject: one maker of questions, whose keys put each question on one side of the exam.

A skill writes `make(rng, language) -> Draft`, a question with every key that it touches. Training redraws until none of
the keys is held out; the exam redraws until the first one is. So both sides come from the same rules and never meet.
"""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from minimind.data.primer.subject import Example, Subject, held_out

# A maker that cannot be brought onto a side in so many draws is wrong.
MOST_DRAWS = 20_000


@dataclass(frozen=True)
class Draft:
    """A question not yet put on a side. keys[0] is what the exam holds out; the other keys only must not leak."""

    keys: tuple[tuple, ...]
    messages: tuple[dict, ...]
    response: str
    answer: str
    accept: tuple[str, ...] = ()


Maker = Callable[[random.Random, str], Draft]


def ask(question: str) -> tuple[dict, ...]:
    """A conversation of one question."""
    return ({"role": "user", "content": question},)


def worked(steps: Iterable[str], answer: str) -> str:
    """A reply with its steps, one a line, and the answer apart from them."""
    lines = "\n".join(steps)
    return f"<think>\n{lines}\n</think>\n<answer>\n{answer}\n</answer>"


def short(answer: str, language: str) -> str:
    """An answer of a word or two as a reply: "Red." and "红色。"."""
    return answer[:1].upper() + answer[1:] + {"zh": "。", "en": "."}[language]


def is_free(keys: tuple[tuple, ...]) -> bool:
    """Whether training may show a thing with these keys."""
    return not any(held_out(*key) for key in keys)


def draw_free(make: Maker, rng: random.Random, language: str) -> Draft:
    """The first draft of the training side."""
    for _ in range(MOST_DRAWS):
        draft = make(rng, language)
        if is_free(draft.keys):
            return draft
    raise AssertionError(f"{make} gives nothing for training")


def plain(draft: Draft) -> str:
    """A draft as a few lines of text without the marks of a chat: question, steps, answer."""
    lines = [message["content"] for message in draft.messages if message["content"]]
    steps = draft.response.replace("<think>\n", "").replace("\n</think>\n<answer>", "").replace("\n</answer>", "")
    return "\n".join([*lines, steps])


def subject(
    name: str, make: Maker, text: Callable[[random.Random, str], str], split: str, weight: float = 1.0
) -> Subject:
    """The subject whose questions `make` writes; `split` names its side of the exam."""

    def example(draft: Draft, language: str, side: str) -> Example:
        return Example(name, language, draft.messages, draft.response, draft.answer, draft.accept, side)

    def train(rng: random.Random, language: str) -> Example:
        return example(draw_free(make, rng, language), language, "train")

    def exam(rng: random.Random, language: str, count: int) -> list[Example]:
        items: list[Example] = []
        seen = set()
        for _ in range(MOST_DRAWS + 200 * count):
            if len(items) == count:
                return items
            draft = make(rng, language)
            asked = tuple(message["content"] for message in draft.messages)
            if held_out(*draft.keys[0]) and asked not in seen:
                seen.add(asked)
                items.append(example(draft, language, split))
        raise ValueError(f"{name} has fewer than {count} different exam items in {language!r}")

    return Subject(name, train, text, exam, weight)
