"""Keyboard shortcuts of the review page: one key for each error type, distinct from all commands."""

from collections.abc import Iterator, Sequence
from itertools import chain
from string import ascii_lowercase
from typing import Final

from asap.review.records import ERRORS

__all__ = ["COMMANDS", "error_keys"]

COMMANDS: Final = {
    "a": "Accept",
    "r": "Reject",
    "u": "Unsure",
    "Ctrl+Z, Backspace": "Undo the last decision",
    "→": "Next pair",
    "←": "Previous pair",
    "g": "Go to a pair by number or id",
    "Space": "Swap the two images in one place",
    "f": "Flicker on or off",
    "Esc": "Side by side again",
    "m": "Mask on or off",
    "z": "Zoom to the defect and back",
    "h, ?": "Keys",
}
"""Commands of the page by key, for its help; error types are added to them."""
_TAKEN: Final = frozenset("arufmzgh")
_DIGITS: Final = "123456789"
_OWN: Final = {"not_visible": "v", "looks_pasted": "p", "leak": "l", "natural": "n"}


def error_keys(errors: Sequence[str] = ERRORS) -> dict[str, str]:
    """The key of each error type: digits for the first nine operations, then the first free letter of its name.

    Error types that are not operations have fixed letters, which do not change when operations are added.

    Raises:
        ValueError: there are more error types than keys.
    """
    taken, digits = _TAKEN | set(_OWN.values()), iter(_DIGITS)
    found = {}
    for name in errors:
        key = _OWN.get(name) or next(digits, None) or next(_letters(name, taken), None)
        if key is None:
            raise ValueError(f"no key is left for the error type {name!r}")
        taken |= {key}
        found[name] = key
    return found


def _letters(name: str, taken: frozenset[str]) -> Iterator[str]:
    return (letter for letter in chain(name, ascii_lowercase) if letter.isalpha() and letter not in taken)
