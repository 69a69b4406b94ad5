"""The answer reward against cases read by eye, and against the mathematics files where they are at hand."""

import gzip
import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimind.rewards.verify import last_number, number, verify


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("42", Fraction(42)),
        ("-12", Fraction(-12)),
        ("+3", Fraction(3)),
        ("3.50", Fraction(7, 2)),
        (".5", Fraction(1, 2)),
        ("70,000", Fraction(70000)),
        ("1,234,567.5", Fraction(2469135, 2)),
        ("12/13", Fraction(12, 13)),
        ("-1/2", Fraction(-1, 2)),
        ("(3/5)", Fraction(3, 5)),
        ("857(1/7)", Fraction(6000, 7)),
        ("857 1/7", Fraction(6000, 7)),
        ("2又1/3", Fraction(7, 3)),
        ("80%", Fraction(4, 5)),
        ("21.5%", Fraction(43, 200)),
        ("１２", Fraction(12)),
        ("−5", Fraction(-5)),
        ("\\frac{1}{2}", Fraction(1, 2)),
        ("1/0", None),
        ("cat", None),
        ("12 cats", None),
        ("1,2", None),
        ("", None),
    ],
)
def test_numbers_have_exact_values(text, value):
    assert number(text) == value


@pytest.mark.parametrize(
    ("reply", "answer", "right"),
    [
        ("<think>\n7+8=15\n</think>\n<answer>\n85\n</answer>", "85", True),
        ("<think>\n7+8=15\n</think>\n<answer>\n86\n</answer>", "85", False),
        ("<think>\n85\n</think>\n<answer>\n\n</answer>", "85", False),
        ("<think>\nit is 85", "85", False),
        ("<answer>\n1\n</answer><answer>\n85\n</answer>", "85", True),
        ("85", "85.0", True),
        ("She has 85 apples.", "85", True),
        ("85 of 100 apples", "85", False),
        ("The answer is 85. There were 100.", "85", False),
        ("The answer is 18.\nChecked with 20.", "18", True),
        ("so 3 + 4 = 7", "7", True),
        ("答案是：３５个", "35", True),
        ("一共$1,200", "1200", True),
        ("\\boxed{12}", "12", True),
        ("#### 72", "72", True),
        ("0.75", "3/4", True),
        ("6/8", "3/4", True),
        ("75%", "3/4", True),
        ("80", "80%", False),
        ("857又1/7", "857(1/7)", True),
        ("A", "A", True),
        ("(b)", "B", True),
        ("The answer is B.", "B", True),
        ("选C", "C", True),
        ("A cat, so D", "D", True),
        ("A", "B", False),
        ("12, 23, 38", "12,23,38", True),
        ("12、23、38", "12,23,38", True),
        ("12,38,23", "12,23,38", False),
        ("5月3日", "5月3日", True),
        ("monday.", "Monday", True),
        ("10-3", "7", False),
        ("x=-3", "-3", True),
        ("", "5", False),
    ],
)
def test_replies_are_judged_by_their_final_answer(reply, answer, right):
    assert verify(reply, answer) == float(right)


@given(st.integers(-(10**9), 10**9), st.integers(1, 999))
def test_any_writing_of_a_fraction_is_the_fraction(numerator, denominator):
    value = Fraction(numerator, denominator)
    assert number(f"{numerator}/{denominator}") == value
    assert number(f"{numerator:,}") == numerator
    assert last_number(f"we find {numerator}/{denominator} metres") == value


@given(st.text(max_size=60), st.text(max_size=8))
def test_no_text_breaks_the_judge(reply, answer):
    assert verify(reply, answer) in (0.0, 1.0)


@pytest.mark.parametrize("name", ["math_en_gsm8k_test", "math_zh_ape_test"])
def test_every_answer_of_the_files_is_a_number_that_verifies_itself(shared_data, name):
    with gzip.open(shared_data / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        answers = [json.loads(line)["answer"] for line in file]
    assert len(answers) > 1000
    for answer, following in zip(answers, answers[1:], strict=False):
        value = number(answer)
        assert value is not None
        assert verify(f"<think>\n1+1=2\n</think>\n<answer>\n{answer}\n</answer>", answer) == 1.0
        assert verify(f"It is {answer} in all.", answer) == 1.0
        if number(following) != value:
            assert verify(following, answer) == 0.0
