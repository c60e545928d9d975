"""Judged runs to one comparison: HTML, JSON, Markdown, CSV, and a leaderboard."""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from asap.benchmark.agreement import agreement, krippendorff_alpha
from asap.benchmark.correction import Measured
from asap.benchmark.judge import measured_rates
from asap.benchmark.lineage import refuse_own_examiner, shared_instruments
from asap.benchmark.report import (
    Case,
    CompareData,
    Tile,
    compare_csv,
    compare_json,
    compare_markdown,
    compare_page,
    merge_leaderboard,
)
from asap.benchmark.summary import Judged, summarize
from asap.core.errors import InputError, StoreError
from asap.core.files import make_folder, read_json, write_json, write_text
from asap.core.manifest import environment
from asap.core.records import ByteArray
from asap.core.seeds import generator
from asap.stores.generations import GenerationStore
from asap.stores.verdicts import VerdictRow, VerdictStore
from asap.workflows.evaluation.bench import verdict_folders, verdicts_of
from asap.workflows.evaluation.images import MISSING
from asap.workflows.evaluation.judges.landmarks import LandmarkSettings
from asap.workflows.evaluation.metrics import calibration_of, generations_of
from asap.workflows.evaluation.quality import quality_file, read_quality
from asap.workflows.runtime.lineage import UNKNOWN_LINEAGE, ancestors

__all__ = ["compare"]

Report = Callable[[str], None]
THUMB: Final = 192
"""Longest side of a thumbnail in pixels."""
SMALL: Final = 128
"""Side of the copies that changes between models are measured on, so that any number of images fits in memory."""


@dataclass(frozen=True, kw_only=True)
class _Run:
    """One run, opened."""

    name: str
    folder: Path
    verdicts: VerdictStore
    pictures: GenerationStore

    @property
    def config(self) -> Mapping[str, Any]:
        """Of the images."""
        return self.pictures.manifest.config

    @property
    def judge(self) -> Mapping[str, Any]:
        """Settings of the verdicts."""
        return self.verdicts.manifest.config


def compare(
    runs: Sequence[Path] | Mapping[str, Path],
    out: Path,
    *,
    judge: str | None = None,
    leaderboard: Path | None = None,
    title: str = "HAF-Bench",
    seed: int = 0,
    report: Report = lambda _: None,
) -> dict[str, Any]:
    """Write ``compare.html``, ``.json``, ``.md`` and ``.csv`` to ``out``; returns the models' numbers and the page.

    Args:
        runs: folders of `asap bench run`, or of verdicts; the first is the base. A list is named after its folders.
        out: folder of the comparison.
        judge: whose verdicts, where a run has several.
        leaderboard: a file to merge the rows into.
        title: heading.
        seed: of the bootstraps.
        report: is given a line now and then.

    Raises:
        InputError: other prompts, seeds or judges, equal names, or a judge that shares an instrument with the pairs.
        StoreError: a run cannot be read.
    """
    opened = [_open(name, path, judge) for name, path in _named(runs).items()]
    _same_question(opened)
    make_folder(out)  # before minutes of reading
    board = _board(leaderboard)
    flags = [flag for run in opened for flag in _flags(run)]
    rates = _rates(opened[0])
    if rates is None:
        flags.append("The judge has not been measured, so nothing is corrected; see `asap judge calibrate`.")
    judged: dict[str, list[Judged]] = {}
    tiles: dict[str, dict[tuple[str, int], Tile]] = {}
    for run in opened:
        judged[run.name], tiles[run.name] = _read(run)
        report(f"compare {run.name}: {len(judged[run.name])} images")
    base = judged[opened[0].name]
    models = {name: _masked(summarize(rows, base, rates, seed=seed)) for name, rows in judged.items()}
    flags += _thin(models, opened[0].name)
    data = CompareData(
        title=title,
        base=opened[0].name,
        models=models,
        quality={run.name: _quality(run) for run in opened},
        agreement={run.name: _agreement(run, seed) for run in opened},
        cases=_cases(judged, tiles),
        judge=_judge(opened[0], calibrated=rates is not None),
        suite=_suite(opened[0], base),
        flags=flags,
        facts=_facts(opened),
    )
    if leaderboard is not None:
        hashes = {run.name: run.verdicts.content_hash for run in opened}
        write_json(leaderboard, merge_leaderboard(board, data, hashes))
    return _write(data, out)


