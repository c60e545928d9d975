"""Prompt suites of the benchmark. Packaged: HAF (500 prompts written by hand), its lite part, and mini.

HAF follows the five categories of HAF-Bench (arXiv:2605.25759), whose prompts were never released; these are ours.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from asap.core.errors import StoreError, UnknownNameError
from asap.core.files import read_json
from asap.core.hashing import digest_json
from asap.core.vocabulary import CATEGORIES, PARTS

__all__ = ["COUNTED", "LEAST", "MINI", "SUITES", "Suite", "SuitePrompt", "load_suite", "read_suite"]

FOLDER: Final = Path(__file__).parent / "suites"
MINI: Final = FOLDER / "mini.json"
LEAST: Final = 20
"""Prompts that each category needs."""
SUITES: Final = ("haf", "haf-lite", "haf-mini")
COUNTED: Final = ("people", "fingers", *PARTS)
"""Keys of ``counts``; ``fingers`` are those held up, where the gesture fixes their number."""


@dataclass(frozen=True, kw_only=True)
class SuitePrompt:
    """One prompt of a suite."""

    id: str
    prompt: str
    category: str
    parts: tuple[str, ...]
    """Parts that the image should show."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Attributes of the caption that the image should keep."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """How many of each the image should show; names are ``COUNTED``."""
    gesture: str = ""
    difficulty: int = 0
    """1: shown plainly; 2: a pose, grip or gesture; 3: interlaced, foreshortened or several people; 0: unknown."""

    @property
    def facts(self) -> dict[str, Any]:
        """What a judge may want to know beside the text, as plain values."""
        return {
            "parts": list(self.parts), "attributes": dict(self.attributes), "counts": dict(self.counts),
            "gesture": self.gesture, "difficulty": self.difficulty,
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Suite:
    """Named prompts; two results may be compared only if ``digest`` is the same."""

    name: str
    version: str
    prompts: tuple[SuitePrompt, ...]

    @property
    def title(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}".strip()

    @property
    def digest(self) -> str:
        """SHA-256 of all prompts with their metadata."""
        return suite_digest(self.prompts)


def suite_digest(prompts: Iterable[SuitePrompt]) -> str:
    """SHA-256 of prompts, in the order of their ids."""
    return digest_json([asdict(row) for row in sorted(prompts, key=lambda row: row.id)])


def _faults(rows: Sequence[SuitePrompt], least: int) -> list[str]:
    """Everything that is wrong with a suite."""
    counts = Counter(row.category for row in rows)
    faults = [f"category {name!r} has {counts[name]} of {least} prompts" for name in CATEGORIES if counts[name] < least]
    faults += [f"unknown category {name!r}" for name in counts if name not in CATEGORIES]
    faults += [f"unknown part {part!r}" for part in {part for row in rows for part in row.parts} if part not in PARTS]
    counted = {name for row in rows for name in row.counts}
    faults += [f"unknown count {name!r}" for name in sorted(counted) if name not in COUNTED]
    for what in ("id", "prompt"):
        twice = [name for name, count in Counter(getattr(row, what) for row in rows).items() if count > 1]
        faults += [f"{what} {name!r} occurs twice" for name in twice]
    return faults


def read_suite(path: Path, *, least: int = 0) -> tuple[SuitePrompt, ...]:
    """Read a suite, JSON or JSON lines; raises ``StoreError`` when it is missing or broken."""
    try:
        rows = tuple(map(_prompt, _listed(path)))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"{path} is not a prompt suite ({error}); use {', '.join(SUITES)}, or see docs/reference/formats.md"
        ) from error
    if faults := _faults(rows, least):
        raise StoreError(f"{path} is not a usable suite: " + "; ".join(faults))
    return rows


def _listed(path: Path) -> list[Any]:
    """The prompts of a file: the JSON value of each line, or the list ``prompts`` of a JSON file."""
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".jsonl":
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        return list(json.loads(text)["prompts"])
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error


def _prompt(row: Mapping[str, Any]) -> SuitePrompt:
    """One row of the file."""
    return SuitePrompt(
        id=str(row["id"]),
        prompt=str(row["prompt"]),
        category=str(row["category"]),
        parts=tuple(map(str, row["parts"])),
        attributes={str(name): str(text) for name, text in row.get("attributes", {}).items()},
        counts={str(name): int(count) for name, count in row.get("counts", {}).items()},
        gesture=str(row.get("gesture", "")),
        difficulty=int(row.get("difficulty", 0)),
    )


def load_suite(name: str | Path) -> Suite:
    """A packaged suite (``SUITES``; ``mini`` is short for ``haf-mini``), or the file at a path.

    Raises:
        StoreError: the file is missing or broken, or packaged prompts are not those of their version.
        UnknownNameError: neither a known name nor a file.
    """
    known = "haf-mini" if str(name) == "mini" else str(name)
    if known == "haf-mini":
        return Suite(name=known, version="1.0", prompts=read_suite(MINI, least=LEAST))
    if known in SUITES:
        return _haf(known)
    path = Path(name)
    if not path.suffix and not path.exists():
        raise UnknownNameError("suite", known, [*SUITES, "a file"])
    return Suite(name=path.stem, version="", prompts=read_suite(path))


def _haf(name: str) -> Suite:
    """HAF or its lite part, after checking that the prompts are those of their version."""
    rows, facts = read_suite(FOLDER / "haf.jsonl"), read_json(FOLDER / "haf.json")
    if not isinstance(facts, dict) or facts["sha256"] != suite_digest(rows):
        raise StoreError("the packaged prompts of haf are not those of their version; install asap again")
    chosen = rows if name == "haf" else tuple(row for row in rows if row.id in set(facts["lite"]))
    return Suite(name=name, version=str(facts["version"]), prompts=chosen)
