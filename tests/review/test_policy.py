import pytest

from asap.core.errors import UnknownNameError
from asap.review import POLICIES, accepted
from tests.review.samples import decision


@pytest.mark.parametrize(
    ("votes", "kept"),
    [
        ("", ()),
        ("a", ("any", "all", "majority")),
        ("r", ()),
        ("u", ()),
        ("ar", ("any",)),
        ("au", ("any",)),
        ("aar", ("any", "majority")),
        ("aur", ("any",)),
        ("aa", ("any", "all", "majority")),
        ("aaur", ("any",)),
    ],
)
def test_what_each_policy_keeps(votes: str, kept: tuple[str, ...]) -> None:
    said = [decision("x", {"a": "accept", "r": "reject", "u": "unsure"}[vote]) for vote in votes]
    assert tuple(policy for policy in POLICIES if accepted(said, policy)) == kept


def test_an_unknown_policy_is_named() -> None:
    with pytest.raises(UnknownNameError, match="unknown policy 'some'; known: all, any, majority"):
        accepted([], "some")