def _board(path: Path | None) -> dict[str, Any] | None:
    """What a leaderboard holds, None where there is none yet."""
    if path is None or not path.exists():
        return None
    try:
        board = read_json(path)
    except StoreError:
        board = None
    if not isinstance(board, dict) or "rows" not in board:
        raise StoreError(f"{path} is no leaderboard; name another file")
    return board


def _write(data: CompareData, out: Path) -> dict[str, Any]:
    write_json(out / "compare.json", compare_json(data))
    write_text(out / "compare.md", compare_markdown(data))
    write_text(out / "compare.csv", compare_csv(data))
    write_text(out / "compare.html", compare_page(data))
    return {"page": str(out / "compare.html"), "models": dict(data.models), "flags": list(data.flags)}


def _named(runs: Sequence[Path] | Mapping[str, Path]) -> dict[str, Path]:
    """Names of runs; raises ``InputError`` where two are equal or there is none."""
    if isinstance(runs, Mapping):
        return dict(runs)
    names = [path.resolve().name for path in runs]
    if not names or len(set(names)) < len(names):
        raise InputError(f"models are named after their folders and need different names, got {names}; rename a folder")
    return dict(zip(names, runs, strict=True))


def _open(name: str, folder: Path, judge: str | None) -> _Run:
    """A run with its images, after looking at who judged."""
    verdicts = VerdictStore.open(verdicts_of(folder, judge))
    pictures = GenerationStore.open(generations_of(verdicts.manifest))
    if pictures.content_hash != verdicts.manifest.config["generations"]:
        raise StoreError(f"{pictures.root} is no longer what {verdicts.root} judged; judge it again")
    config, taught_on = verdicts.manifest.config, verdicts.manifest.config.get("taught_on")
    refuse_own_examiner(
        str(config["fingerprint"]),
        ancestors(verdicts.manifest),
        taught_on=None if taught_on is None else str(taught_on),
        name=_judge_name(config),
    )
    return _Run(name=name, folder=folder, verdicts=verdicts, pictures=pictures)


def _judge_name(config: Mapping[str, Any]) -> str:
    """What a judge is called: of a folder, its name."""
    return Path(str(config["judge"])).name


def _same_question(runs: Sequence[_Run]) -> None:
    """Raise ``InputError`` unless prompts, seeds and judge agree."""
    first = runs[0]
    for run in runs[1:]:
        faults = [name for name in ("suite", "seeds") if run.config.get(name) != first.config.get(name)]
        faults += ["judge"] if run.judge["fingerprint"] != first.judge["fingerprint"] else []
        if faults:
            raise InputError(
                f"{run.name} and {first.name} have another {', '.join(faults)}; compare runs of the same prompts, "
                "seeds and judge"
            )


def _flags(run: _Run) -> list[str]:
    """What a reader must know of one run."""
    manifests, found = ancestors(run.verdicts.manifest), []
    if any(manifest.notes.get(UNKNOWN_LINEAGE) for manifest in manifests):
        found.append(
            f"{run.name}: nobody knows what it was trained on, so the judge may have picked its training data."
        )
    if missing := int(str(run.pictures.manifest.notes.get(MISSING, 0))):
        found.append(f"{run.name}: {missing} images of its prompts and seeds are missing; rates are of the others.")
    shared = shared_instruments(run.verdicts.manifest, manifests, _parts(run))
    if shared:
        found.append(f"{run.name}: its judge shares {', '.join(shared)} with what made its training pairs.")
    return found


