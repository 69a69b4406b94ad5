"""Sums, differences and products worked in columns, and comparison digit by digit.

The work is written so that each next digit is one look into a small table:

    47+38        52-38        47×6
    7+8=15       12-8=4       7×6=42
    4+3+1=8      5-3-1=1      4×6=24
    85           14           24+4=28
                              282

The ones come first; a carry is the last term of the next line. Pairs of numbers with more than one digit are held out
in every text of the primer (`pair_key`); single digits, and a single digit beside a longer number, are tables that
everyone may see.
"""

import random

from minimind.data.primer.read import pick
from minimind.data.primer.skill import Draft, ask, draw_free, is_free, plain, short, subject, worked
from minimind.data.primer.wording import wording

# Days of months, hours of clocks: comparing with one of these, or taking it from a number just above, is a table, too.
CALENDAR = (12, 24, 28, 30, 31)

PARITIES = {"zh": ("偶数", "奇数"), "en": ("even", "odd")}
KINDS = {"+": "addition", "-": "subtraction", "×": "multiplication"}


def apply(op: str, a: int, b: int) -> int:
    """a op b for "+", "-", "×" and "÷" without remainder."""
    if op == "÷":
        assert a % b == 0, (a, b)
        return a // b
    return a + b if op == "+" else a - b if op == "-" else a * b


def is_table(op: str, a: int, b: int) -> bool:
    """Whether a op b belongs to the tables that are learnt by heart and never held out."""
    if op == "×":
        return a < 10 and b < 10
    if op == "÷":
        return b < 10 and a < 10 * b
    if op == "<":
        return min(a, b) < 10 or a in CALENDAR or b in CALENDAR
    return min(a, b) < 10 or (op == "-" and b in CALENDAR and a - b <= 12)


def pair_key(op: str, a: int, b: int) -> tuple:
    """The key of a pair of numbers under an operation ("+", "-", "×", "<"): the same in every language and wording."""
    if op in "+×<":
        a, b = min(a, b), max(a, b)
    return ("pair", op, a, b)


def pair_keys(op: str, a: int, b: int) -> tuple[tuple, ...]:
    """The keys that a text with a op b touches: none for a table."""
    return () if is_table(op, a, b) else (pair_key(op, a, b),)


def _add_rows(a: int, b: int) -> list[str]:
    rows, carry = [], 0
    while a or b:
        terms = [a % 10, b % 10] if b else [a % 10]
        if carry:
            terms.append(carry)
        total = sum(terms)
        rows.append("+".join(map(str, terms)) + (f"={total}" if len(terms) > 1 else ""))
        a, b, carry = a // 10, b // 10, total // 10
    return rows


def _subtract_rows(a: int, b: int) -> list[str]:
    rows, borrow = [], 0
    while a:
        digit, terms = a % 10, [b % 10] if b else []
        if borrow:
            terms.append(1)
        borrow = int(digit < sum(terms))
        digit += 10 * borrow
        row = "-".join(map(str, [digit, *terms]))
        rows.append(row + (f"={digit - sum(terms)}" if terms else ""))
        a, b = a // 10, b // 10
    return rows


def _multiply_rows(a: int, b: int) -> list[str]:
    rows, carry = [], 0
    while a:
        product = a % 10 * b
        rows.append(f"{a % 10}×{b}={product}")
        if carry:
            rows.append(f"{product}+{carry}={product + carry}")
        a, carry = a // 10, (product + carry) // 10
    return rows


def columns(op: str, a: int, b: int) -> list[str]:
    """The work of a op b in columns, its question first and without the result; for "×", b has one digit."""
    rows = {"+": _add_rows, "-": _subtract_rows, "×": _multiply_rows}[op](a, b)
    return [f"{a}{op}{b}", *rows]


def quick(op: str, a: int, b: int) -> list[str]:
    """The work of a table step inside a longer problem, result included: 47+8 is `7+8=15`, `47+8=55`."""
    assert is_table(op, a, b), (op, a, b)
    line = f"{a}{op}{b}={apply(op, a, b)}"
    if op == "+" and a >= 10:
        return [f"{a % 10}+{b}={a % 10 + b}", line]
    if op == "-" and a >= 20 and b < 10:
        ones = a % 10 + (10 if a % 10 < b else 0)
        return [f"{ones}-{b}={ones - b}", line]
    return [line]


def _operation(rng: random.Random, language: str, op: str, a: int, b: int) -> Draft:
    question = pick(rng, wording()[KINDS[op]][language]).format(a=a, b=b)
    answer = str(apply(op, a, b))
    return Draft((pair_key(op, a, b),), ask(question), worked(columns(op, a, b), answer), answer)


def make_addition(rng: random.Random, language: str) -> Draft:
    """Two numbers of two digits."""
    return _operation(rng, language, "+", rng.randrange(10, 100), rng.randrange(10, 100))


def make_arithmetic(rng: random.Random, language: str) -> Draft:
    """Sums and differences of numbers of three digits."""
    op, a, b = pick(rng, "+-"), rng.randrange(100, 1000), rng.randrange(100, 1000)
    return _operation(rng, language, op, *((b, a) if op == "-" and a < b else (a, b)))


