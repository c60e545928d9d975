"""Verdicts that differ between a model and its base at equal prompt and seed."""

from typing import Final, Literal

from asap.benchmark.report.data import Comparison
from asap.benchmark.summary import Judged
from asap.core.vocabulary import CATEGORIES

__all__ = ["FLIPS", "clearest_flips", "flip_counts", "flip_of", "worst_cases"]

Flip = Literal["fixed", "broken", "both_fail", "both_pass", "unscored"]
FLIPS: Final = ("fixed", "broken", "both_fail", "both_pass", "unscored")


def flip_of(base: Judged | None, verdict: Judged | None) -> Flip:
    """How the verdict differs from that on the base."""
    if base is None or verdict is None or base.fails is None or verdict.fails is None:
        return "unscored"
    if base.fails == verdict.fails:
        return "both_fail" if verdict.fails else "both_pass"
    return "fixed" if base.fails else "broken"


def flip_counts(data: Comparison, model: str) -> dict[str, dict[str, int]]:
    """For each category that occurs, the number of cases of each flip."""
    occurring = {case.category for case in data.cases}
    counts = {str(name): dict.fromkeys(FLIPS, 0) for name in CATEGORIES if name in occurring}
    for case in data.cases:
        counts[case.category][flip_of(case.verdicts.get(data.base), case.verdicts.get(model))] += 1
    return counts


def clearest_flips(data: Comparison, model: str, kind: Flip, category: str, count: int) -> list[int]:
    """Indices into ``data.cases`` of the flips in which the judge's probability changed most."""
    found = []
    for index, case in enumerate(data.cases):
        base, verdict = case.verdicts.get(data.base), case.verdicts.get(model)
        if case.category == category and flip_of(base, verdict) == kind and base and verdict:
            found.append((-abs((verdict.probability or 0.0) - (base.probability or 0.0)), index))
    return [index for _, index in sorted(found)[:count]]


def worst_cases(data: Comparison, model: str, category: str, count: int) -> list[int]:
    """Indices into ``data.cases`` of the failing images with the highest probability of wrong anatomy."""
    found = [
        (-(verdict.probability if verdict.probability is not None else 1.0), index)
        for index, case in enumerate(data.cases)
        if case.category == category and (verdict := case.verdicts.get(model)) and verdict.fails
    ]
    return [index for _, index in sorted(found)[:count]]
