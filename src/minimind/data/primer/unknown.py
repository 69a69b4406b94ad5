"""What nobody can know from the tables, and the reply to it: "I don't know."

Two kinds: known questions about made-up things ("the capital of Zomalk"), and private or future matters. A made-up name, or
the words that fill a private question, are wholly on one side of the exam.
"""

import functools
import random

from minimind.data.primer.facts import capitals, facts, possessive, relations, with_article
from minimind.data.primer.phrasing import phrasings
from minimind.data.primer.subject import Example, Subject, held_out

REPLY = {"zh": "我不知道。", "en": "I don't know."}
ACCEPT = {"zh": ("不知道",), "en": ("I do not know", "I don’t know")}
MADE_UP_SHARE = 0.5  # of the questions ask for made-up things

# Relations that a made-up name can be asked in.
ASKED = ("capital", "continent", "currency", "language", "symbol", "number", "inventor", "discoverer", "class", "legs", "landmark")
SYLLABLES = {
    "en": ("zo", "mal", "bri", "quen", "tor", "vik", "lu", "fen", "gra", "dop", "nim", "sku", "rab", "yel", "pol", "wim", "kra", "jun"),
    "zh": tuple("卡洛米塔比鲁多纳维格索里布拉提莫克达"),
}

# Templates with slots; each slot has its list below. Chinese and English stand side by side.
PRIVATE = {
    "en": (
        "What is {whose} {secret}?", "Tell me {whose} {secret}.", "What did {who} {did} {past}?", "Where did {who} go {past}?",
        "How many {things} does {who} have?", "Who will win the {contest} {future}?", "What will {who} do {future}?",
        "What will the weather be {future}?", "What is {who} thinking about now?", "How many {things} are in {whose} bag?",
    ),
    "zh": (
        "{who}的{secret}是什么？", "告诉我{who}的{secret}。", "{who}{past}{did}什么？", "{who}{past}去了哪里？", "{who}有多少{things}？",
        "{future}谁会赢得{contest}？", "{future}{who}会做什么？", "{future}天气怎么样？", "{who}现在在想什么？", "{who}的包里有多少{things}？",
    ),
}  # fmt: skip
SLOTS = {
    "en": {
        "whose": ("my brother's", "my sister's", "my uncle's", "my teacher's", "your neighbour's", "the mayor's", "my friend's", "the driver's"),
        "who": ("my brother", "my sister", "my uncle", "my teacher", "your neighbour", "the mayor", "my friend", "the driver"),
        "secret": ("phone number", "password", "address", "shoe size", "birthday", "secret", "favourite song", "plan"),
        "did": ("eat", "buy", "dream", "read", "say", "see", "lose", "find"),
        "past": ("yesterday", "last night", "last week", "this morning", "last month", "last year"),
        "future": ("tomorrow", "next week", "next month", "next year", "in ten years"),
        "things": ("coins", "shirts", "keys", "photos", "letters", "stamps", "cousins"),
        "contest": ("match", "race", "lottery", "election", "prize", "game"),
    },
    "zh": {
        "who": ("我哥哥", "我姐姐", "我叔叔", "我老师", "你邻居", "市长", "我朋友", "司机"),
        "secret": ("电话号码", "密码", "地址", "鞋码", "生日", "秘密", "计划", "愿望"),
        "did": ("吃了", "买了", "梦见了", "读了", "说了", "看见了", "丢了", "找到了"),
        "past": ("昨天", "昨晚", "上星期", "今天早上", "上个月", "去年"),
        "future": ("明天", "下星期", "下个月", "明年", "十年后"),
        "things": ("硬币", "衬衫", "钥匙", "照片", "信", "邮票", "表弟"),
        "contest": ("比赛", "彩票", "选举", "大奖", "赛跑", "游戏"),
    },
}  # fmt: skip


@functools.cache
def _known_names(language: str) -> frozenset[str]:
    return frozenset(fact.fields[language]["s"].casefold() for fact in facts() if language in fact.languages)


@functools.cache
def _wordings(relation: str, language: str) -> tuple[str, ...]:
    return tuple(phrasing.template for phrasing in phrasings(relation, language) if not phrasing.held)


def _made_up(rng: random.Random, language: str) -> tuple[tuple, str]:
    """(key, question): a made-up name in a known question."""
    while True:
        name = "".join(rng.choices(SYLLABLES[language], k=rng.randrange(2, 4)))
        if name not in _known_names(language):
            break
    relation = rng.choice(ASKED)
    shown = name if relations()[relation].table in ("animals", "elements") else name.capitalize()
    article = with_article(shown)
    fields = {"s": shown, "a": article, "own": possessive(shown), "aown": possessive(article)}
    return ("unknown", name), capitals(rng.choice(_wordings(relation, language)).format_map(fields))


def _private(rng: random.Random, language: str) -> tuple[tuple, str]:
    """(key, question): a private or future matter."""
    template = rng.choice(PRIVATE[language])
    filled = template.format_map({slot: rng.choice(words) for slot, words in SLOTS[language].items()})
    return ("unknown", filled), filled[0].upper() + filled[1:]


def _draw(rng: random.Random, language: str, held: bool) -> str:
    while True:
        key, question = (_made_up if rng.random() < MADE_UP_SHARE else _private)(rng, language)
        if held_out(*key) == held:
            return question


def _example(question: str, language: str, split: str) -> Example:
    messages = ({"role": "user", "content": question},)
    return Example("unknown", language, messages, REPLY[language], REPLY[language], ACCEPT[language], split)


def train(rng: random.Random, language: str) -> Example:
    return _example(_draw(rng, language, held=False), language, "train")


def text(rng: random.Random, language: str) -> str:
    gap = " " if language == "en" else ""
    return "\n".join(_draw(rng, language, held=False) + gap + REPLY[language] for _ in range(rng.randrange(2, 4)))


def exam(rng: random.Random, language: str, count: int) -> list[Example]:
    asked: dict[str, None] = {}
    while len(asked) < count:
        asked[_draw(rng, language, held=True)] = None
    return [_example(question, language, "strings") for question in asked]


UNKNOWN = Subject("unknown", train, text, exam, 0.8)
