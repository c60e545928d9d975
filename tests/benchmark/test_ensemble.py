import pytest

from asap.benchmark.ensemble import vote_of
from asap.benchmark.verdict import Verdict


def said(fails: bool | None, *, error: bool = False) -> Verdict:
    return Verdict(
        fails=fails,
        probability=None if fails is None else float(fails),
        parts={"hand": {"visible": 1.0, "wrong": float(bool(fails))}},
        not_visible=("foot",) if fails else (),
        attributes={},
        reason="bent" if fails else "",
        error=error,
    )


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ([True, True, False], True),
        ([True, False, False], False),
        ([True, False], None),
        ([True, None, None], True),
        ([None, None], None),
    ],
)
def test_more_than_half_of_those_that_scored_decide(votes: list[bool | None], expected: bool | None) -> None:
    found = vote_of({str(place): said(vote) for place, vote in enumerate(votes)})
    assert found.fails is expected
    assert found.details["members"] == {str(place): vote for place, vote in enumerate(votes)}


def test_the_rest_is_the_mean_and_the_majority() -> None:
    found = vote_of({"a": said(True), "b": said(True), "c": said(False)})
    assert found.probability == pytest.approx(2 / 3)
    assert found.parts["hand"]["wrong"] == pytest.approx(2 / 3)
    assert found.not_visible == ("foot",)
    assert found.reason == "a: bent; b: bent"


def test_it_is_an_error_only_if_nobody_scored_and_somebody_failed() -> None:
    assert vote_of({"a": said(None, error=True), "b": said(None)}).error
    assert not vote_of({"a": said(None, error=True), "b": said(False)}).error
    assert not vote_of({"a": said(None), "b": said(None)}).error
