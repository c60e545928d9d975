import pytest

from asap.core.errors import InputError
from asap.review import Ledger
from asap.review.ledger import decide_row, undo_row
from tests.review.samples import decision

FIRST, SECOND, AGAIN = decision("x"), decision("y", "reject", "leak"), decision("x", "unsure")


def test_the_last_decision_on_a_pair_holds() -> None:
    ledger = Ledger([decide_row(FIRST), decide_row(SECOND), decide_row(AGAIN)])
    assert ledger.current() == {"x": AGAIN, "y": SECOND}
    assert ledger.of("x") == AGAIN
    assert ledger.of("z") is None
    assert ledger.last == (2, AGAIN)


def test_an_undo_brings_back_what_held_before() -> None:
    rows = [decide_row(FIRST), decide_row(SECOND), decide_row(AGAIN), undo_row(2, AGAIN, "t")]
    ledger = Ledger(rows)
    assert ledger.current() == {"x": FIRST, "y": SECOND}
    assert ledger.last == (1, SECOND)
    assert ledger.apply(undo_row(1, SECOND, "t")) == SECOND
    assert ledger.apply(undo_row(0, FIRST, "t")) == FIRST
    assert ledger.current() == {}
    with pytest.raises(InputError, match="there is none"):
        ledger.apply(undo_row(0, FIRST, "t"))
    ledger.apply(decide_row(SECOND))
    assert ledger.current() == {"y": SECOND}


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        ([undo_row(0, FIRST, "t")], "there is none"),
        ([decide_row(FIRST), decide_row(SECOND), undo_row(0, FIRST, "t")], "undoes line 0.*that is line 1"),
        ([decide_row(FIRST), undo_row(0, FIRST, "t"), undo_row(0, FIRST, "t")], "line 2.*there is none"),
        ([{"action": "bow"}], "line 0 .* neither decision nor undo"),
        ([decide_row(FIRST) | {"decision": "perhaps"}], "neither decision"),
        ([decide_row(FIRST) | {"error": "ugly"}], "neither decision"),
        ([decide_row(FIRST) | {"mood": "good"}], "neither decision"),
        ([{name: value for name, value in decide_row(FIRST).items() if name != "digest"}], "neither decision"),
    ],
)
def test_a_line_that_cannot_be_is_refused(rows: list[dict[str, object]], match: str) -> None:
    with pytest.raises(InputError, match=match):
        Ledger(rows)
