"""Calibration of the learned judge, measured on people it has never seen, after the generator's own round trip.

The main figures are for operations seen in training; those held out are given separately. Error rates are
corrected with both together, since the errors of a generator are not limited to the taught operations.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from asap.benchmark.correction import Measured
from asap.benchmark.domain import Domain, domain_text, read_domains
from asap.benchmark.intervals import ratio, wilson
from asap.benchmark.metrics import mcnemar
from asap.benchmark.ranking import auroc
from asap.core.errors import InputError, StoreError
from asap.core.seeds import generator

__all__ = ["PLAIN", "CalibrationSet", "calibrate", "measured_rates", "rated_block"]

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Json = dict[str, Any]

SIZES: Final = ((0.0, "under 0.5 %"), (0.005, "0.5 to 2 %"), (0.02, "2 to 8 %"), (0.08, "8 % and more"))
"""Share of the image that the edit touched: from which share on, and in words."""
NULLS: Final = ("null_pose", "null_equal")
PLAIN: Final = "images as they are, people never seen"
SCOPE: Final = "operations seen in training, people never seen, after the generator's round trip"


@dataclass(frozen=True, kw_only=True)
class CalibrationSet:
    """Scores of N test pairs and what is known of them; NaN where the judge gave no verdict."""

    chosen: Floats
    """(N,) right images."""
    rejected: Floats
    """(N,) wrong ones, and null edits."""
    kind: Sequence[str]
    part: Sequence[str]
    operation: Sequence[str]
    severity: Sequence[str]
    person: Sequence[str]
    area: Sequence[float] = ()
    """Share of the image that the edit touched, in [0, 1]; empty if not measured."""
    source: Sequence[str] = ()
    """What the pair is made of: rendered or photograph; empty if it is all one."""

    @property
    def size(self) -> list[str]:
        """(N,) the class of each ``area``, in words."""
        return [next(words for least, words in reversed(SIZES) if share >= least) for share in self.area]

    def where(self, name: str, *values: str) -> Mask:
        """(N,) whether a fact has one of the values."""
        return np.isin(np.asarray(getattr(self, name)), list(values))


def _block(data: CalibrationSet, rows: Mask, threshold: float) -> Json:
    """AUROC, sensitivity and specificity of the defects in ``rows`` against the right sides of the same pairs."""
    return _rates(data.rejected[rows], data.chosen[rows], threshold)


def _rates(wrong: Floats, right: Floats, threshold: float) -> Json:
    """AUROC, sensitivity and specificity from the scores of wrong and of right images."""
    sides = wrong, right
    positive, negative = (side[~np.isnan(side)] for side in sides)
    return {
        "auroc": auroc(positive, negative).to_json(),
        "sensitivity": _share(positive > threshold),
        "specificity": _share(negative <= threshold),
        "unscored": int(sum(np.isnan(side).sum() for side in sides)),
    }


def _share(right: Mask) -> Json:
    """Wilson's estimate with its count."""
    count = int(right.sum())
    return {**wilson(count, len(right)).to_json(), "right": count}


def _groups(data: CalibrationSet, name: str, rows: Mask, threshold: float) -> Json:
    """One block per value of a fact."""
    values = sorted({value for value, keep in zip(getattr(data, name), rows, strict=True) if keep})
    return {value: _block(data, rows & data.where(name, value), threshold) for value in values}


def _nulls(data: CalibrationSet, threshold: float) -> Json:
    """Do correct re-poses fail more often than the images they were made from? They should not."""
    rows = data.where("kind", *NULLS) & ~np.isnan(data.chosen) & ~np.isnan(data.rejected)
    clean, null = data.chosen[rows] > threshold, data.rejected[rows] > threshold
    people = [name for name, keep in zip(data.person, rows, strict=True) if keep]
    rng = generator(0, "calibration-null")
    gap = ratio(null.astype(float) - clean.astype(float), np.ones(len(null)), people, rng)
    return {
        "clean_failure_rate": _share(clean),
        "null_failure_rate": _share(null),
        "difference": gap.to_json(),
        "mcnemar_p": mcnemar(int((null & ~clean).sum()), int((clean & ~null).sum())),
    }


