"""The skills: every subject keeps its contract, and nothing of the exam's side is seen in training."""

import random

import pytest

from minimind.data.primer.skills import SKILLS
from minimind.data.primer.subject import LANGUAGES, correct

EVERY = [(subject, language) for subject in SKILLS for language in LANGUAGES]


@pytest.mark.parametrize(("subject", "language"), EVERY, ids=lambda part: getattr(part, "name", part))
def test_the_exam_has_a_hundred_different_questions_that_its_own_answers_pass(subject, language):
    items = subject.exam(random.Random(0), language, 100)
    assert len({tuple(message["content"] for message in item.messages) for item in items}) == 100
    for item in items:
        assert (item.subject, item.language) == (subject.name, language) and item.split != "train"
        assert correct(item, item.response)
        assert correct(item, item.answer)
        assert not correct(item, "?")


@pytest.mark.parametrize(("subject", "language"), EVERY, ids=lambda part: getattr(part, "name", part))
def test_the_same_seed_gives_the_same_material(subject, language):
    first, second = (
        [(subject.train(rng, language), subject.text(rng, language)) for _ in range(20)]
        for rng in (random.Random(3), random.Random(3))
    )
    assert first == second
    assert subject.exam(random.Random(1), language, 20) == subject.exam(random.Random(1), language, 20)


@pytest.mark.parametrize(("subject", "language"), EVERY, ids=lambda part: getattr(part, "name", part))
def test_no_question_of_the_exam_is_asked_in_training(subject, language):
    rng = random.Random(5)
    asked = {tuple(message["content"] for message in subject.train(rng, language).messages) for _ in range(1500)}
    exam = {tuple(message["content"] for message in item.messages) for item in subject.exam(rng, language, 100)}
    assert not asked & exam
