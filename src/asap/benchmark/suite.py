"""Prompt suites: what a benchmark asks for. The packaged one has at least 20 prompts in each of the five categories."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from asap.core.errors import InputError, StoreError
from asap.core.files import read_json, write_json
from asap.core.vocabulary import CATEGORIES, PARTS

__all__ = ["LEAST", "MINI", "SuitePrompt", "mini_suite", "read_suite", "write_suite"]

MINI: Final = Path(__file__).parent / "suites" / "mini.json"
LEAST: Final = 20
"""Prompts that each category needs."""


@dataclass(frozen=True, kw_only=True)
class SuitePrompt:
    """One prompt of a suite."""

    id: str
    prompt: str
    category: str
    parts: tuple[str, ...]
    """Parts that the picture should show."""
    attributes: Mapping[str, str]
    """What the caption says and the picture should keep."""


def _faults(rows: Sequence[SuitePrompt], least: int) -> list[str]:
    """Everything that is wrong with a suite."""
    counts = Counter(row.category for row in rows)
    faults = [f"category {name!r} has {counts[name]} of {least} prompts" for name in CATEGORIES if counts[name] < least]
    faults += [f"unknown category {name!r}" for name in counts if name not in CATEGORIES]
    faults += [f"unknown part {part!r}" for part in {part for row in rows for part in row.parts} if part not in PARTS]
    for what in ("id", "prompt"):
        twice = [name for name, count in Counter(getattr(row, what) for row in rows).items() if count > 1]
        faults += [f"{what} {name!r} occurs twice" for name in twice]
    return faults


def write_suite(path: Path, rows: Iterable[SuitePrompt], *, least: int = LEAST) -> None:
    """Write a suite as JSON.

    Raises:
        InputError: a category has fewer than ``least`` prompts, a word is unknown, or an id or prompt occurs twice.
    """
    listed = sorted(rows, key=lambda row: row.id)
    if faults := _faults(listed, least):
        raise InputError("the suite cannot be used: " + "; ".join(faults))
    write_json(path, {"prompts": [asdict(row) for row in listed]})


def read_suite(path: Path, *, least: int = 0) -> tuple[SuitePrompt, ...]:
    """Read a suite; raises ``StoreError`` when it is missing or broken."""
    value = read_json(path)
    try:
        rows = tuple(_prompt(row) for row in value["prompts"])  # type: ignore[index]
    except (KeyError, TypeError) as error:
        raise StoreError(
            f"{path} is not a prompt suite ({error}); use mini, or a file as docs/formats.md has it"
        ) from error
    if faults := _faults(rows, least):
        raise StoreError(f"{path} is not a usable suite: " + "; ".join(faults))
    return rows


def _prompt(row: Mapping[str, Any]) -> SuitePrompt:
    """One row of the file."""
    return SuitePrompt(
        id=str(row["id"]),
        prompt=str(row["prompt"]),
        category=str(row["category"]),
        parts=tuple(map(str, row["parts"])),
        attributes={str(name): str(text) for name, text in row["attributes"].items()},
    )


def mini_suite() -> tuple[SuitePrompt, ...]:
    """The packaged suite; its attribute combinations were never among training captions."""
    return read_suite(MINI, least=LEAST)