def _parts(run: _Run) -> set[str]:
    """Names of what the judge is made of, as far as its settings say: a landmarker, a hosted model, members."""
    settings = run.verdicts.manifest.notes.get("settings", {})
    flat = [settings] if isinstance(settings, Mapping) else []
    found: set[str] = {LandmarkSettings().landmarker} if _judge_name(run.judge) == "landmarks" else set()
    while flat:
        for value in flat.pop().values():
            found |= {value} if isinstance(value, str) else set()
            found |= {one for one in value if isinstance(one, str)} if isinstance(value, list | tuple) else set()
            flat += [value] if isinstance(value, Mapping) else []
    return found | ({LandmarkSettings().landmarker} if "landmarks" in found else set())


def _rates(run: _Run) -> tuple[Measured, Measured] | None:
    """The judge's measured sensitivity and specificity, None where nobody has measured them."""
    try:
        return measured_rates(calibration_of(run.verdicts.root))
    except StoreError:
        return None


def _read(run: _Run) -> tuple[list[Judged], dict[tuple[str, int], Tile]]:
    """Each verdict with a small copy of its image, and its thumbnail; one full image is in memory at a time."""
    judged, tiles = [], {}
    for row in run.verdicts.rows:
        picture = run.pictures.get(row.prompt_id, row.seed)
        image = run.pictures.image(picture)
        error, hidden = bool(row.extra.get("error", False)), tuple(row.extra.get("not_visible", ()))
        chance = row.extra.get("probability")
        judged.append(
            Judged(
                prompt_id=row.prompt_id,
                seed=row.seed,
                prompt=picture.prompt,
                category=row.category,
                image=_square(image),
                fails=row.fails,
                probability=None if chance is None else float(chance),
                wanted_parts=tuple(picture.extra.get("parts", ())),
                hidden_parts=hidden,
                wanted=dict(picture.extra.get("attributes", {})),
                seen=row.attributes,
                person=_person(row),
                error=error,
            )
        )
        tiles[row.key] = Tile(
            thumb=_thumb(image),
            fails=row.fails,
            error=error,
            probability=None if chance is None else float(chance),
            reason=_reason(row),
            hidden=hidden,
        )
    return judged, tiles


def _person(row: VerdictRow) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Where a person is, (0, 0) if the judge does not say."""
    cells = np.frombuffer(base64.b64decode(row.extra.get("person", "")), dtype=np.uint8)
    grid = round(len(cells) ** 0.5)
    return np.asarray(cells.reshape(grid, grid) / 255, dtype=np.float32)


def _square(image: ByteArray) -> ByteArray:
    """(SMALL, SMALL, 3)."""
    if image.shape[:2] == (SMALL, SMALL):
        return image
    return np.array(Image.fromarray(image).resize((SMALL, SMALL), Image.Resampling.BOX))


def _thumb(image: ByteArray) -> str:
    """Base64 of a WebP of at most ``THUMB`` pixels a side."""
    small, buffer = Image.fromarray(image), io.BytesIO()
    small.thumbnail((THUMB, THUMB))
    small.save(buffer, format="WEBP", quality=80)
    return base64.b64encode(buffer.getvalue()).decode()


def _reason(row: VerdictRow) -> str:
    """The judge's words; from one that gives none, the parts that it finds most likely wrong."""
    if row.extra.get("reason"):
        return str(row.extra["reason"])
    if not row.fails:
        return ""
    seen = [(one["wrong"], part) for part, one in row.parts.items() if one.get("visible", 0) >= 0.5 and "wrong" in one]
    named = [f"{part} {100 * chance:.0f} %" for chance, part in sorted(seen, reverse=True)[:2]]
    return "most likely wrong: " + ", ".join(named) if named else ""


