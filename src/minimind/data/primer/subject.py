"""What a subject of the primer is: where its questions come from and how a reply to one is judged.

Each subject draws examples for training and items for the exam from the same rules, on opposite sides of `held_out`:
the key of a question (a fact and a phrasing, a pair of numbers, a string) falls on one side for ever, whatever the
seed.
"""

import hashlib
import json
import random
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

LANGUAGES = ("zh", "en")


def held_out(*key: object, share: float = 0.1) -> bool:
    """Whether `key` belongs to the exam's side: a pure function of the key, true for about `share` of all keys."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in key).encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


@dataclass(frozen=True)
class Example:
    """A question with the reply a good pupil gives.

    messages: the conversation up to and including the last message that is not the assistant's.
    response: the reply to learn, complete with `<think>` and `<answer>` where the subject works in steps.
    answer: the exact answer in its shortest form; accept: further replies that count as right.
    split: "train", or the side of the exam that the item stands on ("combination", "phrasing", "numbers", "strings").
    """

    subject: str
    language: str
    messages: tuple[dict, ...]
    response: str
    answer: str
    accept: tuple[str, ...] = ()
    split: str = "train"


@dataclass(frozen=True)
class Subject:
    """A subject: training examples for ever, pretraining text for ever, and the exam's items.

    train(rng, language) -> Example; text(rng, language) -> str, a short document for pretraining;
    exam(rng, language, count) -> count different Examples from the held-out side.
    weight: share of the curriculum, relative to the other subjects.
    """

    name: str
    train: Callable[[random.Random, str], Example]
    text: Callable[[random.Random, str], str]
    exam: Callable[[random.Random, str, int], list[Example]]
    weight: float = 1.0


def final_answer(reply: str) -> str:
    """The part of a reply that is judged: inside `<answer>` if there is one, else what follows the thinking."""
    inside = re.findall(r"<answer>(.*?)</answer>", reply, flags=re.DOTALL)
    if inside:
        return inside[-1].strip()
    return reply.rpartition("</think>")[2].strip()


def normalise(text: str) -> str:
    """Compatibility forms, case, outer space and closing punctuation do not decide whether an answer is right."""
    text = unicodedata.normalize("NFKC", text).casefold().strip()
    return re.sub(r"\s+", " ", text).strip(" .。!！,，;；\"'“”‘’")


def tool_calls(reply: str) -> list[dict] | None:
    """The calls of a reply that is nothing but tool calls, as {"name", "arguments"}; None for any other reply."""
    words = final_answer(reply)
    inside = re.findall(r"<tool_call>(.*?)</tool_call>", words, flags=re.DOTALL)
    if not inside or re.sub(r"<tool_call>.*?</tool_call>", "", words, flags=re.DOTALL).strip():
        return None
    try:
        return [json.loads(call) for call in inside]
    except ValueError:
        return None


def correct(example: Example, reply: str) -> bool:
    """Exact judgement: the reply's final answer equals the answer, the whole model reply or an accepted form.

    Where a tool call is wanted, the calls must be the same as data: spaces and the order of arguments do not count.
    """
    if "<tool_call>" in example.response:
        calls = tool_calls(reply)
        return calls is not None and calls == tool_calls(example.response)
    given = normalise(final_answer(reply))
    return given in {normalise(form) for form in (example.answer, final_answer(example.response), *example.accept)}
