"""What alignment changed besides anatomy: caption attributes, and pixels away from people.

Legend: N images, S pixels, G mask cells on a side.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from asap.benchmark.intervals import Estimate, ratio, wilson
from asap.core.errors import InputError

__all__ = ["attribute_hits", "attribute_rate", "outside_change", "outside_change_of"]

PERSON: Final = 0.25
"""Cells with at least this probability of a person are left out; low, so that a limb's edge does not count as outside.
"""
LEAST_OUTSIDE: Final = 0.1
"""An image with a smaller share outside says nothing."""

Floats = npt.NDArray[np.float32]


def attribute_hits(
    expected: Sequence[Mapping[str, str]], predicted: Sequence[Mapping[str, str]], name: str
) -> npt.NDArray[np.float64]:
    """(N,) 1 where the judge reads what the caption said, 0 where not, NaN where the caption or the judge is silent."""
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
    """Share of images with the attribute right, clustered by prompt; for differences of hits say ``shares=False``.

    Where all are right or all wrong, resampling shows no doubt, so Wilson's interval stands in.
    """
    known = ~np.isnan(hits)
    if known.any() and len(set(hits[known])) == 1 and hits[known][0] in (0.0, 1.0) and shares:
        return wilson(int(hits[known].sum()), int(known.sum()))
    return ratio(
        hits[known], np.ones(int(known.sum())), [p for p, keep in zip(prompts, known, strict=True) if keep], rng
    )


def outside_change_of(
    model: npt.NDArray[np.uint8], base: npt.NDArray[np.uint8], model_person: Floats, base_person: Floats
) -> float | None:
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


def outside_change(changes: Sequence[float | None], prompts: Sequence[str], rng: np.random.Generator) -> Estimate:
    """Mean over images that have an outside, clustered by prompt."""
    kept = [(value, prompt) for value, prompt in zip(changes, prompts, strict=True) if value is not None]
    values = np.array([value for value, _ in kept], dtype=np.float64)
    return ratio(values, np.ones_like(values), [prompt for _, prompt in kept], rng)
