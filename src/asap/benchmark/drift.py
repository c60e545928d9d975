"""Drift: changes besides anatomy, in caption attributes and in pixels away from people.

Legend: N images, S pixels, G mask cells on a side.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from asap.benchmark.frechet import FrechetDistance, frechet_difference
from asap.benchmark.intervals import Estimate, ratio, wilson
from asap.core.errors import InputError
from asap.core.records import ByteArray
from asap.core.seeds import generator

__all__ = ["PixelDrift", "attribute_hits", "attribute_rate", "outside_change"]

PERSON: Final = 0.25
"""Cells with at least this probability of a person are left out; low, so that the edge of a limb is not outside."""
LEAST_OUTSIDE: Final = 0.1
"""An image with a smaller share outside is not measured."""

Floats = npt.NDArray[np.float32]


def attribute_hits(
    expected: Sequence[Mapping[str, str]], predicted: Sequence[Mapping[str, str]], name: str
) -> npt.NDArray[np.float64]:
    """(N,) 1 where the judge's attribute is the caption's, 0 where not, NaN where the caption or the judge has none."""
    if len(expected) != len(predicted):
        raise InputError(f"one prediction per image is needed, got {len(predicted)} for {len(expected)}")
    rows = [
        float((wanted[name] or "none") == seen[name]) if wanted.get(name) and name in seen else np.nan
        for wanted, seen in zip(expected, predicted, strict=True)
    ]
    return np.array(rows, dtype=np.float64)


def attribute_rate(
    hits: npt.NDArray[np.float64], prompts: Sequence[str], rng: np.random.Generator, *, shares: bool = True
) -> Estimate:
    """Share of images with the attribute right, clustered by prompt; for differences of hits pass ``shares=False``.

    Where all are right or all wrong, resampling shows no uncertainty, so Wilson's interval is used.
    """
    known = ~np.isnan(hits)
    if known.any() and len(set(hits[known])) == 1 and hits[known][0] in (0.0, 1.0) and shares:
        return wilson(int(hits[known].sum()), int(known.sum()))
    return ratio(
        hits[known], np.ones(int(known.sum())), [p for p, keep in zip(prompts, known, strict=True) if keep], rng
    )


def outside_change(model: ByteArray, base: ByteArray, model_person: Floats, base_person: Floats) -> float | None:
    """Mean absolute difference of two images of one seed where neither shows a person; range [0, 1].

    Args:
        model: (S, S, 3).
        base: (S, S, 3).
        model_person: (G, G) probability of a person, S a multiple of G.
        base_person: (G, G).

    Returns:
        None where people fill the image.

    Raises:
        InputError: sizes do not fit.
    """
    size, grid = model.shape[0], model_person.shape[0]
    if model.shape != base.shape or model_person.shape != base_person.shape or size % grid:
        raise InputError(f"images {model.shape}, {base.shape} and person masks {model_person.shape} do not fit")
    outside = np.kron(np.maximum(model_person, base_person) < PERSON, np.ones((size // grid, size // grid), np.bool_))
    if outside.mean() < LEAST_OUTSIDE:
        return None
    gap = np.abs(model[outside].astype(np.int16) - base[outside].astype(np.int16))
    return float(gap.mean() / 255)


class PixelDrift:
    """Pixel changes of a model against its base, fed one pair of images of equal prompt and seed at a time."""

    def __init__(self, reference: ByteArray | None = None, resamples: int = 200) -> None:
        """Start empty.

        Args:
            reference: clean renders (M, S, S, 3) for Frechet distances; None for no distances.
            resamples: number of resamples of the distance's interval.
        """
        self.resamples = resamples
        self.prompts: list[str] = []
        self.outside: list[float | None] = []
        """Mean absolute change where neither image shows a person, in [0, 1]; None where that is not known."""
        self.whole: list[float] = []
        """Mean absolute change of the whole image, in [0, 1]."""
        self._model = self._base = None
        if reference is not None:
            self._model, self._base = FrechetDistance([reference]), FrechetDistance([])
            self._base.reference = self._model.reference

    def update(self, prompt: str, model: ByteArray, base: ByteArray, model_person: Floats, base_person: Floats) -> None:
        """Add the images (S, S, 3) of one prompt and seed, with their person masks (G, G), (0, 0) if unknown."""
        self.prompts.append(prompt)
        known = model_person.size and base_person.size
        self.outside.append(outside_change(model, base, model_person, base_person) if known else None)
        self.whole.append(float(np.abs(model.astype(float) - base).mean() / 255))
        if self._model and self._base:
            self._model.update(model[None], [prompt])
            self._base.update(base[None], [prompt])

    def compute(self, seed: int) -> dict[str, Any]:
        """Mean changes clustered by prompt, and Frechet distances where there is a reference and more than one image.

        ``seed`` is that of the bootstraps.
        """
        found: dict[str, Any] = {
            "outside_change": _mean_change(self.outside, self.prompts, generator(seed, "outside")).to_json(),
            "whole_change": _mean_change(self.whole, self.prompts, generator(seed, "whole")).to_json(),
        }
        if self._model and self._base and len(self.prompts) > 1:
            change = frechet_difference(self._model, self._base, generator(seed, "frechet"), self.resamples)
            found |= {"frechet": self._model.compute(), "frechet_base": self._base.compute()}
            found["frechet_change"] = change.to_json()
        return found


def _mean_change(changes: Sequence[float | None], prompts: Sequence[str], rng: np.random.Generator) -> Estimate:
    """Mean of the known changes, clustered by prompt."""
    known = [(value, prompt) for value, prompt in zip(changes, prompts, strict=True) if value is not None]
    values = np.array([value for value, _ in known], dtype=np.float64)
    return ratio(values, np.ones_like(values), [prompt for _, prompt in known], rng)
