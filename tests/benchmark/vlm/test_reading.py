"""Replies are read strictly, and votes add up as they should."""

import json
from typing import Any

import pytest

from asap.benchmark.vlm import (
    CHECKS,
    Answer,
    PartView,
    PartVotes,
    Unreadable,
    decide,
    part_schema,
    part_text,
    part_views,
)
from asap.benchmark.vlm import read_answer as read
from asap.core.vocabulary import PARTS

BOX = [10, 20, 300, 400]


def reply(*, verdict: str = "right", visible: str = "yes", **checks: Any) -> dict[str, Any]:  # noqa: ANN401
    said = {name: {"answer": "no", "box": None} for name in CHECKS["hand"]}
    return {"visible": visible, "checks": said | checks, "verdict": verdict}


def text(value: object) -> str:
    return json.dumps(value)


def test_every_part_has_questions_and_a_schema() -> None:
    for part in PARTS:
        schema = part_schema(part)
        assert list(schema["properties"]) == ["visible", "checks", "verdict"], "visibility first, verdict last"
        assert all(name in part_text(PartView(part=part), "") for name in CHECKS[part])
        assert set(schema["properties"]["checks"]["required"]) == set(CHECKS[part])


@pytest.mark.parametrize(
    ("value", "outcome"),
    [
        (reply(), "right"),
        (reply(verdict="wrong", misshapen={"answer": "yes", "box": BOX}), "wrong"),
        (reply(visible="no", verdict="cannot_tell"), "hidden"),
        (reply(verdict="cannot_tell", misshapen={"answer": "cannot_tell", "box": None}), "unsure"),
    ],
)
def test_good_replies(value: dict[str, Any], outcome: str) -> None:
    found = read(text(value), "hand")
    assert found.outcome == outcome
    assert found.defects == ({"misshapen": tuple(BOX)} if outcome == "wrong" else {})


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "fine",
        "```json\n" + text(reply()) + "\n```",
        text(reply()) + " ok",
        text([reply()]),
        text(reply())[:-2],
        text(reply()).replace('"visible": "yes"', '"visible": "yes", "visible": "no"'),
        text(reply(visible="maybe")),
        text(reply() | {"note": 1}),
        text({"visible": "yes", "verdict": "right"}),
        text(reply(verdict="wrong")),
        text(reply(misshapen={"answer": "yes", "box": BOX})),
        text(reply(verdict="wrong", misshapen={"answer": "yes", "box": None})),
        text(reply(verdict="wrong", misshapen={"answer": "yes", "box": [300, 20, 10, 400]})),
        text(reply(verdict="wrong", misshapen={"answer": "yes", "box": [10, 20, 300, 1001]})),
        text(reply(verdict="wrong", misshapen={"answer": "yes", "box": [10.5, 20, 300, 400]})),
        text(reply(misshapen={"answer": "no", "box": BOX})),
        text(reply(visible="no")),
        text(reply(visible="no", verdict="wrong", misshapen={"answer": "yes", "box": BOX})),
        text(reply() | {"checks": []}),
        text(reply(misshapen="no")),
        text(reply()).replace("null", "NaN", 1),
        "[" * 100_000,
    ],
)
def test_anything_else_cannot_be_read(bad: str) -> None:
    with pytest.raises(Unreadable):
        read(bad, "hand")


def votes(*outcomes: str, part: str = "hand") -> PartVotes:
    answers = tuple(None if name == "error" else Answer(outcome=name, defects={}) for name in outcomes)
    return PartVotes(view=PartView(part=part), answers=answers, faults=("lost",) * outcomes.count("error"))


@pytest.mark.parametrize(
    ("parts", "fails", "error"),
    [
        ([votes("right", "right", "wrong")], False, False),
        ([votes("wrong", "right", "wrong")], True, False),
        ([votes("wrong", "wrong", "error")], True, False),
        ([votes("right", "right", "error")], False, False),
        ([votes("right", "error", "error")], None, True),
        ([votes("right", "wrong", "error")], None, True),
        ([votes("right", "wrong", "hidden")], None, False),
        ([votes("hidden", "hidden", "hidden")], None, False),
        ([votes("right", "right", "right"), votes("hidden", "hidden", "right", part="foot")], False, False),
        ([votes("right", "right", "right"), votes("error", "error", "error", part="foot")], None, True),
        ([votes("wrong", "wrong", "wrong"), votes("error", "error", "error", part="foot")], True, False),
        ([votes("right", "right", "right"), votes("unsure", "unsure", "right", part="foot")], None, False),
        ([], None, False),
    ],
)
def test_a_failed_vote_never_makes_a_pass(parts: list[PartVotes], fails: bool | None, error: bool) -> None:
    found = decide(parts, ("hand",))
    assert (found.fails, found.error) == (fails, error)
    assert (found.reason == "") == (fails is False)
    if found.probability is not None and fails is not None:
        assert (found.probability > 0.5) == fails


def test_a_hidden_part_that_was_wanted_is_told() -> None:
    assert decide([votes("hidden", "hidden", "right")], ("hand",)).not_visible == ("hand",)


def test_crops_have_a_margin_and_wanted_parts_are_always_asked_about() -> None:
    found = part_views(
        [("hand", "left", (10, 10, 30, 20)), ("face", "none", (0, 0, 50, 50))], ("hand", "foot"), (60, 50)
    )
    assert found == (
        PartView(part="hand", side="left", box=(4, 4, 36, 26)),
        PartView(part="face", box=(0, 0, 50, 60)),
        PartView(part="foot"),
    )
    assert found[0].name == "left hand"
