"""Who the model is: questions made of openers and cores, one canonical reply for each intent.

For the exam each intent keeps one core wholly (split "phrasing") and a part of its opener x core combinations
(split "combination"). A persona names the model: the curriculum teaches MiniMind, an adapter may learn another.
"""

import functools
import random
from dataclasses import dataclass

from minimind.data.primer.read import GAP, between, pick, read_toml
from minimind.data.primer.subject import Example, Subject, held_out

HELD_SHARE = 0.15  # of the (opener, core) combinations
SMALL_TALK_SHARE = 0.15  # of the training examples are greetings and thanks
UNSEEN_SHARE = 0.25  # of the exam's items are wholly unseen cores


@dataclass(frozen=True)
class Persona:
    """A name and a maker in each language."""

    name: dict[str, str]
    maker: dict[str, str]


MINIMIND = Persona({"zh": "MiniMind", "en": "MiniMind"}, {"zh": "MiniMind项目", "en": "The MiniMind project"})
PEBBLE = Persona({"zh": "小石头", "en": "Pebble"}, {"zh": "河边的孩子们", "en": "The children by the river"})


@dataclass(frozen=True)
class Intent:
    """One thing to ask: its cores (the last one only for the exam), the reply and other right replies."""

    cores: tuple[str, ...]
    reply: str
    accept: tuple[str, ...] = ()


@functools.cache
def intents(language: str) -> tuple[Intent, ...]:
    """What can be asked, from `tables/identity.toml`."""
    told = (intent[language] for intent in read_toml("identity")["intents"].values())
    return tuple(Intent(tuple(one["cores"]), one["reply"], tuple(one.get("accept", ()))) for one in told)


def _question(opener: str, core: str) -> str:
    starts = not opener or opener.endswith("! ")
    return opener + (core[0].upper() + core[1:] if starts else core)


@functools.cache
def _sides(language: str) -> dict[str, tuple[tuple[Intent, str], ...]]:
    """The questions of each side, as (intent, question with {x} still open)."""
    sides: dict[str, list[tuple[Intent, str]]] = {"train": [], "combination": [], "phrasing": []}
    for intent in intents(language):
        for core in intent.cores:
            for opener in read_toml("identity")["openers"][language]:
                side = "train"
                if core == intent.cores[-1]:
                    side = "phrasing"
                elif opener and held_out("identity", opener, core, share=HELD_SHARE):
                    side = "combination"
                sides[side].append((intent, _question(opener, core)))
    return {side: tuple(rows) for side, rows in sides.items()}


def _example(intent: Intent, question: str, language: str, persona: Persona, split: str, rng: random.Random) -> Example:
    def told(text: str) -> str:
        return text.format(name=persona.name[language], maker=persona.maker[language])

    question = question.replace("{x}", pick(rng, read_toml("identity")["others"]))
    reply = told(intent.reply)
    accept = tuple(told(form) for form in intent.accept)
    return Example("identity", language, ({"role": "user", "content": question},), reply, reply, accept, split)


def train(rng: random.Random, language: str, persona: Persona = MINIMIND) -> Example:
    """A question about the model, or a little small talk."""
    if rng.random() < SMALL_TALK_SHARE:
        said, reply = pick(rng, read_toml("identity")["small_talk"][language])
        return Example("identity", language, ({"role": "user", "content": said},), reply, reply)
    return _example(*pick(rng, _sides(language)["train"]), language, persona, "train", rng)


def text(rng: random.Random, language: str) -> str:
    """Two or three questions with their replies, a line each."""
    examples = [train(rng, language) for _ in range(between(rng, 2, 3))]
    return "\n".join(example.messages[0]["content"] + GAP[language] + example.response for example in examples)


def exam(rng: random.Random, language: str, count: int, persona: Persona = MINIMIND) -> list[Example]:
    """Held-out questions about the model, some of them with cores that training never uses."""
    unseen = round(count * UNSEEN_SHARE)
    rows = []
    for side, wanted in (("phrasing", unseen), ("combination", count - unseen)):
        rows += [(side, row) for row in rng.sample(_sides(language)[side], wanted)]
    return [_example(*row, language, persona, side, rng) for side, row in rows]


IDENTITY = Subject("identity", train, text, exam, 1.8)
