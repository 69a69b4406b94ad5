"""The curriculum: what the primer teaches at each stage, as endless streams that are pure functions of a seed.

Each stream draws a subject by weight, a language by a coin, and lets the subject write. `PRETRAIN_SHARES` and
`CHAT_SHARES` balance the groups of subjects against each other; within a group the subjects' own weights decide.
"""

import bisect
import functools
import itertools
import random
from collections.abc import Iterator, Sequence

from minimind.data.primer import preferences as pairs
from minimind.data.primer import prompts
from minimind.data.primer.catalogue import groups
from minimind.data.primer.catalogue import subjects as subjects
from minimind.data.primer.copying import text_copying
from minimind.data.primer.identity import PEBBLE, Persona
from minimind.data.primer.identity import train as identity_example
from minimind.data.primer.knowledge import KNOWLEDGE
from minimind.data.primer.lessons import lesson_subject
from minimind.data.primer.read import between, pick
from minimind.data.primer.subject import LANGUAGES, Example, Subject

# Shares of the records: facts; the model itself and conversation; skills.
PRETRAIN_SHARES = {"knowledge": 0.5, "conversation": 0.1, "skills": 0.4}
CHAT_SHARES = {"knowledge": 0.4, "conversation": 0.2, "skills": 0.4}
COPYING_SHARE = 0.2  # of the documents of pretraining are drills in copying and looking up
CHAIN_SHARE = 0.15  # of the chats chain two to four exchanges
SYSTEM_SHARE = 0.1  # of the chats begin with a system prompt that asks for nothing special
CASUAL_SHARE = 0.1  # of the plain questions are typed without capital and closing mark
TOKENIZER_CHAT_SHARE = 0.3

SYSTEM_PROMPTS = {
    "zh": ("你是一个有用的助手。", "你是MiniMind，请简短地回答。", "请回答用户的问题。"),
    "en": ("You are a helpful assistant.", "You are MiniMind. Answer briefly.", "Please answer the user's questions."),
}


@functools.cache
def _mixture(shares: tuple[tuple[str, float], ...]) -> tuple[tuple[Subject, ...], tuple[float, ...]]:
    """(subjects, cumulative weights) for the shares of the groups."""
    chosen, weights = [], []
    for group, share in shares:
        total = sum(subject.weight for subject in groups()[group])
        for subject in groups()[group]:
            if subject.weight > 0:
                chosen.append(subject)
                weights.append(share * subject.weight / total)
    return tuple(chosen), tuple(itertools.accumulate(weights))


def _draws(seed: int, stream: str, shares: dict[str, float]) -> Iterator[tuple[random.Random, Subject, str]]:
    rng = random.Random(f"{stream} {seed}")
    chosen, weights = _mixture(tuple(shares.items()))
    while True:
        index = bisect.bisect(weights, rng.random() * weights[-1], hi=len(weights) - 1)
        yield rng, chosen[index], LANGUAGES[rng.random() < 0.5]


def pretrain_texts(seed: int) -> Iterator[str]:
    """Documents for pretraining, 15 to 120 tokens each."""
    for rng, subject, language in _draws(seed, "pretrain", PRETRAIN_SHARES):
        yield text_copying(rng, language) if rng.random() < COPYING_SHARE else subject.text(rng, language)


def conversation(example: Example) -> list[dict]:
    """The example as a whole conversation, its reply included."""
    return [*example.messages, {"role": "assistant", "content": example.response}]


def _casual(messages: list[dict]) -> list[dict]:
    """A single question as people type it in haste; for the exam's judgement it is the same string."""
    question = messages[0]["content"].rstrip("?.？。")
    if question[1:2].islower():
        question = question[:1].lower() + question[1:]
    return [{**messages[0], "content": question}, *messages[1:]]


def _chat(
    rng: random.Random, subject: Subject, language: str, drawn: Sequence[Subject], weights: Sequence[float]
) -> list[dict]:
    messages = conversation(subject.train(rng, language))
    if messages[0]["role"] == "system":
        return messages
    if len(messages) == 2 and rng.random() < CHAIN_SHARE:
        for other in rng.choices(drawn, cum_weights=weights, k=between(rng, 1, 3)):
            more = conversation(other.train(rng, language))
            if len(more) == 2:
                messages += more
    elif len(messages) == 2 and subject.name in KNOWLEDGE and rng.random() < CASUAL_SHARE:
        messages = _casual(messages)
    if rng.random() < SYSTEM_SHARE:
        messages.insert(0, {"role": "system", "content": pick(rng, SYSTEM_PROMPTS[language])})
    return messages


def chats(seed: int) -> Iterator[dict]:
    """Conversations for supervised fine-tuning: single questions, chains of several, system prompts, tools."""
    drawn, weights = _mixture(tuple(CHAT_SHARES.items()))
    for rng, subject, language in _draws(seed, "chat", CHAT_SHARES):
        yield {"conversations": _chat(rng, subject, language, drawn, weights)}


def _words(message: dict) -> list[str]:
    """What is said in a message, and the tools that it declares."""
    return [words for words in (message["content"], message.get("tools")) if words]


def tokenizer_texts(seed: int) -> Iterator[str]:
    """What a tokenizer should read: documents and the words of conversations."""
    rng = random.Random(f"tokenizer {seed}")
    texts, talks = pretrain_texts(seed), chats(seed)
    while True:
        if rng.random() < TOKENIZER_CHAT_SHARE:
            yield "\n".join(words for message in next(talks)["conversations"] for words in _words(message))
        else:
            yield next(texts)


def reasoning(seed: int) -> Iterator[dict]:
    """Conversations whose reply works in steps: `<think>...</think><answer>...</answer>`."""
    for rng, subject, language in _draws(seed, "reason", {"skills": 1.0}):
        example = subject.train(rng, language)
        if "<think>" in example.response:
            yield {"conversations": conversation(example)}


def preferences(seed: int) -> Iterator[dict]:
    """Pairs of a better and a worse reply to the same conversation."""
    return pairs.preferences(seed)


def rl_prompts(seed: int) -> Iterator[dict]:
    """Questions with an answer that can be verified."""
    return prompts.rl_prompts(seed)


def identity_chats(seed: int, persona: Persona = PEBBLE) -> Iterator[dict]:
    """Conversations about who the model is, for an adapter that gives it another name."""
    rng = random.Random(f"identity {seed}")
    while True:
        yield {"conversations": conversation(identity_example(rng, LANGUAGES[rng.random() < 0.5], persona))}


def lesson_chats(seed: int) -> Iterator[dict]:
    """Conversations of the small domain apart, for an adapter."""
    rng = random.Random(f"lessons {seed}")
    subject = lesson_subject()
    while True:
        yield {"conversations": conversation(subject.train(rng, LANGUAGES[rng.random() < 0.5]))}
