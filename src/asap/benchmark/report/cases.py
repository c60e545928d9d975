"""One prompt and seed across models: what each model drew, what the judge said, and where verdicts flip."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from asap.core.vocabulary import CATEGORIES

__all__ = ["Case", "CompareData", "Tile", "flip_counts", "flip_of", "flips", "worst"]

Flip = Literal["fixed", "broken", "both_fail", "both_pass", "unscored"]
FLIPS: Final = ("fixed", "broken", "both_fail", "both_pass", "unscored")


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One image and its verdict."""

    thumb: str
    """A small image as base64 of WebP."""
    fails: bool | None
    error: bool
    """Not scored because the judge failed."""
    probability: float | None
    """Of wrong anatomy, in [0, 1], if the judge says."""
    reason: str
    """The judge's, in words."""
    hidden: tuple[str, ...]
    """Parts asked for and not seen."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """The same prompt and seed for every model."""

    prompt_id: str
    prompt: str
    category: str
    seed: int
    tiles: Mapping[str, Tile]
    """By model; a model that lacks the image has none."""


@dataclass(frozen=True, kw_only=True)
class CompareData:
    """Everything on the page."""

    title: str
    base: str
    models: Mapping[str, Mapping[str, Any]]
    """Name to what ``summary.summarize`` gives, base first."""
    quality: Mapping[str, Mapping[str, Any]]
    """Name to its measures of preserved quality, each an estimate; missing ones are not measured."""
    cases: Sequence[Case]
    judge: Mapping[str, Any]
    """``name``, ``fingerprint``, and ``calibrated``: whether somebody has measured it."""
    suite: Mapping[str, Any]
    """``name``, ``digest``, ``seeds``, ``prompts``."""
    agreement: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Name to what ``agreement.agreement`` gives of its verdicts, and ``judges`` where several judged the run."""
    flags: Sequence[str] = ()
    """What a reader must know before believing a number."""
    facts: Mapping[str, str] | None = None


def flip_of(base: Tile | None, tile: Tile | None) -> Flip:
    """What became of the base's verdict."""
    if base is None or tile is None or base.fails is None or tile.fails is None:
        return "unscored"
    if base.fails == tile.fails:
        return "both_fail" if tile.fails else "both_pass"
    return "fixed" if base.fails else "broken"


def flip_counts(data: CompareData, model: str) -> dict[str, dict[str, int]]:
    """For each category that occurs, how many cases of each flip."""
    found = {name: dict.fromkeys(FLIPS, 0) for name in CATEGORIES if any(case.category == name for case in data.cases)}
    for case in data.cases:
        found[case.category][flip_of(case.tiles.get(data.base), case.tiles.get(model))] += 1
    return found


def flips(data: CompareData, model: str, kind: Flip, category: str, count: int) -> list[int]:
    """Places in ``data.cases`` of the clearest flips: those in which the judge's mind changed most."""
    found = []
    for place, case in enumerate(data.cases):
        base, tile = case.tiles.get(data.base), case.tiles.get(model)
        if case.category == category and flip_of(base, tile) == kind and base and tile:
            found.append((-abs((tile.probability or 0.0) - (base.probability or 0.0)), place))
    return [place for _, place in sorted(found)[:count]]


def worst(data: CompareData, model: str, category: str, count: int) -> list[int]:
    """Places of the images of a model that the judge is surest are wrong."""
    found = [
        (-(tile.probability if tile.probability is not None else 1.0), place)
        for place, case in enumerate(data.cases)
        if case.category == category and (tile := case.tiles.get(model)) and tile.fails
    ]
    return [place for _, place in sorted(found)[:count]]
