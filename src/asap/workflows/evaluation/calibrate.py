"""Measure the sensitivity and specificity of any judge: on [pairs] of known truth, or on [generations] that were rated.

Error rates of later runs are corrected by what was measured on images of the same generator.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from asap.benchmark import judge as room
from asap.benchmark.lineage import refuse_own_examiner
from asap.benchmark.pairwise import position_bias
from asap.benchmark.verdict import Judge, JudgeInput
from asap.core.errors import InputError
from asap.core.files import write_json
from asap.stores.generations import GenerationStore
from asap.stores.pairs import PairRow, PairStore
from asap.workflows.evaluation.domains import pair_domains, run_domain
from asap.workflows.evaluation.judges import judge_by_name
from asap.workflows.evaluation.raters import read_answers
from asap.workflows.runtime.lineage import parent_of

__all__ = ["calibrate_on", "calibrate_on_ratings"]

ALL: Final = "all"
REPORT_EVERY: Final = 10
Report = Callable[[str], None]


def calibrate_on(
    judge: str | Path,
    truth: Sequence[Path],
    out: Path,
    *,
    options: Mapping[str, Any] | None = None,
    split: str = "test",
    limit: int | None = None,
    pairwise: bool = False,
    device: str = "auto",
    report: Report = lambda _: None,
) -> dict[str, Any]:
    """Measure a judge on both images of pairs, write ``out/calibration.json`` and return it.

    Args:
        judge: a name or the folder of a learned judge.
        truth: pair stores: rendered bodies, photographs; null edits are in each.
        out: folder of the result and of raw replies.
        options: the judge's settings.
        split: the people to measure on; ``all`` where the judge has seen none of them.
        limit: at most so many pairs of each store, spread over it.
        pairwise: also let the judge compare the sides of each pair in both orders.
        device: where the learned judge runs; ``auto`` is a GPU if there is one.
        report: receives a line of progress now and then.

    Raises:
        InputError: no defects, or the judge learned from these pairs or picked them.
        StoreError: a store cannot be read.
    """
    instrument = judge_by_name(judge, options, work=out, device=device, report=report)
    stores = [PairStore.open(path, split=None if split == ALL else split) for path in truth]
    for path in truth:
        # a judge has not seen the test people of the store that it was trained on, but those of its training split
        taught = instrument.trained_on if split in ("train", ALL) else None
        refuse_own_examiner(instrument.fingerprint, parent_of(path)[1], taught_on=taught, name=instrument.name)
    places = [(store, place) for store in stores for place in _spread(len(store), limit)]
    if not places:
        raise InputError(f"no pairs in the split {split!r} of {', '.join(map(str, truth))}; name another")
    scores, errors, facts = _scores(instrument, places, report)
    notes: dict[str, Any] = {"judge": instrument.name, "settings": dict(options or {}), "split": split}
    notes |= {"truth": [store.content_hash for store in stores], "pairs": len(places), "errors": errors}
    found = room.calibrate(
        room.CalibrationSet(chosen=scores[:, 0], rejected=scores[:, 1], **facts),
        threshold=instrument.threshold,
        held_out=instrument.held_out,
        fingerprint=instrument.fingerprint,
        scope=room.PLAIN,
        notes=notes,
        measured_on=list(dict.fromkeys(one for store in stores for one in pair_domains(store))),
    )
    found |= {"pairwise": _pairwise(instrument, places)} if pairwise else {}
    write_json(out / room.CALIBRATION, found)
    return found


def calibrate_on_ratings(
    judge: str | Path,
    generations: Sequence[Path],
    ratings: Sequence[Path],
    out: Path,
    *,
    options: Mapping[str, Any] | None = None,
    device: str = "auto",
    report: Report = lambda _: None,
) -> dict[str, Any]:
    """Measure a judge on rated images, as the block ``rated`` of ``out/calibration.json``, and return the calibration.

    What else is known of the judge, its own calibration or the one in ``out``, is kept. Images on which the raters
    disagree, or which nobody could tell, are left out.

    Args:
        judge: a name or the folder of a learned judge.
        generations: folders of images that the judge was never taught.
        ratings: folders of raters' answers.
        out: folder of the result and of raw replies.
        options: the judge's settings.
        device: where the learned judge runs; ``auto`` is a GPU if there is one.
        report: receives a line of progress now and then.

    Raises:
        InputError: no image is rated, or the judge picked the pairs that a model was aligned with.
        StoreError: images or ratings cannot be read.
    """
    instrument = judge_by_name(judge, options, work=out, device=device, report=report)
    answers, stores = read_answers(ratings), [GenerationStore.open(path) for path in generations]
    for path in generations:
        refuse_own_examiner(
            instrument.fingerprint, parent_of(path)[1], taught_on=instrument.trained_on, name=instrument.name
        )
    rated = [(store, row, answers.rating(row.digest)) for store in stores for row in store.rows]
    known = [(store, row, rating == 1) for store, row, rating in rated if rating in (0, 1)]
    if not known:
        raise InputError(f"raters decided on no image of {', '.join(map(str, generations))}; see `asap bench rate`")
    inputs = (
        JudgeInput(key=row.key, image=store.image(row), prompt=row.prompt, parts=tuple(row.extra.get("parts", ())))
        for store, row, _ in known
    )
    scores = []
    for verdict in instrument.judge(inputs):
        sure = verdict.probability if verdict.fails is not None else None
        scores.append(math.nan if sure is None else sure)
    report(f"calibrate {len(scores)}/{len(known)}")
    block = room.rated_block(
        np.array(scores, np.float32),
        np.array([wrong for *_, wrong in known], dtype=bool),
        [row.category for _, row, _ in known],
        threshold=instrument.threshold,
        measured_on=[run_domain(store) for store in stores],
    )
    path = out / room.CALIBRATION
    before = room.read_calibration(out, instrument.fingerprint) if path.is_file() else instrument.calibration()
    own = {"fingerprint": instrument.fingerprint, "domain": block["domain"], "measured_on": []}
    found = {**own, **(before or {}), "rated": block}
    write_json(path, found)
    return found


def _spread(count: int, limit: int | None) -> list[int]:
    """Positions, evenly spread."""
    return (
        list(range(count)) if limit is None or limit >= count else np.linspace(0, count - 1, limit).astype(int).tolist()
    )


def _scores(
    judge: Judge, places: Sequence[tuple[PairStore, int]], report: Report
) -> tuple[np.ndarray[Any, np.dtype[np.float32]], int, dict[str, Any]]:
    """(N, 2) probabilities of chosen and rejected, NaN without a verdict; failed verdicts; facts by name."""
    facts: dict[str, list[Any]] = defaultdict(list)

    def inputs() -> Iterator[JudgeInput]:
        for store, place in places:
            row = store.row(place)
            _note(facts, row)
            yield from _sides(row)

    values, errors = [], 0
    for verdict in judge.judge(inputs()):
        sure = verdict.probability if verdict.fails is not None else None
        values.append(math.nan if sure is None else sure)
        errors += verdict.error
        if len(values) % (2 * REPORT_EVERY) == 0 or len(values) == 2 * len(places):
            report(f"calibrate {len(values) // 2}/{len(places)}")
    return np.array(values, np.float32).reshape(-1, 2), errors, dict(facts)


def _note(facts: dict[str, list[Any]], row: PairRow) -> None:
    """Append the facts of a pair."""
    for name in ("kind", "part", "operation", "person"):
        facts[name].append(getattr(row, name))
    facts["severity"].append(str(row.severity))
    facts["area"].append(float((row.mask > 0).mean()))
    facts["source"].append("photograph" if row.source else "rendered")


def _sides(row: PairRow) -> Iterator[JudgeInput]:
    """Both images of a pair."""
    for seed, image in enumerate((row.chosen, row.rejected)):
        yield JudgeInput(key=(row.uid, seed), image=image, prompt=row.prompt, parts=tuple(row.visible_parts))


def _pairwise(judge: Judge, places: Sequence[tuple[PairStore, int]]) -> dict[str, Any]:
    """Outcomes by kind of pair, a win being the chosen image's, and the bias of position."""
    kinds: list[str] = []

    def pairs() -> Iterator[tuple[JudgeInput, JudgeInput]]:
        for store, place in places:
            row = store.row(place)
            kinds.append(row.kind)
            sides = [
                JudgeInput(key=(row.uid, 0), image=image, prompt=row.prompt) for image in (row.chosen, row.rejected)
            ]
            yield sides[0], sides[1]

    rows = [
        {"outcome": found.outcome, "votes": [list(vote) for vote in found.votes]} for found in judge.compare(pairs())
    ]
    table: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(("win", "tie", "lose", "error"), 0))
    for kind, row in zip(kinds, rows, strict=True):
        table[kind][str(row["outcome"])] += 1
    return {"outcomes": dict(table), "position_bias": position_bias(rows)}
