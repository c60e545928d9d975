import numpy as np
import pytest

from asap.bodies.captions import NUMBERS, attributes, caption, reserved
from asap.bodies.people import sample_person
from asap.bodies.plans import Plan, sample_plan
from asap.core.seeds import generator
from asap.core.vocabulary import CATEGORIES
from tests.bodies.figures import PERSON


def drawn_facts(count: int, category: str | None = None) -> list[dict[str, str]]:
    """Attributes of plans and people at random."""
    out = []
    for index in range(count):
        rng = generator(7, "facts", index)
        person = sample_person(rng, str(index))
        colour = str(rng.choice(["grey", "blue", "pink"]))
        out.append(attributes(sample_plan(rng, category), person, str(rng.choice(["plain", "striped"])), colour))
    return out


def said(facts: dict[str, str]) -> str:
    return caption(facts, generator(0, "words"))


@pytest.mark.parametrize("category", CATEGORIES)
def test_a_caption_says_every_attribute_it_has(category: str) -> None:
    for facts in drawn_facts(60, category):
        words = said(facts)
        unsaid = {"category", "view", "palm", "fingers", "gesture", "object", "pose"}
        for name in facts.keys() - unsaid:
            assert facts[name] in words, (name, words)
        if facts["gesture"]:
            assert f"showing {facts['gesture']}" in words
        elif facts["object"]:
            assert f"holding a {facts['object']}" in words
        elif facts["fingers"]:
            assert f"holding up {facts['fingers']} finger" in words
        else:
            assert facts["pose"] in words
        if facts["palm"]:
            assert words.count("palm side") == (facts["palm"] == "palm")
            assert words.count("back side") == (facts["palm"] == "back")
        assert words.endswith(f"{facts['backdrop']} {facts['background']} background")


def test_attributes_follow_the_plan_and_the_person() -> None:
    plan = Plan(category="basic_anatomy", view="hand", fingers=1, palm=False)
    facts = attributes(plan, PERSON, "plain", "grey")
    assert (facts["fingers"], facts["palm"], facts["skin"]) == ("one", "back", PERSON.skin)
    assert {facts[name] for name in ("gender", "hair", "shirt", "trousers", "object", "gesture", "pose")} == {""}
    assert "holding up one finger, back side, plain grey background" in said(facts)
    full = attributes(Plan(category="full_body", view="full", pose="leaping"), PERSON, "striped", "pink")
    assert full["gender"] == ("woman" if PERSON.woman else "man")
    assert f"{PERSON.trousers} trousers, leaping, striped pink background" in said(full)


@pytest.mark.parametrize("count", range(6))
def test_fingers_are_counted_in_words(count: int) -> None:
    facts = attributes(Plan(category="basic_anatomy", view="hand", fingers=count), PERSON, "plain", "grey")
    plural = "" if count == 1 else "s"
    assert f"holding up {NUMBERS[count]} finger{plural}, palm side" in said(facts)


def test_wordings_differ_at_their_start_only() -> None:
    facts = drawn_facts(1)[0]
    sentences = {caption(facts, generator(i)) for i in range(30)}
    assert len(sentences) == 3
    shortest = min(sentences, key=len)
    assert all(sentence.endswith(shortest) for sentence in sentences)


def test_about_one_combination_in_eight_is_reserved() -> None:
    share = np.mean([reserved(facts) for facts in drawn_facts(1200)])
    assert 0.09 < share < 0.16


def test_the_pattern_of_the_backdrop_reserves_nothing() -> None:
    for facts in drawn_facts(50):
        assert len({reserved(facts | {"backdrop": word}) for word in ("plain", "striped", "mottled")}) == 1
    assert len({reserved(drawn_facts(1)[0] | {"skin": skin}) for skin in map(str, range(60))}) == 2
