"""One model over one suite with one judge: RUN/pictures, RUN/verdicts/JUDGE."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from asap.backbones.family import LoadOptions
from asap.core.errors import InputError, StoreError
from asap.workflows.evaluation.generate import generate
from asap.workflows.evaluation.images import import_images
from asap.workflows.evaluation.quality import Measures, measure_quality
from asap.workflows.evaluation.run_judge import estimate, fit_judge, work_of
from asap.workflows.evaluation.run_judge import run as judge_images
from asap.workflows.runtime.distributed import World
from asap.workflows.runtime.lineage import trained_parent

__all__ = ["PICTURES", "VERDICTS", "run", "verdict_folders", "verdicts_of"]

Report = Callable[[str], None]
PICTURES: Final = "pictures"
VERDICTS: Final = "verdicts"
SEEDS: Final = 4
"""Images a prompt; the same for every model that will be compared."""


def run(
    out: Path,
    *,
    suite: str | Path,
    judge: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    calibration: Path | None = None,
    model: str = "mini",
    lora: Path | None = None,
    images: Path | None = None,
    limit: int | None = None,
    quality: Measures | None = None,
    report: Report = lambda _: None,
    **drawing: Any,  # noqa: ANN401  (handed on)
) -> dict[str, Any]:
    """Draw a suite with a model, or take in images made elsewhere, and judge them; goes on where it was stopped.

    A judge that cannot be had, or may not mark this model, is reported before any image is generated.

    Args:
        out: the run's folder; its name is the model's in comparisons.
        suite: a suite's name or a path.
        judge: a judge's name, or the folder of a learned one; None only draws.
        settings: of the judge.
        calibration: what `asap judge calibrate` made of it; the learned judge has its own.
        model: known name or pipeline folder, or the label of ``images``.
        lora: what was trained on it, or None.
        images: a folder of images made elsewhere; nothing is drawn then.
        limit: take only this many prompts of each category.
        quality: measures of preserved quality to take of the images.
        report: is given a line now and then.
        drawing: what else ``generate`` takes: seeds (4), steps, guidance, batch, loading
            (whose device is the learned judge's, too), foreign.

    Returns:
        The folders made; empty on all processes but the first.

    Raises:
        InputError: as ``generate``, ``import_images`` and ``judge.run``; or a LoRA for images made elsewhere.
    """
    if images is not None and lora is not None:
        raise InputError("images made elsewhere take no LoRA; leave one of --images and --lora out")
    generations, target = out / PICTURES, out / VERDICTS / Path(judge or "").name
    device = drawing.get("loading", LoadOptions()).device
    if judge is not None:
        upstream = trained_parent(lora, foreign=bool(drawing.get("foreign")))[1] if lora else []
        fit_judge(judge, settings, calibration=calibration, upstream=upstream, work=work_of(target), device=device)
    if images is not None:
        import_images(generations, images, suite=suite, name=out.resolve().name, limit=limit, report=report)
    else:
        how = {"seeds": SEEDS, **drawing}
        generate(generations, model=model, adapter=lora, suite=suite, limit=limit, report=report, **how)
    if not World().is_main:
        return {}
    done: dict[str, Any] = {"run": str(out), "pictures": str(generations)}
    if judge is not None:
        done["verdicts"] = str(_judged(generations, target, judge, settings, calibration, device, report))
    if quality is not None:
        done["quality"] = str(measure_quality(generations, quality, report=report))
    return done


def _judged(
    generations: Path,
    target: Path,
    judge: str | Path,
    settings: Mapping[str, Any] | None,
    calibration: Path | None,
    device: str,
    report: Report,
) -> Path:
    """Judge the images; a judge that costs money says how much before."""
    if judge == "vlm":
        estimated = estimate(generations, judge=judge, options=settings, work=work_of(target))
        report(", ".join(f"{name} {value}" for name, value in estimated.items() if value is not None))
    return judge_images(
        generations, target, judge=judge, options=settings, calibration=calibration, device=device, report=report
    )


def verdicts_of(folder: Path, judge: str | None) -> Path:
    """The verdicts of a run, by the judge of that name; or the folder itself where it is one of verdicts.

    Raises:
        StoreError: there are none.
        InputError: there are several and ``judge`` does not say which.
    """
    if (folder / "verdicts.jsonl").is_file():
        return folder
    found = verdict_folders(folder)
    named = [path for path in found if judge is None or path.name == judge]
    if not named and found:
        raise StoreError(f"{folder} has no verdicts of {judge}, but of {', '.join(path.name for path in found)}")
    if not named:
        raise StoreError(
            f"{folder} has no verdicts; judge it with `asap bench run --judge` or "
            f"`asap judge run --generations {folder / PICTURES} --out {folder / VERDICTS}/JUDGE`"
        )
    if len(named) > 1:
        raise InputError(f"{folder} has verdicts of {', '.join(path.name for path in named)}; say which with --judge")
    return named[0]


def verdict_folders(folder: Path) -> list[Path]:
    """The verdicts of a run, of every judge; unfinished ones, too."""
    found = sorted(path.parent for path in folder.glob(f"{VERDICTS}/*/verdicts.jsonl"))
    return found + ([folder / VERDICTS] if (folder / VERDICTS / "verdicts.jsonl").is_file() else [])
