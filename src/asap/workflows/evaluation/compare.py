"""Compare judged runs: one page, the same numbers as JSON, Markdown and CSV, and a leaderboard."""

import base64
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Final, cast

import numpy as np
from PIL import Image

from asap.benchmark.agreement import agreement, krippendorff_alpha
from asap.benchmark.domain import domain_text, read_domains
from asap.benchmark.drift import PixelDrift
from asap.benchmark.evidence import evidence
from asap.benchmark.judge import measured_rates
from asap.benchmark.lineage import shared_instruments
from asap.benchmark.rating import preference
from asap.benchmark.report import (
    Case,
    Comparison,
    Point,
    compare_csv,
    compare_json,
    compare_markdown,
    compare_page,
    headline,
    merge_leaderboard,
)
from asap.benchmark.summary import Judged, summarize
from asap.core.errors import InputError, StoreError
from asap.core.files import make_folder, read_json, write_json, write_pieces, write_text
from asap.core.manifest import environment
from asap.core.records import ByteArray
from asap.core.seeds import generator
from asap.stores.verdicts import VerdictStore
from asap.workflows.evaluation.bench import verdict_folders, verdicts_of
from asap.workflows.evaluation.images import MISSING
from asap.workflows.evaluation.judged import JudgedRun, calibration_of, judge_name, open_judged, person_mask
from asap.workflows.evaluation.judges.landmarks import LandmarkSettings
from asap.workflows.evaluation.provenance import lineage_rows, pair_views, training_curves
from asap.workflows.evaluation.quality import quality_file, read_quality
from asap.workflows.evaluation.raters import Answers, read_answers
from asap.workflows.runtime.lineage import UNKNOWN_LINEAGE, ancestors

__all__ = ["compare"]

Report = Callable[[str], None]
THUMBNAIL: Final = 192
"""Longest side of a thumbnail in pixels."""
SMALL: Final = 128
"""Side in pixels of the copies on which pixel changes between models are measured."""


@dataclass(frozen=True, kw_only=True)
class _Run(JudgedRun):
    """One model's images and verdicts."""

    name: str
    folder: Path
    seeds: list[int]

    @property
    def config(self) -> Mapping[str, Any]:
        """Of the images."""
        return self.images.manifest.config

    @property
    def judge(self) -> Mapping[str, Any]:
        """Settings of the verdicts."""
        return self.verdicts.manifest.config


