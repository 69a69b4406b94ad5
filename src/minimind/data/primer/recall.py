"""Remembering over turns: the user tells things about himself, and asks for one of them one to three turns later."""

import random

from minimind.data.primer.read import pick
from minimind.data.primer.skill import Draft, draw_free, subject
from minimind.data.primer.wording import SIDE, exchanges, pairs, wording

CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
SPEAKERS = {"zh": {"user": "问：", "assistant": "答："}, "en": {"user": "A: ", "assistant": "B: "}}


def recall_key(slot: str, value: int) -> tuple:
    """The key of a thing told: the slot and the place of its value in the slot's list."""
    return ("recall", slot, value)


def _capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


def make_recall(rng: random.Random, language: str) -> Draft:
    """One to three things told, perhaps some chatter, and the question for one of them."""
    slots = wording()["recall"]
    told = [
        (slot, rng.randrange(len(pairs(slots[slot]["list"]))))
        for slot in rng.sample(list(slots), pick(rng, (1, 2, 2, 3)))
    ]
    turns = []
    for slot, index in told:
        value = pairs(slots[slot]["list"])[index][SIDE[language]]
        words = slots[slot][language]
        turns.append((pick(rng, words["say"]).format(v=value), _capital(words["hear"].format(v=value))))
    if len(turns) < 3 and rng.random() < 0.5:
        turns.insert(rng.randrange(1, len(turns) + 1), pick(rng, exchanges("chatter", language)))
    slot, index = told[rng.randrange(len(told))]
    value = pairs(slots[slot]["list"])[index][SIDE[language]]
    messages = []
    for said, heard in turns:
        messages += [{"role": "user", "content": said}, {"role": "assistant", "content": heard}]
    messages.append({"role": "user", "content": pick(rng, slots[slot][language]["ask"])})
    reply = slots[slot][language]["reply"].format(v=value)
    keys = (recall_key(slot, index), *(recall_key(*fact) for fact in told))
    return Draft(keys, tuple(messages), reply, reply, (value,))


def copying(rng: random.Random) -> str:
    """A random string and the same again: the habit of looking back."""
    if rng.random() < 0.5:
        string = "-".join(pick(rng, CHARACTERS) for _ in range(rng.randrange(4, 10)))
    else:
        pool = pairs(pick(rng, ("persons", "colours", "animals", "foods", "cities", "sports")))
        side = rng.randrange(2)
        string = ",".join(pick(rng, pool)[side] for _ in range(rng.randrange(3, 7)))
    return "\n".join([string] * pick(rng, (2, 2, 3)))


def text_recall(rng: random.Random, language: str) -> str:
    """Strings repeated, and small conversations written as lines."""
    if rng.random() < 0.5:
        return copying(rng)
    draft = draw_free(make_recall, rng, language)
    messages = (*draft.messages, {"role": "assistant", "content": draft.response})
    return "\n".join(SPEAKERS[language][message["role"]] + message["content"] for message in messages)


RECALL = subject("recall", make_recall, text_recall, "combination", 1.2)
