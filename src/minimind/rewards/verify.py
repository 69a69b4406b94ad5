"""Whether a reply's final answer is the right one: 1 or 0.

The final answer is what stands in `<answer>` or follows the thinking; in a longer text it is what the usual marks
announce ("the answer is", "答案是", \\boxed{}, ####), else the last number or choice. Numbers are compared as exact
fractions: 3/4, 0.75 and 75% are one number, 70,000 is 70000, 857(1/7) and 857 1/7 are mixed numbers. A choice is a
letter from A to H.
"""

import re
import unicodedata
from fractions import Fraction

from minimind.data.primer.subject import final_answer, normalise

MIXED = r"[-+]?\d+ ?(?:\(\d+/\d+\)|又 ?\d+/\d+| \d+/\d+)"
FRACTION = r"[-+]?\(?\d+/\d+\)?"
DECIMAL = r"[-+]?(?:\d{1,3}(?:,\d{3})+(?![\d,])|\d+)?(?:\.\d+|(?<=\d))"
NUMBER = re.compile(rf"(?<![A-Za-z0-9_./])(?:{MIXED}|{FRACTION}|{DECIMAL})(?:%)?")
CHOICE = re.compile(r"(?<![A-Za-z])[A-H](?![A-Za-z'’])")
ANNOUNCED = re.compile(r"(?:\\boxed\{|####|answer is:?|answer:|答案(?:是|为)?[:：]?|选择?)", flags=re.IGNORECASE)


def _plain(text: str) -> str:
    """One form for each sign: width, minus, fraction slash, percent, LaTeX fractions, money."""
    text = re.sub(r"\\d?frac\{(\d+)\}\{(\d+)\}", r" \1/\2", text)
    text = unicodedata.normalize("NFKC", text.replace("\\%", "%"))
    return text.translate(str.maketrans({"−": "-", "–": "-", "⁄": "/", "$": "", "¥": "", "￥": "", "£": "", "€": ""}))


def number(text: str) -> Fraction | None:
    """The exact value of a text that is one number and nothing else, or None."""
    text = _plain(text).strip().rstrip(".。")
    if not NUMBER.fullmatch(text):
        return None
    share = Fraction(1, 100) if text.endswith("%") else Fraction(1)
    text = text.rstrip("%").replace(",", "")
    sign, text = (-1, text[1:]) if text[0] == "-" else (1, text.lstrip("+"))
    parts = [part for part in re.split(r"[ ()又]+", text) if part]
    try:
        return sign * share * sum(Fraction(part) for part in parts)
    except ZeroDivisionError:
        return None


def _announced(text: str) -> str:
    """What follows the last announcement of an answer, or the whole text."""
    found = list(ANNOUNCED.finditer(text))
    return text[found[-1].end() :].partition("\n")[0] if found else text


def last_number(text: str) -> Fraction | None:
    """The value of the last number in a text, announced ones first; None if there is none."""
    for part in (_announced(text), text):
        found = NUMBER.findall(_plain(part))
        if found:
            return number(found[-1])
    return None


def _choice(text: str) -> str | None:
    """The choice that a text makes."""
    plain = _plain(text).strip()
    if alone := re.fullmatch(r"\(?([A-Ha-h])[).]*", plain):
        return alone[1].upper()
    found = CHOICE.findall(_announced(plain)) or CHOICE.findall(plain)
    return found[-1] if found else None


def same_answer(given: str, answer: str) -> bool:
    """Whether `given`, an answer on its own or in a sentence, is `answer`."""
    if _squeezed(given) == _squeezed(answer):
        return True
    if re.fullmatch(r"[A-H]", answer.strip()):
        return _choice(given) == answer.strip()
    value = number(answer)
    return value is not None and last_number(given) == value


def _squeezed(text: str) -> str:
    """An answer without the spaces that lists may have after commas."""
    return re.sub(r"\s*([,、])\s*", ",", normalise(text))


def verify(reply: str, answer: str) -> float:
    """1.0 if the final answer of `reply` equals `answer`, else 0.0. A reply that thinks without end has no answer."""
    if "<think>" in reply and "</think>" not in reply and "<answer>" not in reply:
        return 0.0
    return float(same_answer(final_answer(reply), answer))
