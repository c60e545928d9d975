"""The documentation keeps to plain technical English: words of our own and old-fashioned forms do not come back."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, name, prose

WORDS = (
    r"pictures?",
    r"to the bit",
    r"(?:is|are) told",
    r"(?:lies?|laid) in",
    r"spares",
    r"laid",
    r"eats",
    r"believed",
    r"number types?",
    r"a pair costs",
    r"whoever",
    r"thereof",
    r"hence",
    r"winners?",
    r"losers?",
    r"own tries",
    r"painters?",
    r"a coin",
)
FOUND = re.compile(r"\b(?:" + "|".join(WORDS) + r")\b", re.IGNORECASE)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_page_keeps_to_plain_words(page: Path) -> None:
    assert FOUND.findall(prose(page.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Both sides are equal to the bit.", ["to the bit"]),
        ("A picture\nof the loser.", ["picture", "loser"]),
        ("The folder `RUN/pictures` is fine, [a page](picture.md) as well.\n\n```\nlaid\n```\n", []),
    ],
)
def test_words_are_found_in_prose_only(text: str, found: list[str]) -> None:
    assert FOUND.findall(prose(text)) == found
