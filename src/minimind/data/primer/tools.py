"""Tools: choosing one with the right arguments, answering from its result, and leaving it alone when none is needed.

The system message declares two or three tools in the form {"type": "function", "function": {...}}; a call is
`<tool_call>\\n{"name": ..., "arguments": {...}}\\n</tool_call>`; a message of the role tool brings the result.
"""

import json
import random
from typing import NamedTuple

from minimind.data.primer.arithmetic import apply, is_table, pair_key
from minimind.data.primer.read import pick
from minimind.data.primer.skill import Draft, draw_free, subject
from minimind.data.primer.wording import SIDE, exchanges, pairs, wording

# Name: its parameters.
TOOLS = {
    "calculator": ("expression",),
    "weather": ("city",),
    "time": ("city",),
    "translate": ("text", "to"),
    "dictionary": ("word",),
}
# What the dictionary says of a word from each list.
MEANINGS = {"animals": ("动物", "an animal"), "colours": ("颜色", "a colour"), "foods": ("食物", "a food")}


def _schema(name: str) -> str:
    properties = {key: {"type": "string"} for key in TOOLS[name]}
    function = {"name": name, "parameters": {"type": "object", "properties": properties}}
    return json.dumps({"type": "function", "function": function})


SCHEMAS = {name: _schema(name) for name in TOOLS}


class Request(NamedTuple):
    """A use of a tool from the user's words to the reply. result: what the tool answers, as JSON."""

    name: str
    words: str
    arguments: dict[str, str]
    result: str
    reply: str
    key: tuple


def call_text(name: str, arguments: dict[str, str]) -> str:
    """A call in the assistant's words."""
    return f"<tool_call>\n{_json(name=name, arguments=arguments)}\n</tool_call>"


def system_message(rng: random.Random, needed: str | None) -> dict:
    """A declaration of two or three tools, `needed` among them; with None, of one or two."""
    names = rng.sample([name for name in TOOLS if name != needed], pick(rng, (1, 1, 1, 2)))
    if needed:
        names.insert(rng.randrange(len(names) + 1), needed)
    return {"role": "system", "content": "", "tools": "[" + ", ".join(SCHEMAS[name] for name in names) + "]"}


def _json(**value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _calculator(rng: random.Random, language: str, words: str) -> Request:
    op = pick(rng, "+-×")
    high = 100 if op == "×" else 1000
    while True:
        a, b = rng.randrange(10, high), rng.randrange(10, high)
        a, b = (b, a) if op == "-" and a < b else (a, b)
        if not is_table(op, a, b):
            break
    sum_, value = f"{a}{op}{b}", apply(op, a, b)
    return Request(
        "calculator",
        words.format(e=sum_),
        {"expression": sum_},
        _json(result=value),
        f"{sum_}={value}",
        pair_key(op, a, b),
    )


def _weather(rng: random.Random, language: str, words: str) -> Request:
    index = rng.randrange(len(pairs("cities")))
    city, sky = pairs("cities")[index][SIDE[language]], pick(rng, pairs("skies"))[SIDE[language]]
    degrees = rng.randrange(2, 36)
    reply = {"zh": f"{city}{sky}，{degrees}度。", "en": f"It is {sky} in {city}, {degrees} degrees."}[language]
    return Request(
        "weather", words.format(c=city), {"city": city}, _json(weather=sky, degrees=degrees), reply, ("weather", index)
    )


def _time(rng: random.Random, language: str, words: str) -> Request:
    index = rng.randrange(len(pairs("cities")))
    city, time = pairs("cities")[index][SIDE[language]], f"{rng.randrange(24)}:{rng.randrange(10, 60)}"
    reply = {"zh": f"{city}现在是{time}。", "en": f"It is {time} in {city}."}[language]
    return Request("time", words.format(c=city), {"city": city}, _json(time=time), reply, ("time", index))


def _word(rng: random.Random) -> tuple[str, tuple[str, str]]:
    kind = pick(rng, tuple(MEANINGS))
    return kind, pick(rng, pairs(kind))


def _translate(rng: random.Random, language: str, words: str) -> Request:
    _, both = _word(rng)
    word, other = both[SIDE[language]], both[1 - SIDE[language]]
    reply = {"zh": f"“{word}”的英文是“{other}”。", "en": f'"{word}" in Chinese is "{other}".'}[language]
    arguments = {"text": word, "to": {"zh": "en", "en": "zh"}[language]}
    return Request("translate", words.format(w=word), arguments, _json(text=other), reply, ("translate", both[1]))


def _dictionary(rng: random.Random, language: str, words: str) -> Request:
    kind, both = _word(rng)
    word, meaning = both[SIDE[language]], MEANINGS[kind][SIDE[language]]
    reply = {"zh": f"“{word}”的意思是：{meaning}。", "en": f'"{word}" means: {meaning}.'}[language]
    return Request(
        "dictionary", words.format(w=word), {"word": word}, _json(meaning=meaning), reply, ("dictionary", both[1])
    )


REQUESTS = {
    "calculator": _calculator,
    "weather": _weather,
    "time": _time,
    "translate": _translate,
    "dictionary": _dictionary,
}


def request(rng: random.Random, language: str) -> Request:
    """A request for any of the tools."""
    name = pick(rng, tuple(TOOLS))
    return REQUESTS[name](rng, language, pick(rng, wording()["tools"][name][language]))


def _talk(rng: random.Random, language: str) -> Draft:
    """Small talk that needs no tool, although some are at hand."""
    number, person = rng.randrange(len(exchanges("talk", language))), rng.randrange(len(pairs("persons")))
    said, heard = exchanges("talk", language)[number]
    name = pairs("persons")[person][SIDE[language]]
    reply = heard.format(v=name)
    return Draft((("talk", number, person),), (system_message(rng, None), *_user(said.format(v=name))), reply, reply)


def _user(words: str) -> tuple[dict, ...]:
    return ({"role": "user", "content": words},)


def make_tools(rng: random.Random, language: str) -> Draft:
    """Half of the questions want a call, three in ten the reply to a result, the rest no tool at all."""
    kind = rng.random()
    if kind >= 0.8:
        return _talk(rng, language)
    use = request(rng, language)
    call = call_text(use.name, use.arguments)
    messages = (system_message(rng, use.name), *_user(use.words))
    if kind < 0.5:
        return Draft((use.key,), messages, call, call)
    result = ({"role": "assistant", "content": call}, {"role": "tool", "content": use.result})
    return Draft((use.key,), messages + result, use.reply, use.reply)


def text_tools(rng: random.Random, language: str) -> str:
    """A request with its call, or a result with its reply, as plain lines."""
    draft = draw_free(_call_or_result, rng, language)
    return draft.messages[0]["content"] + "\n" + draft.response


def _call_or_result(rng: random.Random, language: str) -> Draft:
    use = request(rng, language)
    call = _json(name=use.name, arguments=use.arguments)
    question, reply = (use.words, call) if rng.random() < 0.5 else (use.result, use.reply)
    return Draft((use.key,), _user(question), reply, reply)


TOOL_USE = subject("tools", make_tools, text_tools, "combination", 0.8)