def compare(
    runs: Sequence[Path] | Mapping[str, Path],
    out: Path,
    *,
    judge: str | None = None,
    seeds: Sequence[int] | None = None,
    leaderboard: Path | None = None,
    pairs: Path | None = None,
    sweep: Mapping[str, Sequence[Point]] | None = None,
    ratings: Sequence[Path] = (),
    title: str = "HAF-Bench",
    seed: int = 0,
    report: Report = lambda _: None,
) -> dict[str, Any]:
    """Write ``compare.html``, ``.json``, ``.md`` and ``.csv`` to ``out``; returns headline, page, numbers and warnings.

    Memory does not grow with the size of the images: one is in memory at a time. Small copies of the base's images
    (49 KB each) and all thumbnails lie in temporary files in ``out`` meanwhile.

    Args:
        runs: folders of `asap bench run`, or of verdicts; the first is the base. A list is named after its folders.
        out: folder of the comparison.
        judge: name of the judge, where a run has verdicts of several.
        seeds: compare the images of these seeds only.
        leaderboard: a file to merge the rows into.
        pairs: pair store to show training pairs from.
        sweep: by method, checkpoints for the chart of AER against drift; the models themselves if None.
        ratings: folders of raters' answers, from `asap bench rate` or `asap judge rate`; each run's images are found by
            the hash of their pixels.
        title: heading.
        seed: of the bootstraps.
        report: called with a line of progress now and then.

    Raises:
        InputError: other prompts, seeds or judges, equal names, a judge that shares an instrument with the pairs, or
            images outside the domain of the judge that nobody rated.
        StoreError: a run, the pair store or the ratings cannot be read.
    """
    opened = [_open(name, path, judge, seeds) for name, path in _named(runs).items()]
    _same_question(opened)
    base, answers, calibration = opened[0], read_answers(ratings), _calibration(opened[0])
    judged = {run.name: run.rows(answers) for run in opened}
    outside = [_outside(run, judged[run.name], calibration) for run in opened]
    make_folder(out)  # before minutes of reading
    board, shown_pairs = _board(leaderboard), pair_views(pairs) if pairs else []
    flags = [flag for run in opened for flag in _flags(run, bool(ratings) and not _is_rated(judged[run.name]))]
    models: dict[str, Mapping[str, Any]] = {}
    with ExitStack() as stack:
        copies = _Copies(stack.enter_context(TemporaryFile(dir=out)))
        thumbnails = {run.name: stack.enter_context(TemporaryFile("w+", dir=out)) for run in opened}
        for run, reason in zip(opened, outside, strict=True):
            drift = _read_images(run, base, copies, thumbnails[run.name])
            both = judged[run.name], judged[base.name]
            rates = measured_rates(calibration, run.domain) if calibration else None
            summary = _masked(summarize(*both, rates, drift, seed=seed), reason or outside[0])
            models[run.name] = {**summary, "evidence": evidence(*both, summary, seed=seed)}
            report(f"compare {run.name}: {len(both[0])} images")
        data = Comparison(
            title=title,
            base=base.name,
            models=models,
            quality={run.name: _quality(run) for run in opened},
            agreement={run.name: _agreement(run, seed) for run in opened},
            ratings=answers.agreement([row.digest for run in opened for row in run.images.rows]),
            preference=_preferences(opened, answers),
            cases=_cases(judged),
            judge=_judge(opened, calibration),
            calibration=calibration,
            suite=_suite(base, judged[base.name]),
            flags=[*flags, *_without_rate(models, base.name)],
            pairs=shown_pairs,
            curves=[curve for run in opened for curve in training_curves(run.name, run.images.manifest)],
            sweep=sweep or {},
            lineage=[row for run in opened for row in lineage_rows(run.name, run.images.manifest)],
            facts=_facts(opened),
        )
        if leaderboard:
            hashes = {run.name: run.verdicts.content_hash for run in opened}
            write_json(leaderboard, merge_leaderboard(board, data, hashes))
        return _write(data, {name: _in_order(data.cases, name, file) for name, file in thumbnails.items()}, out)


def _board(path: Path | None) -> dict[str, Any] | None:
    """Content of a leaderboard, None if the file does not exist yet."""
    if path is None or not path.exists():
        return None
    try:
        board = read_json(path)
    except StoreError:
        board = None
    if not isinstance(board, dict) or "rows" not in board:
        raise StoreError(f"{path} is not a leaderboard; choose another file")
    return board


def _write(data: Comparison, thumbnails: Mapping[str, Iterator[str]], out: Path) -> dict[str, Any]:
    write_json(out / "compare.json", compare_json(data))
    write_text(out / "compare.md", compare_markdown(data))
    write_text(out / "compare.csv", compare_csv(data))
    write_pieces(out / "compare.html", (piece.encode() for piece in compare_page(data, thumbnails)))
    found = {"page": str(out / "compare.html"), "headline": headline(data)}
    return {**found, "models": dict(data.models), "flags": list(data.flags)}


def _named(runs: Sequence[Path] | Mapping[str, Path]) -> dict[str, Path]:
    """Folders by model name; raises ``InputError`` if two names are equal or there is no run."""
    if isinstance(runs, Mapping):
        return dict(runs)
    names = [path.resolve().name for path in runs]
    if not names or len(set(names)) < len(names):
        raise InputError(f"models are named after their folders and need different names, got {names}; rename a folder")
    return dict(zip(names, runs, strict=True))


