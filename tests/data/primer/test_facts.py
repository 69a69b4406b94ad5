"""The tables and how they are put into words."""

import random
from collections import Counter

import pytest

from minimind.data.primer.facts import LESSONS, facts, facts_of, relations
from minimind.data.primer.identity import MINIMIND, PEBBLE, intents
from minimind.data.primer.identity import exam as identity_exam
from minimind.data.primer.knowledge import KNOWLEDGE, accepted, fact_example, reply, statements
from minimind.data.primer.phrasing import phrasings, questions
from minimind.data.primer.read import capitals, possessive, read_table, with_article
from minimind.data.primer.subject import LANGUAGES, correct, normalise


def fact(relation: str, key: str):
    return next(one for one in facts() if one.relation.name == relation and one.key == key)


def test_there_are_about_five_hundred_facts_in_more_than_twenty_relations():
    taught = [one for one in facts() if one.relation.subject != LESSONS]
    # The two directions of translation are one fact of the table.
    assert 450 <= len(taught) - sum(one.relation.name == "to_chinese" for one in taught) <= 650
    assert len(relations()) >= 24
    assert {one.relation.subject for one in facts()} == {*KNOWLEDGE, LESSONS}


def test_no_two_facts_have_the_same_key():
    keys = Counter((one.relation.name, one.key) for one in facts())
    assert [key for key, count in keys.items() if count > 1] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_question_has_two_answers(language):
    answers: dict[str, str] = {}
    for one in facts():
        if language in one.languages:
            sides = questions(one, language)
            for question in (*sides.train, *sides.combination, *sides.phrasing):
                assert answers.setdefault(normalise(question), one.answer(language)) == one.answer(language), question


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_template_is_filled(language):
    for one in facts():
        if language in one.languages:
            sides = questions(one, language)
            for text in (*statements(one, language), *sides.train, *sides.combination, *sides.phrasing):
                assert not any(mark in text for mark in "{}^\t"), text
                assert text[-1] in {"zh": "。？.", "en": ".?"}[language], text


def test_known_facts_in_words():
    paris = fact("capital", "France")
    assert statements(paris, "en")[0] == "The capital of France is Paris."
    assert statements(paris, "zh")[0] == "法国的首都是巴黎。"
    assert "What is the capital of France?" in {*questions(paris, "en").train, *questions(paris, "en").combination}
    assert (reply(paris, "en"), reply(paris, "zh")) == ("Paris.", "巴黎。")
    assert reply(fact("class", "frog"), "en") == "Amphibian."
    frog = questions(fact("class", "frog"), "en")
    assert "What kind of animal is a frog?" in {*frog.train, *frog.combination}
    assert reply(fact("plural", "goose"), "en") == "geese."
    assert reply(fact("to_english", "water"), "zh") == "water."


def test_other_right_replies_are_accepted_and_wrong_ones_are_not():
    legs = fact_example(fact("legs", "spider"), "en", "How many legs does a spider have?")
    assert all(correct(legs, said) for said in ("8.", "8", "8 legs", "A spider has 8 legs."))
    assert not any(correct(legs, said) for said in ("6.", "A spider has 6 legs.", "8 8", ""))
    assert "an insect" in accepted(fact("class", "ant"), "en")


def test_plain_wordings_are_always_taught():
    """What people ask most is in training for most facts, and no plain wording is held out as a whole."""
    for name, relation in relations().items():
        for language in relation.wording:
            assert not any(phrasing.held for phrasing in phrasings(name, language) if phrasing.plain)


def test_small_grammar():
    assert (with_article("owl"), with_article("lion")) == ("an owl", "a lion")
    assert (possessive("France"), possessive("the United States")) == ("France's", "the United States'")
    assert capitals("^what is it? ^a dog") == "What is it? A dog"


def test_tables_agree_with_themselves():
    months = read_table("months")
    assert [row["en"] for row in months[1:]] + [months[0]["en"]] == [row["next_en"] for row in months]
    assert [months[-1]["en"]] + [row["en"] for row in months[:-1]] == [row["before_en"] for row in months]
    assert sum(int(row["days"].split("/")[0]) for row in months) == 365
    elements = [int(row["number"]) for row in read_table("elements")]
    assert elements == sorted(set(elements))
    assert all(row["symbol"][0].isupper() and len(row["symbol"]) <= 2 for row in read_table("elements"))
    assert {row["continent_en"] for row in read_table("countries")} <= {
        "", "Africa", "Asia", "Europe", "North America", "Oceania", "South America",
    }  # fmt: skip


def test_a_persona_speaks_in_its_own_name():
    for persona in (MINIMIND, PEBBLE):
        for language in LANGUAGES:
            items = identity_exam(random.Random(0), language, 100, persona)
            assert len({item.messages[0]["content"] for item in items}) >= 98
            named = [item for item in items if persona.name[language] in item.response]
            assert len(named) > 10
            assert not any(item.response for item in items if "{" in item.response)
    assert len(intents("en")) == len(intents("zh")) >= 12


def test_every_subject_of_facts_is_large_enough_for_both_languages():
    for name in KNOWLEDGE:
        for language in LANGUAGES:
            assert len(facts_of(name, language)) >= 30, (name, language)
