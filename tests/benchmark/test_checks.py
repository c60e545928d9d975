from dataclasses import replace

import pytest

from asap.benchmark.checks import NEAR, check_suite, grams, nearness, part_faults
from asap.benchmark.suite import SuitePrompt, load_suite
from asap.bodies import sample_caption
from asap.core.errors import InputError
from asap.workflows.evaluation.suite import check

HAND = SuitePrompt(
    id="a", prompt="one hand on a table in the sun", category="basic_anatomy", parts=("hand",),
    counts={"people": 1, "hand": 1}, difficulty=1,
)  # fmt: skip


def test_nearness_by_hand() -> None:
    first, second = grams("A hand, on the table!"), grams("a hand on the chair")
    assert first == {("a", "hand", "on"), ("hand", "on", "the"), ("on", "the", "table")}
    assert nearness(first, second) == 2 / 4
    assert nearness(grams("two words"), grams("")) == 0


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"prompt": "a hand in mittens", "id": "b"}, "b hides the hand"),
        ({"counts": {"people": 1, "hand": 3}}, "what 1 people cannot have"),
        ({"counts": {"people": 0, "hand": 1}}, "what 0 people cannot have"),
        ({"counts": {"people": 1, "hand": 1, "face": 1}}, "counts other parts"),
        ({"category": "full_body"}, "does not ask for arm, foot, leg, torso"),
        ({"category": "semantic_gesture"}, "names no gesture"),
        ({"difficulty": 0}, "no difficulty"),
    ],
)
def test_faults_of_one_prompt(change: dict[str, object], fault: str) -> None:
    assert part_faults(HAND) == []
    assert any(fault in found for found in part_faults(replace(HAND, **change)))  # type: ignore[arg-type]


def test_near_duplicates_and_training_captions_are_faults() -> None:
    other = replace(HAND, id="b", prompt="one hand on a table in the rain")
    faults = check_suite([HAND, other], ["nothing alike here", HAND.prompt], per_category=2).faults
    assert "a and b are near-duplicates (0.71)" in faults
    assert "a is near the training caption 'one hand on a table in the sun' (1.00)" in faults
    assert sum("of 2 prompts" in fault for fault in faults) == 4


def test_haf_passes_its_checks() -> None:
    prompts = load_suite("haf").prompts
    found = check_suite(prompts, (sample_caption(0, "check", index) for index in range(300)), per_category=100)
    assert found.faults == ()
    assert found.figures["nearest_pair"]["nearness"] < NEAR
    assert 0 < found.figures["nearest_caption"]["nearness"] < NEAR
    assert found.figures["nearest_caption"]["captions"] > 250
    assert set(found.figures["difficulty"]) == {"1", "2", "3"}


def test_the_check_of_lite_and_of_a_suite_that_has_none() -> None:
    assert check("haf-lite", captions=20)["prompts"] == 50
    with pytest.raises(InputError, match="want one of haf, haf-lite"):
        check("haf-mini")