def calibrate(
    data: CalibrationSet,
    *,
    threshold: float,
    held_out: Sequence[str],
    fingerprint: str,
    notes: Mapping[str, object],
    scope: str = SCOPE,
    measured_on: Sequence[Domain] = (),
) -> Json:
    """Measure the judge; the result is plain values, cited by every error rate that uses it.

    Args:
        data: scores of the test people's pairs after the round trip.
        threshold: score above which an image fails.
        held_out: operations that training never saw.
        fingerprint: of the judge.
        notes: settings to keep (round trip, seeds, content hash of the pairs).
        scope: what was measured, in words.
        measured_on: the kinds of images; the figures hold for these only.

    Returns:
        domain (in words), measured_on, rated (None; see ``rated_block``), auroc, sensitivity, specificity (known
        operations), held_out, all, by_part, by_operation, by_severity, by_size, by_source, null, all_clean (specificity
        over every right image, null edits included), threshold, fingerprint, notes.

    Raises:
        InputError: there is no defect of a known operation.
    """
    defect = data.where("kind", "defect")
    unknown = data.where("operation", *held_out)
    if not (defect & ~unknown).any():
        raise InputError("calibration needs defects of known operations among the test people; build more pairs")
    clean = np.concatenate([data.chosen, data.rejected[data.where("kind", *NULLS)]])
    clean = clean[~np.isnan(clean)]
    operations = _groups(data, "operation", defect, threshold)
    for name, block in operations.items():
        block["held_out"] = name in held_out
    return {
        **_block(data, defect & ~unknown, threshold),
        "scope": scope,
        "domain": domain_text(measured_on),
        "measured_on": [one.to_json() for one in measured_on],
        "rated": None,
        "held_out": _block(data, defect & unknown, threshold),
        "all": _block(data, defect, threshold),
        "all_clean": _share(clean <= threshold),
        "by_part": _groups(data, "part", defect, threshold),
        "by_operation": operations,
        "by_severity": _groups(data, "severity", defect, threshold),
        "by_size": _groups(data, "size", defect, threshold) if len(data.area) else {},
        "by_source": _groups(data, "source", defect, threshold) if len(data.source) else {},
        "null": _nulls(data, threshold),
        "threshold": threshold,
        "held_out_operations": list(held_out),
        "fingerprint": fingerprint,
        "people": len(set(data.person)),
        "notes": dict(notes),
    }


def rated_block(
    scores: Floats, wrong: Mask, category: Sequence[str], *, threshold: float, measured_on: Sequence[Domain]
) -> Json:
    """Measure a judge on rated images: the block ``rated`` of a calibration.

    Args:
        scores: (N,) of images that the judge was never taught; NaN where it gave no verdict.
        wrong: (N,) what the raters say.
        category: (N,) of the prompts.
        threshold: score above which an image fails.
        measured_on: the generators that drew the images.

    Returns:
        auroc, sensitivity, specificity, unscored, n, by_category (the same for each), domain, measured_on.
    """
    kinds = np.asarray(category)

    def block(rows: Mask) -> Json:
        return {**_rates(scores[rows & wrong], scores[rows & ~wrong], threshold), "n": int(rows.sum())}

    return {
        **block(np.ones(len(scores), dtype=bool)),
        "by_category": {str(name): block(kinds == name) for name in sorted(set(category))},
        "domain": domain_text(measured_on),
        "measured_on": [one.to_json() for one in measured_on],
    }


def measured_rates(calibration: Mapping[str, Any], images: Domain) -> tuple[Measured, Measured] | None:
    """Sensitivity and specificity that hold for ``images``: what an error rate on them is corrected by.

    The block ``rated`` comes first, then the pairs of known truth: sensitivity over all operations, and specificity
    over every right image.

    Returns:
        None where no block covers ``images``, or says what it was measured on.

    Raises:
        StoreError: not a calibration.
    """
    try:
        rated = calibration.get("rated")
        blocks = [(rated, rated["sensitivity"], rated["specificity"])] if rated else []
        if not rated or "all" in calibration:
            blocks.append((calibration, calibration["all"]["sensitivity"], calibration["all_clean"]))
        for block, se, sp in blocks:
            if any(one.covers(images) for one in read_domains(block)):
                return Measured(right=se["right"], n=se["n"]), Measured(right=sp["right"], n=sp["n"])
    except (KeyError, TypeError) as error:
        raise StoreError(f"not a calibration of a judge ({error} is missing); run `asap judge calibrate`") from error
    return None