def compare_rows(a: int, b: int) -> list[str]:
    """Digit against digit from the left until two differ; the shorter number has a 0 in front."""
    width = max(len(str(a)), len(str(b)))
    rows = []
    for left, right in zip(str(a).zfill(width), str(b).zfill(width), strict=True):
        rows.append(f"{left}{'<' if left < right else '>' if left > right else '='}{right}")
        if left != right:
            break
    return rows


def _two_numbers(rng: random.Random) -> tuple[int, int]:
    """Two different numbers of the same two or three digits' length, often alike in all but the last."""
    while True:
        low, high = pick(rng, ((10, 100), (100, 1000)))
        a, b = rng.randrange(low, high), rng.randrange(low, high)
        if rng.random() < 0.3:
            b = a - a % 10 + rng.randrange(10)
        if a != b and not is_table("<", a, b):
            return a, b


def make_comparison(rng: random.Random, language: str) -> Draft:
    """The larger or the smaller of two numbers; odd and even."""
    kind = pick(rng, ("larger", "larger", "smaller", "smaller", "parity"))
    phrasing = pick(rng, wording()[kind][language])
    if kind == "parity":
        a = rng.randrange(10, 1000)
        answer = PARITIES[language][a % 2]
        return Draft((("parity", a),), ask(phrasing.format(a=a)), short(answer, language), answer)
    a, b = _two_numbers(rng)
    answer = str(max(a, b) if kind == "larger" else min(a, b))
    return Draft((pair_key("<", a, b),), ask(phrasing.format(a=a, b=b)), worked(compare_rows(a, b), answer), answer)


def _result(draft: Draft) -> str:
    """The work alone, the same in both languages."""
    return plain(draft).split("\n", 1)[1]


def _table(rng: random.Random, op: str) -> str:
    """A row of a table: 7+1=8,7+2=9 ... or 7×1=7,7×2=14 ..., or 12-7=5,13-7=6 ..."""
    a = rng.randrange(1, 10)
    if op == "-":
        return ",".join(f"{c}-{a}={c - a}" for c in range(a, a + 10))
    if op == "+" and rng.random() < 0.5:
        a += 10 * rng.randrange(10)
    return ",".join(f"{a}{op}{b}={apply(op, a, b)}" for b in range(1, 10))


def _scattered(rng: random.Random, op: str) -> str:
    """Table entries in no order, so that none can be guessed from the one before."""
    entries = []
    for _ in range(8):
        a, b = rng.randrange(10), rng.randrange(10)
        if op == "-":
            a += b
        elif op == "+" and rng.random() < 0.3:
            entries.append(f"{a}+{b}+1={a + b + 1}")
            continue
        entries.append(f"{a}{op}{b}={apply(op, a, b)}")
    return ",".join(entries)


def text_addition(rng: random.Random, language: str) -> str:
    """Tables, counting and worked sums."""
    kind = rng.random()
    if kind < 0.15:
        return _table(rng, "+")
    if kind < 0.4:
        return _scattered(rng, "+")
    if kind < 0.5:
        first = rng.randrange(90)
        return ",".join(str(first + step) for step in range(11))
    draft = draw_free(make_addition, rng, language)
    return plain(draft) if kind < 0.65 else _result(draft)


def text_arithmetic(rng: random.Random, language: str) -> str:
    """Tables of differences, and worked sums and differences."""
    kind = rng.random()
    if kind < 0.4:
        return _table(rng, "-") if kind < 0.15 else _scattered(rng, "-")
    draft = draw_free(make_arithmetic, rng, language)
    return plain(draft) if kind < 0.55 else _result(draft)


def text_comparison(rng: random.Random, language: str) -> str:
    """Signs between digits and between numbers; odd and even numbers."""
    kind = rng.random()
    if kind < 0.25:
        pairs = [(rng.randrange(10), rng.randrange(10)) for _ in range(8)]
        return ",".join(f"{a}{'<' if a < b else '>' if a > b else '='}{b}" for a, b in pairs)
    if kind < 0.5:
        lines = []
        while len(lines) < 4:
            a, b = _two_numbers(rng)
            if is_free((pair_key("<", a, b),)):
                lines.append(f"{a}{'<' if a < b else '>'}{b}")
        return ",".join(lines)
    if kind < 0.65:
        odd = rng.randrange(2)
        free = [a for a in (rng.randrange(odd, 1000, 2) for _ in range(8)) if a < 10 or is_free((("parity", a),))]
        return f"{PARITIES[language][odd]}:" + ",".join(map(str, free))
    return plain(draw_free(make_comparison, rng, language))


ADDITION = subject("addition", make_addition, text_addition, "numbers", 1.6)
ARITHMETIC = subject("arithmetic", make_arithmetic, text_arithmetic, "numbers", 1.8)
COMPARISON = subject("comparison", make_comparison, text_comparison, "numbers", 1.0)