def _open(name: str, folder: Path, judge: str | None, seeds: Sequence[int] | None) -> _Run:
    """A run with its verdicts and images, of some seeds or all; raises as ``open_judged``."""
    run = open_judged(verdicts_of(folder, judge))
    verdicts, known = run.verdicts, list(cast("Sequence[int]", run.images.manifest.config["seeds"]))
    if seeds is not None:
        rows = [row for row in verdicts.rows if row.seed in seeds]
        verdicts, known = VerdictStore(verdicts.root, verdicts.manifest, rows), [one for one in known if one in seeds]
    return _Run(name=name, folder=folder, verdicts=verdicts, images=run.images, seeds=known)


def _same_question(runs: Sequence[_Run]) -> None:
    """Raise ``InputError`` unless prompts, seeds and judge agree."""
    first = runs[0]
    for run in runs[1:]:
        faults = [] if run.config.get("suite") == first.config.get("suite") else ["suite"]
        faults += ["seeds"] if run.seeds != first.seeds else []
        faults += ["judge"] if run.judge["fingerprint"] != first.judge["fingerprint"] else []
        if faults:
            raise InputError(
                f"{run.name} and {first.name} differ in {', '.join(faults)}; compare runs of the same prompts, seeds "
                "and judge"
            )


def _flags(run: _Run, unrated: bool) -> list[str]:
    """Warnings about one run; ``unrated``: there are ratings, but none of its images."""
    manifests = ancestors(run.verdicts.manifest)
    found = [f"{run.name}: none of its images is rated."] if unrated else []
    if any(manifest.notes.get(UNKNOWN_LINEAGE) for manifest in manifests):
        found.append(f"{run.name}: its training data is unknown, so the judge may have picked it.")
    if missing := int(str(run.images.manifest.notes.get(MISSING, 0))):
        found.append(f"{run.name}: {missing} images of its prompts and seeds are missing; its rates are over the rest.")
    shared = shared_instruments(run.verdicts.manifest, manifests, _parts(run))
    if shared:
        found.append(f"{run.name}: its judge shares {', '.join(shared)} with what made its training pairs.")
    return found


def _parts(run: _Run) -> set[str]:
    """Names of the judge's components in its settings: a landmarker, a hosted model, members of an ensemble."""
    settings = run.verdicts.manifest.notes.get("settings", {})
    flat = [settings] if isinstance(settings, Mapping) else []
    found: set[str] = {LandmarkSettings().landmarker} if judge_name(run.judge) == "landmarks" else set()
    while flat:
        for value in flat.pop().values():
            found |= {value} if isinstance(value, str) else set()
            found |= {one for one in value if isinstance(one, str)} if isinstance(value, list | tuple) else set()
            flat += [value] if isinstance(value, Mapping) else []
    return found | ({LandmarkSettings().landmarker} if "landmarks" in found else set())


def _calibration(run: _Run) -> dict[str, Any] | None:
    """The judge's calibration, None where it has none."""
    try:
        return calibration_of(run.verdicts.root)
    except StoreError:
        return None


class _Copies:
    """Small copies of the base's images in a temporary file, so that any number of images fits in memory."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._places = file, dict[tuple[str, int], int]()

    def add(self, key: tuple[str, int], image: ByteArray) -> None:
        self._places[key] = len(self._places)
        self._file.write(image.tobytes())

    def get(self, key: tuple[str, int]) -> ByteArray | None:
        """(SMALL, SMALL, 3), None if the base has no such image."""
        if key not in self._places:
            return None
        size = SMALL * SMALL * 3
        self._file.seek(self._places[key] * size)
        return np.frombuffer(self._file.read(size), np.uint8).reshape(SMALL, SMALL, 3)


def _read_images(run: _Run, base: _Run, copies: _Copies, thumbnails: IO[str]) -> PixelDrift:
    """Compare each image of a run with the base's and write its thumbnail as one line; one image is in memory."""
    drift, persons = PixelDrift(), {row.key: row for row in base.verdicts.rows}
    for row in run.verdicts.rows:
        image = run.image(row)
        thumbnails.write(_thumbnail(image) + "\n")
        small = _square(image)
        if run is base:
            copies.add(row.key, small)
        against = small if run is base else copies.get(row.key)
        if against is not None:
            drift.update(row.prompt_id, small, against, person_mask(row), person_mask(persons[row.key]))
    return drift


