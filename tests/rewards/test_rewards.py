"""Shape, repetition and mixtures, with numbers derived by hand."""

import pytest

from minimind.config import UserError
from minimind.rewards import REWARDS, Reward
from minimind.rewards.format import MOST, format_reward
from minimind.rewards.repetition import repeated_share, repetition_penalty, units

GOOD = "<think>\n7+8=15\n</think>\n<answer>\n85\n</answer>"


@pytest.mark.parametrize(
    ("reply", "credit"),
    [
        (GOOD, 1.5),
        (GOOD.replace("</think>\n", "</think>\n\n"), 1.5),
        (GOOD + "\n", 1.5),
        (GOOD.replace("</think>\n", "</think>\n\n\n"), 1.0),
        ("Well: " + GOOD, 1.0),
        (GOOD + " Good?", 1.0),
        (GOOD.replace("\n7+8=15\n", "7+8=15"), 1.0),
        (GOOD.replace("7+8=15", " "), 1.0),
        (GOOD.replace("</think>\n", ""), 0.75),
        ("<answer>\n85\n</answer>", 0.5),
        (GOOD + "\n<answer>\n85\n</answer>", 0.5),
        ("85", 0.0),
        ("", 0.0),
        (GOOD + GOOD, 0.0),
    ],
)
def test_the_shape_earns_a_half_and_each_single_tag_a_quarter(reply, credit):
    assert format_reward(reply) == credit <= MOST == 1.5


def test_units_are_characters_of_chinese_and_words_of_latin():
    assert units("你好, Hello world 42! 도시 café") == ["你", "好", "hello", "world", "42", "도", "시", "café"]


def test_the_repeated_share_by_hand():
    # 8 characters have 6 runs of three; only 好的好 and 的好的 differ: 4 of 6 were there before
    assert repeated_share("好的好的好的好的") == pytest.approx(4 / 6)
    # 6 words have 4 runs of three; "a b a" twice, "b a b" twice
    assert repeated_share("a b a b a b") == pytest.approx(2 / 4)
    assert repeated_share("今天天气很好，我们去公园。") == 0
    assert repeated_share("好的") == repeated_share("") == 0


def test_the_penalty_is_capped_and_takes_the_worst_part():
    assert repetition_penalty("好的" * 30) == 0.5
    assert repetition_penalty("好的" * 30, cap=1.0) > 0.9
    assert repetition_penalty("<think>\n12,38,74\n</think>\n<answer>\n12,38,74\n</answer>") == 0
    assert repetition_penalty("<think>\na b a b a b\n</think>\n<answer>\n7\n</answer>") == pytest.approx(0.5)


def test_a_mixture_gives_each_part_and_the_weighted_sum():
    reward = Reward("answer=1, format=0.2,repetition=0.1")
    assert reward.score("47+38=?", GOOD, "85") == {
        "answer": 1,
        "format": 1.5,
        "repetition": 0,
        "total": pytest.approx(1.3),
    }
    poor = reward.score("47+38=?", "好的" * 30, "85")
    assert poor == {"answer": 0, "format": 0, "repetition": -0.5, "total": pytest.approx(-0.05)}
    assert Reward("format").score("", GOOD)["total"] == 1.5
    assert set(REWARDS) == {"answer", "format", "repetition"}


@pytest.mark.parametrize("weights", ["", "answr=1", "answer=x", "answer=nan", "answer=inf", "answer=1,answer=2"])
def test_wrong_weights_are_named(weights):
    with pytest.raises(UserError):
        Reward(weights)


def test_a_missing_answer_is_named():
    with pytest.raises(UserError, match="answer"):
        Reward("answer=1").score("", GOOD, None)
