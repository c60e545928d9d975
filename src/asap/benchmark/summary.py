"""One model's row of the result table: error rate raw and corrected, strength, what is hidden, and drift."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from asap.benchmark import drift
from asap.benchmark.correction import Measured, correct
from asap.benchmark.frechet import FrechetDistance, frechet_difference
from asap.benchmark.intervals import Estimate, ratio, wilson
from asap.benchmark.metrics import ErrorRate, Outcome, PairedDifference
from asap.core.errors import InputError
from asap.core.seeds import generator
from asap.core.vocabulary import CATEGORIES

__all__ = ["Judged", "summarize"]

Json = dict[str, Any]
UNCALIBRATED: Final = "the judge has no calibration; measure it with `asap judge calibrate`"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One generated image with all that is known of it."""

    prompt_id: str
    seed: int
    prompt: str
    category: str
    image: npt.NDArray[np.uint8] = field(repr=False)
    """(S, S, 3)."""
    fails: bool | None
    probability: float | None
    """Of wrong anatomy, None if the judge does not say."""
    wanted_parts: tuple[str, ...]
    hidden_parts: tuple[str, ...]
    wanted: Mapping[str, str]
    """Attributes of the caption."""
    seen: Mapping[str, str]
    """Attributes as the judge reads them."""
    person: npt.NDArray[np.float32] = field(repr=False)
    """(G, G) where a person is; empty (0, 0) where the judge does not say."""
    error: bool = False
    """The judge failed on it; ``fails`` is None then."""

    @property
    def outcome(self) -> Outcome:
        """For the metrics."""
        return Outcome(prompt=self.prompt_id, seed=self.seed, fails=self.fails, error=self.error)


def _by_category(rows: Sequence[Judged], seed: int) -> Json:
    """AER of each category that occurs."""
    found: Json = {}
    for name in CATEGORIES:
        part = [row.outcome for row in rows if row.category == name]
        if part:
            found[name] = _error_rate(part, seed, name)
    return found


def _error_rate(outcomes: Sequence[Outcome], seed: int, name: str) -> Json:
    metric = ErrorRate()
    metric.update(outcomes)
    return metric.compute(generator(seed, "aer", name)).to_json()


def _hidden(rows: Sequence[Judged], seed: int) -> Json:
    """Share of asked-for parts that are not seen, over all and by part; images with an error do not count."""
    asked = [
        (row.prompt_id, part, part in row.hidden_parts) for row in rows if not row.error for part in row.wanted_parts
    ]
    parts = sorted({part for _, part, _ in asked})
    by_part = {part: _share([row for row in asked if row[1] == part], seed).to_json() for part in parts}
    return {**_share(asked, seed).to_json(), "by_part": by_part}


def _share(asked: Sequence[tuple[str, str, bool]], seed: int) -> Estimate:
    """Share of (prompt, part, hidden) that is hidden, by whole prompts."""
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


def _distances(
    pairs: Sequence[tuple[Judged, Judged]], reference: npt.NDArray[np.uint8] | None, seed: int, draws: int
) -> Json:
    """Frechet distance to clean renders and its difference to the base; nothing without a reference."""
    if reference is None or len(pairs) < 2:
        return {}
    ours, theirs = FrechetDistance([reference]), FrechetDistance([])
    theirs.reference = ours.reference
    prompts = [row.prompt_id for row, _ in pairs]
    ours.update(np.stack([row.image for row, _ in pairs]), prompts)
    theirs.update(np.stack([row.image for _, row in pairs]), prompts)
    change = frechet_difference(ours, theirs, generator(seed, "frechet"), draws)
    return {"frechet": ours.compute(), "frechet_base": theirs.compute(), "frechet_change": change.to_json()}


def _drift(
    pairs: Sequence[tuple[Judged, Judged]], reference: npt.NDArray[np.uint8] | None, seed: int, draws: int
) -> Json:
    """Everything that should not have changed."""
    prompts = [ours.prompt_id for ours, _ in pairs]
    changes = [
        drift.outside_change_of(ours.image, base.image, ours.person, base.person)
        if ours.person.size and base.person.size
        else None
        for ours, base in pairs
    ]
    whole = [float(np.abs(ours.image.astype(float) - base.image).mean() / 255) for ours, base in pairs]
    return {
        "attributes": _attributes(pairs, seed),
        "outside_change": drift.outside_change(changes, prompts, generator(seed, "outside")).to_json(),
        "whole_change": drift.outside_change(whole, prompts, generator(seed, "whole")).to_json(),
        **_distances(pairs, reference, seed, draws),
    }


def _corrected(outcomes: Sequence[Outcome], rates: tuple[Measured, Measured] | None, *, by_prompt: bool) -> Json:
    """Rogan-Gladen, or why there is none."""
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
    *,
    reference: npt.NDArray[np.uint8] | None = None,
    seed: int = 0,
    draws: int = 200,
) -> Json:
    """Everything that the report says of one model.

    Args:
        rows: the model's images.
        base: the base model's, at the same prompts and seeds; the base itself is summarized against itself.
        rates: measured sensitivity and specificity of the judge; None where nobody has measured them.
        reference: (M, S, S, 3) clean renders for the Frechet distance.
        seed: of the bootstraps.
        draws: resamples of the Frechet distance.

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
        "drift": _drift(matched, reference, seed, draws),
        "judge": {
            name: (wilson(rate.right, rate.n) if rate else Estimate.none()).to_json()
            for name, rate in zip(("sensitivity", "specificity"), rates or (None, None), strict=True)
        },
    }
