"""Means of the scores with intervals; what could not be loaded is a blank with its reason."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asap.benchmark.frechet import frechet
from asap.benchmark.intervals import Estimate, ratio
from asap.benchmark.quality.distances import InceptionFeatures, kid
from asap.benchmark.quality.plugins import QUALITY, scorer
from asap.core.errors import InputError
from asap.core.records import ByteArray
from asap.core.seeds import generator

__all__ = ["quality_of"]

INCEPTION = "inception-2015-12-05.pt"


def quality_of(
    images: Sequence[ByteArray],
    prompts: Sequence[str],
    *,
    names: Iterable[str] | None = None,
    weights: Path | None = None,
    reference: Sequence[ByteArray] = (),
    device: str = "cpu",
    batch: int = 16,
) -> dict[str, dict[str, Any]]:
    """Every score by name: ``{"value", "ci", "n", "note"}``; ``note`` says why a value is blank.

    Args:
        images: (H, W, 3) each.
        prompts: one a picture; the interval draws whole prompts.
        names: of ``QUALITY``; all if None.
        weights: the user's folder, see ``plugins``; ``inception-2015-12-05.pt`` in it gives FID and KID.
        reference: pictures that FID and KID are measured against.
        device: where the models run.
        batch: pictures at a time.

    Raises:
        InputError: not one prompt a picture.
        UnknownNameError: no such score.
    """
    if len(images) != len(prompts):
        raise InputError(f"want one prompt a picture, got {len(prompts)} for {len(images)}")
    chosen = QUALITY.names() if names is None else tuple(names)
    for name in chosen:
        QUALITY.get(name)
    found = {}
    for name in chosen:
        try:
            one = scorer(name, weights, device)
        except InputError as error:
            found[name] = _blank(error.line)
            continue
        steps = range(0, len(images), batch)
        values = [v for at in steps for v in one.score(images[at : at + batch], prompts[at : at + batch])]
        mean = ratio(values, np.ones(len(values)), list(prompts), generator(0, "quality", name))
        found[name] = {**mean.to_json(), "note": ""}
    return found | _distances(images, reference, weights, device)


def _distances(
    images: Sequence[ByteArray], reference: Sequence[ByteArray], weights: Path | None, device: str
) -> dict[str, dict[str, Any]]:
    """FID and KID, or why there are none."""
    try:
        if weights is None or len(reference) < 2:
            raise InputError(f"needs reference pictures and a folder of weights with {INCEPTION}")
        features = InceptionFeatures(weights / INCEPTION, device)
        ours, theirs = features(images), features(reference)
        values = {"fid": frechet(ours, theirs), "kid": kid(ours, theirs)}
    except InputError as error:
        return {name: _blank(error.line) for name in ("fid", "kid")}
    return {name: {"value": value, "ci": None, "n": len(images), "note": ""} for name, value in values.items()}


def _blank(why: str) -> dict[str, Any]:
    return {**Estimate.none().to_json(), "note": why}