def _masked(summary: dict[str, Any]) -> dict[str, Any]:
    """Without any number that rests on verdicts, where the judge failed too often for a rate."""
    if summary["aer"]["value"] is not None or not summary["errors"]:
        return summary
    none = {"value": None, "ci": None, "n": summary["n"]}
    paired = {**summary["paired"], "difference": none, "relative_reduction": none}
    paired |= {"mcnemar_p": None, "mcnemar_p_clustered": None, "bootstrap_p": None}
    strength = {**summary["rsi"], **none, "win_rate": none}
    masked = {"aer_corrected": none, "aer_corrected_by_prompt": none, "paired": paired, "rsi": strength}
    return {**summary, **masked, "by_category": {}, "not_visible": {**none, "by_part": {}}}


def _thin(models: Mapping[str, Mapping[str, Any]], base: str) -> list[str]:
    """Models without a rate."""
    found = [f"{name}: {row['aer']['note']}." for name, row in models.items() if row["aer"].get("note")]
    if models[base]["aer"]["value"] is None:
        found.append(f"{base} has no rate, so no model can be compared with it.")
    return found


def _quality(run: _Run) -> dict[str, Any]:
    """Measures of preserved quality that lie beside the images, none where nobody measured them."""
    return read_quality(quality_file(run.pictures.root), run.pictures.content_hash)


def _finished(folder: Path) -> list[Path]:
    """Verdicts of a run that are whole."""
    return [path for path in verdict_folders(folder) if (path / "manifest.json").is_file()]


def _agreement(run: _Run, seed: int) -> dict[str, Any]:
    """How far those agree who stand behind the verdicts, and the judges of the run where there are several."""
    details = [(row.prompt_id, row.extra.get("details", {})) for row in run.verdicts.rows]
    found = agreement(details, generator(seed, "agreement"))
    judges = {path.name: VerdictStore.open(path) for path in _finished(run.folder) if path.name != "ensemble"}
    of_these = str(run.verdicts.manifest.config["generations"])
    judges = {name: one for name, one in judges.items() if one.manifest.config["generations"] == of_these}
    if len(judges) > 1:
        said = [{row.key: row.fails for row in one.rows} for one in judges.values()]
        keys = sorted(set().union(*said))
        answers = [[one.get(key) for one in said] for key in keys]
        alpha = krippendorff_alpha(answers, generator(seed, "judges"), [key[0] for key in keys])
        found["judges"] = {**alpha.to_json(), "by": sorted(judges)}
    return found


def _cases(judged: Mapping[str, Sequence[Judged]], tiles: Mapping[str, Mapping[tuple[str, int], Tile]]) -> list[Case]:
    """Every prompt and seed that any model has, in order."""
    known = {(row.prompt_id, row.seed): row for rows in judged.values() for row in rows}
    return [
        Case(
            prompt_id=row.prompt_id,
            prompt=row.prompt,
            category=row.category,
            seed=row.seed,
            tiles={name: table[key] for name, table in tiles.items() if key in table},
        )
        for key, row in sorted(known.items())
    ]


def _judge(run: _Run, *, calibrated: bool) -> dict[str, Any]:
    return {
        "name": _judge_name(run.judge),
        "fingerprint": str(run.judge["fingerprint"]),
        "calibrated": calibrated,
    }


def _suite(run: _Run, rows: Sequence[Judged]) -> dict[str, Any]:
    return {
        "name": str(run.config.get("suite_name", "")),
        "digest": str(run.config["suite"]),
        "seeds": list(run.config["seeds"]),
        "prompts": len({row.prompt_id for row in rows}),
    }


def _facts(runs: Sequence[_Run]) -> dict[str, str]:
    """Hashes and versions of the foot."""
    found = {f"verdicts on {run.name}": run.verdicts.content_hash[:16] for run in runs}
    found |= {f"images of {run.name}": run.pictures.content_hash[:16] for run in runs}
    return found | environment()
