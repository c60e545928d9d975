"""One model's row of the result table: error rate raw and corrected, strength, hidden parts, and drift."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from asap.benchmark import drift
from asap.benchmark.correction import Measured, correct
from asap.benchmark.intervals import Estimate, ratio, wilson
from asap.benchmark.metrics import ErrorRate, Outcome, PairedDifference
from asap.core.errors import InputError
from asap.core.seeds import generator
from asap.core.vocabulary import CATEGORIES

__all__ = ["Judged", "summarize"]

Json = dict[str, Any]
UNCALIBRATED: Final = "the judge is not calibrated on images of this generator"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The verdict on one generated image, with its prompt."""

    prompt_id: str
    seed: int
    prompt: str
    category: str
    fails: bool | None
    probability: float | None
    """Of wrong anatomy, in [0, 1]; None if the judge does not say."""
    wanted_parts: tuple[str, ...]
    hidden_parts: tuple[str, ...]
    wanted: Mapping[str, str]
    """Attributes of the caption."""
    seen: Mapping[str, str]
    """Attributes as the judge reads them."""
    error: bool = False
    """The judge failed on it; ``fails`` is None then."""
    reason: str = ""
    """The judge's, in words."""
    rating: float | None = None
    """Of blind raters: 1 wrong, 0 right, 0.5 if they disagree; None: not rated."""

    @property
    def outcome(self) -> Outcome:
        """What the metrics count."""
        return Outcome(prompt=self.prompt_id, seed=self.seed, fails=self.fails, error=self.error)


def _by_category(rows: Sequence[Judged], seed: int) -> Json:
    """AER of each category that occurs."""
    outcomes: dict[str, list[Outcome]] = {}
    for row in rows:
        outcomes.setdefault(row.category, []).append(row.outcome)
    return {name: _error_rate(outcomes[name], seed, name) for name in CATEGORIES if name in outcomes}


def _error_rate(outcomes: Sequence[Outcome], seed: int, name: str) -> Json:
    metric = ErrorRate()
    metric.update(outcomes)
    return metric.compute(generator(seed, "aer", name)).to_json()


def _hidden(rows: Sequence[Judged], seed: int) -> Json:
    """Share of requested parts that the judge does not see, overall and by part; images with an error do not count."""
    asked = [
        (row.prompt_id, part, part in row.hidden_parts) for row in rows if not row.error for part in row.wanted_parts
    ]
    parts = sorted({part for _, part, _ in asked})
    by_part = {part: _share([row for row in asked if row[1] == part], seed).to_json() for part in parts}
    return {**_share(asked, seed).to_json(), "by_part": by_part}


def _share(asked: Sequence[tuple[str, str, bool]], seed: int) -> Estimate:
    """Share of (prompt, part, hidden) that is hidden, clustered by prompt."""
    hidden = np.array([row[2] for row in asked], dtype=np.float64)
    count = int(hidden.sum())
    if count in (0, len(asked)):
        return wilson(count, len(asked))
    return ratio(hidden, np.ones_like(hidden), [row[0] for row in asked], generator(seed, "hidden"))


def _paired_rows(rows: Sequence[Judged], base: Sequence[Judged]) -> list[tuple[Judged, Judged]]:
    """Images of equal prompt and seed, in a fixed order; raises ``InputError`` when there are none."""
    table = {(row.prompt_id, row.seed): row for row in base}
    keys = sorted((row.prompt_id, row.seed) for row in rows if (row.prompt_id, row.seed) in table)
    ours = {(row.prompt_id, row.seed): row for row in rows}
    if not keys:
        raise InputError("the two models share no prompt and seed; generate both with the same suite and seeds")
    return [(ours[key], table[key]) for key in keys]


def _attributes(pairs: Sequence[tuple[Judged, Judged]], seed: int) -> Json:
    """Rate of each attribute, and its difference to the base at the same prompts and seeds."""
    prompts = [ours.prompt_id for ours, _ in pairs]
    found: Json = {}
    for name in sorted({name for ours, _ in pairs for name in ours.seen}):
        hits = [
            drift.attribute_hits([row.wanted for row in side], [row.seen for row in side], name)
            for side in zip(*pairs, strict=True)
        ]
        rate = drift.attribute_rate(hits[0], prompts, generator(seed, "attribute", name))
        if rate.n:
            change = drift.attribute_rate(
                hits[0] - hits[1], prompts, generator(seed, "attribute-change", name), shares=False
            )
            found[name] = {**rate.to_json(), "change": change.to_json()}
    return found


def _corrected(outcomes: Sequence[Outcome], rates: tuple[Measured, Measured] | None, *, by_prompt: bool) -> Json:
    """The Rogan-Gladen estimate, or the reason why there is none."""
    if rates is None:
        return {**Estimate.none(len(outcomes)).to_json(), "note": UNCALIBRATED}
    try:
        return correct(outcomes, *rates, by_prompt=by_prompt).to_json()
    except InputError as error:
        return {**Estimate.none(len(outcomes)).to_json(), "note": str(error)}


def summarize(
    rows: Sequence[Judged],
    base: Sequence[Judged],
    rates: tuple[Measured, Measured] | None,
    pixels: drift.PixelDrift,
    *,
    seed: int = 0,
) -> Json:
    """All numbers of one model.

    Args:
        rows: verdicts on the model's images.
        base: verdicts on the base model's, at the same prompts and seeds; the base is compared with itself.
        rates: sensitivity and specificity of the judge, measured on images of the same generator; None otherwise.
        pixels: the same images, compared with the base's.
        seed: of the bootstraps.

    Raises:
        InputError: nothing to compare.
    """
    outcomes, against = [row.outcome for row in rows], [row.outcome for row in base]
    paired = PairedDifference()
    paired.update(outcomes, against)
    strength = paired.compute(generator(seed, "rsi"))
    matched = _paired_rows(rows, base)
    error = _error_rate(outcomes, seed, "all")
    by_prompt = ErrorRate()
    by_prompt.update(outcomes)
    return {
        "aer": error,
        "aer_by_prompt": by_prompt.by_prompt(generator(seed, "aer-by-prompt")).to_json(),
        "aer_corrected": _corrected(outcomes, rates, by_prompt=False),
        "aer_corrected_by_prompt": _corrected(outcomes, rates, by_prompt=True),
        "n": error["n"],
        "unscored": error["unscored"],
        "errors": error["errors"],
        "rsi": strength.to_json(),
        "win": strength.win,
        "tie": strength.tie,
        "lose": strength.lose,
        "paired": paired.compare(generator(seed, "paired")).to_json(),
        "by_category": _by_category(rows, seed),
        "not_visible": _hidden(rows, seed),
        "drift": {"attributes": _attributes(matched, seed), **pixels.compute(seed)},
        "judge": {
            name: (wilson(rate.right, rate.n) if rate else Estimate.none()).to_json()
            for name, rate in zip(("sensitivity", "specificity"), rates or (None, None), strict=True)
        },
    }