def _square(image: ByteArray) -> ByteArray:
    """(SMALL, SMALL, 3)."""
    if image.shape[:2] == (SMALL, SMALL):
        return image
    return np.array(Image.fromarray(image).resize((SMALL, SMALL), Image.Resampling.BOX))


def _thumbnail(image: ByteArray) -> str:
    """Base64 of a WebP of at most ``THUMBNAIL`` pixels a side."""
    small, buffer = Image.fromarray(image), io.BytesIO()
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    small.save(buffer, format="WEBP", quality=80)
    return base64.b64encode(buffer.getvalue()).decode()


def _in_order(cases: Sequence[Case], model: str, thumbnails: IO[str]) -> Iterator[str]:
    """The thumbnail of each case, empty where the model has no image."""
    thumbnails.seek(0)
    for case in cases:
        yield thumbnails.readline().rstrip("\n") if model in case.verdicts else ""


def _is_rated(rows: Sequence[Judged]) -> bool:
    return any(row.rating is not None for row in rows)


def _outside(run: _Run, rows: Sequence[Judged], calibration: Mapping[str, Any] | None) -> str:
    """Why the judge gives no rate of the run, whose images it was not made for; empty if it does.

    Raises:
        InputError: nobody rated the images either, so there is nothing to show.
    """
    if run.made_for is None or run.made_for.made_for(run.domain):
        return ""
    name = judge_name(run.judge)
    if not _is_rated(rows):
        measured = _calibrated_on(calibration) if calibration else run.made_for.text
        raise InputError(
            f"the judge {name} is calibrated on {measured}, and {run.name} holds {run.domain.text}: there it gives no "
            "AER; rate some of the images blind with `asap bench rate` and compare again with --ratings, or use "
            "another judge"
        )
    return f"no rate: outside the domain of the judge {name}"


def _calibrated_on(calibration: Mapping[str, Any] | None) -> str:
    """The domains of a calibration in words."""
    found = calibration or {}
    return domain_text([*read_domains(found.get("rated")), *read_domains(found)])


def _judge(runs: Sequence[_Run], calibration: Mapping[str, Any] | None) -> dict[str, Any]:
    """The judge, the domain of its calibration, and whether that holds for every run."""
    covered = calibration is not None and all(measured_rates(calibration, run.domain) for run in runs)
    return {
        "name": judge_name(runs[0].judge),
        "fingerprint": str(runs[0].judge["fingerprint"]),
        "domain": _calibrated_on(calibration),
        "in_domain": covered,
        "images": domain_text(run.domain for run in runs),
    }


def _preferences(runs: Sequence[_Run], answers: Answers) -> dict[str, dict[str, Any]]:
    """How raters prefer each run to the base, where they saw two images of a place side by side."""
    base = {row.key: row.digest for row in runs[0].images.rows if row.seed in runs[0].seeds}
    found = {}
    for run in runs[1:]:
        rows = [row for row in run.images.rows if row.key in base]
        votes = [answers.votes(row.digest, base[row.key]) for row in rows]
        if any(votes):
            found[run.name] = preference(votes, [row.prompt_id for row in rows])
    return found


