"""Means of the scores with intervals; what could not be loaded is a blank with its reason."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from asap.benchmark.frechet import frechet
from asap.benchmark.intervals import Estimate, ratio
from asap.benchmark.quality.distances import INCEPTION, InceptionFeatures, kid
from asap.benchmark.quality.plugins import QUALITY, scorer
from asap.core.errors import InputError, UnknownNameError
from asap.core.records import ByteArray
from asap.core.seeds import generator

__all__ = ["DISTANCES", "MEASURES", "quality_of"]

DISTANCES: Final = ("fid", "kid")
"""Of all images together to reference images."""
MEASURES: Final = (*QUALITY.names(), *DISTANCES)
Row = dict[str, Any]
Report = Callable[[str], None]


def quality_of(
    images: Sequence[ByteArray],
    prompts: Sequence[str],
    *,
    clusters: Sequence[str] | None = None,
    names: Iterable[str] = MEASURES,
    weights: Path | None = None,
    reference: Sequence[ByteArray] = (),
    device: str = "cpu",
    batch: int = 16,
    report: Report = lambda _: None,
) -> Iterator[tuple[str, Row]]:
    """Each measure as soon as it is taken: name and ``{"value", "ci", "n", "note"}``.

    ``note`` is the reason why a value is blank. FID and KID have no interval.

    Args:
        images: (H, W, 3) each; slices of ``batch`` are read, once per measure.
        prompts: one an image.
        clusters: name of each image's prompt; the interval resamples whole prompts. The prompts themselves if None.
        names: of ``MEASURES``.
        weights: the user's folder, see ``plugins``; ``inception-2015-12-05.pt`` in it gives FID and KID.
        reference: images that FID and KID are measured against.
        device: where the models run.
        batch: images at a time.
        report: is given a line now and then.

    Raises:
        InputError: not one prompt an image.
        UnknownNameError: no such measure.
    """
    chosen = tuple(dict.fromkeys(names))
    for name in chosen:
        if name not in MEASURES:
            raise UnknownNameError("measure of quality", name, MEASURES)
    if len(images) != len(prompts):
        raise InputError(f"want one prompt an image, got {len(prompts)} for {len(images)}")
    for name in chosen:
        if name not in DISTANCES:
            values = _scores(name, images, prompts, weights, device, batch, report)
            yield name, values if isinstance(values, dict) else _mean(name, values, clusters or prompts)
    if distances := [name for name in chosen if name in DISTANCES]:
        found = _distances(images, reference, weights, device, batch)
        yield from ((name, found[name]) for name in distances)


def _scores(
    name: str,
    images: Sequence[ByteArray],
    prompts: Sequence[str],
    weights: Path | None,
    device: str,
    batch: int,
    report: Report,
) -> list[float] | Row:
    """One score of each image, or why there is none."""
    try:
        one = scorer(name, weights, device)
    except InputError as error:
        return _blank(error.line)
    values: list[float] = []
    for at in range(0, len(images), batch):
        values += one.score(images[at : at + batch], prompts[at : at + batch])
        report(f"{name} {len(values)}/{len(images)}")
    return values


def _mean(name: str, values: Sequence[float], clusters: Sequence[str]) -> Row:
    """The mean with its interval."""
    if lost := int((~np.isfinite(values)).sum()):
        return _blank(f"{lost} of {len(values)} scores are no numbers")
    return {**ratio(values, np.ones(len(values)), list(clusters), generator(0, "quality", name)).to_json(), "note": ""}


def _distances(
    images: Sequence[ByteArray], reference: Sequence[ByteArray], weights: Path | None, device: str, batch: int
) -> dict[str, Row]:
    """FID and KID, or why there are none."""
    try:
        if weights is None or len(reference) < 2:
            raise InputError(f"needs reference images and a folder of weights with {INCEPTION}")
        features = InceptionFeatures(weights / INCEPTION, device)
        ours, theirs = features(images, batch), features(reference, batch)
        values = {"fid": frechet(ours, theirs), "kid": kid(ours, theirs)}
    except InputError as error:
        return {name: _blank(error.line) for name in DISTANCES}
    return {name: {"value": value, "ci": None, "n": len(images), "note": ""} for name, value in values.items()}


def _blank(why: str) -> Row:
    return {**Estimate.none().to_json(), "note": why}