def _masked(summary: dict[str, Any], outside: str) -> dict[str, Any]:
    """The summary without the numbers that rest on verdicts, outside the judge's domain or if it failed too often."""
    if not outside and (summary["aer"]["value"] is not None or not summary["errors"]):
        return summary
    none = {"value": None, "ci": None, "n": summary["n"]}
    paired = {**summary["paired"], "difference": none, "relative_reduction": none}
    paired |= {"mcnemar_p": None, "mcnemar_p_clustered": None, "bootstrap_p": None}
    strength = {**summary["rsi"], **none, "win_rate": none}
    masked: dict[str, Any] = {"aer_corrected": none, "aer_corrected_by_prompt": none, "paired": paired, "rsi": strength}
    masked |= {"by_category": {}, "not_visible": {**none, "by_part": {}}}
    if outside:
        masked |= {"aer": {**summary["aer"], **none, "ci_wilson": None, "count": None, "note": outside}}
        masked |= {"aer_by_prompt": dict.fromkeys(summary["aer_by_prompt"], none)}
        masked |= {"drift": {**summary["drift"], "attributes": {}}, "win": 0, "tie": 0, "lose": 0}
    return {**summary, **masked}


def _without_rate(models: Mapping[str, Mapping[str, Any]], base: str) -> list[str]:
    """Models without a rate."""
    found = [f"{name}: {row['aer']['note']}." for name, row in models.items() if row["aer"].get("note")]
    if models[base]["aer"]["value"] is None and models[base]["evidence"]["aer"]["value"] is None:
        found.append(f"{base} has no rate, so no model can be compared with it.")
    return found


def _quality(run: _Run) -> dict[str, Any]:
    """Measures of preserved quality stored beside the images; empty if not measured."""
    return read_quality(quality_file(run.images.root), run.images.content_hash)


def _finished(folder: Path) -> list[Path]:
    """Verdicts of a run that are whole."""
    return [path for path in verdict_folders(folder) if (path / "manifest.json").is_file()]


def _agreement(run: _Run, seed: int) -> dict[str, Any]:
    """Agreement of the votes, raters or members behind the verdicts, and of the run's judges if there are several."""
    details = [(row.prompt_id, row.extra.get("details", {})) for row in run.verdicts.rows]
    found = agreement(details, generator(seed, "agreement"))
    judges = {path.name: VerdictStore.open(path) for path in _finished(run.folder) if path.name != "ensemble"}
    of_these = str(run.verdicts.manifest.config["generations"])
    judges = {name: one for name, one in judges.items() if one.manifest.config["generations"] == of_these}
    if len(judges) > 1:
        verdicts = [{row.key: row.fails for row in one.rows if row.seed in run.seeds} for one in judges.values()]
        keys = sorted(set().union(*verdicts))
        answers = [[one.get(key) for one in verdicts] for key in keys]
        alpha = krippendorff_alpha(answers, generator(seed, "judges"), [key[0] for key in keys])
        found["judges"] = {**alpha.to_json(), "by": sorted(judges)}
    return found


def _cases(judged: Mapping[str, Sequence[Judged]]) -> list[Case]:
    """Every prompt and seed that any model has, in order."""
    tables = {name: {row.outcome.key: row for row in rows} for name, rows in judged.items()}
    first = {key: row for table in tables.values() for key, row in table.items()}
    return [
        Case(
            prompt_id=row.prompt_id,
            prompt=row.prompt,
            category=row.category,
            seed=row.seed,
            verdicts={name: table[key] for name, table in tables.items() if key in table},
        )
        for key, row in sorted(first.items(), key=lambda item: item[0])
    ]


def _suite(run: _Run, rows: Sequence[Judged]) -> dict[str, Any]:
    return {
        "name": str(run.config.get("suite_name", "")),
        "digest": str(run.config["suite"]),
        "seeds": run.seeds,
        "prompts": len({row.prompt_id for row in rows}),
    }


def _facts(runs: Sequence[_Run]) -> dict[str, str]:
    """Hashes and versions of the foot."""
    found = {f"verdicts on {run.name}": run.verdicts.content_hash[:16] for run in runs}
    found |= {f"images of {run.name}": run.images.content_hash[:16] for run in runs}
    return found | environment()
