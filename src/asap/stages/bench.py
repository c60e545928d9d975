"""One model over one suite with one judge: RUN/pictures, RUN/verdicts/JUDGE."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from asap.backbones.family import LoadOptions
from asap.core.errors import InputError, StoreError
from asap.stages.generate import generate
from asap.stages.judge import run as judge_pictures
from asap.stages.pictures import import_pictures
from asap.stages.ranks import ranks

__all__ = ["PICTURES", "VERDICTS", "run", "verdicts_of"]

Report = Callable[[str], None]
PICTURES: Final = "pictures"
VERDICTS: Final = "verdicts"


def run(
    out: Path,
    *,
    suite: str | Path,
    judge: str | Path | None = None,
    model: str = "mini",
    lora: Path | None = None,
    images: Path | None = None,
    seeds: int | Sequence[int] = 4,
    steps: int | None = None,
    guidance: float | None = None,
    batch: int = 16,
    limit: int | None = None,
    loading: LoadOptions | None = None,
    foreign: bool = False,
    report: Report = lambda _: None,
) -> dict[str, Any]:
    """Draw a suite with a model, or take in pictures made elsewhere, and judge them; goes on where it was stopped.

    Args:
        out: the run's folder; its name is the model's in comparisons.
        suite: a suite's name or a path.
        judge: ``learned``, or a judge's folder; None only draws, for judges that are run by `asap judge run`.
        model: known name or pipeline folder, or the label of ``images``.
        lora: what was trained on it, or None.
        images: a folder of pictures made elsewhere; nothing is drawn then.
        seeds: how many (0 to N-1) or which; the same for every model that will be compared.
        steps: sampler steps; the model's own if None.
        guidance: guidance scale; the model's own if None.
        batch: pictures at a time.
        limit: take only this many prompts of each category.
        loading: where and in which numbers the model is loaded, and which version of it.
        foreign: the LoRA may be one of which nobody knows what it was trained on.
        report: is given a line now and then.

    Returns:
        The folders made; empty on all processes but the first.

    Raises:
        InputError: as ``generate``, ``import_pictures`` and ``judge.run``; or a LoRA for pictures made elsewhere.
    """
    if images is not None:
        if lora is not None:
            raise InputError("pictures made elsewhere take no LoRA; leave one of --images and --lora out")
        import_pictures(out / PICTURES, images, suite=suite, name=out.resolve().name, limit=limit, report=report)
    else:
        generate(
            out / PICTURES, model=model, adapter=lora, suite=suite, seeds=seeds, steps=steps, guidance=guidance,
            batch=batch, limit=limit, loading=loading, foreign=foreign, report=report,
        )  # fmt: skip
    if ranks().rank:
        return {}
    done: dict[str, Any] = {"run": str(out), "pictures": str(out / PICTURES)}
    if judge is not None:
        target = out / VERDICTS / Path(judge).name
        done["verdicts"] = str(judge_pictures(out / PICTURES, target, judge=judge, report=report))
    return done


def verdicts_of(folder: Path, judge: str | None) -> Path:
    """The verdicts of a run, by the judge of that name; or the folder itself where it is one of verdicts.

    Raises:
        StoreError: there are none.
        InputError: there are several and ``judge`` does not say which.
    """
    if (folder / "verdicts.jsonl").is_file():
        return folder
    found = sorted(path.parent for path in folder.glob(f"{VERDICTS}/*/verdicts.jsonl"))
    found += [folder / VERDICTS] if (folder / VERDICTS / "verdicts.jsonl").is_file() else []
    named = [path for path in found if judge is None or path.name == judge]
    if not named:
        raise StoreError(
            f"{folder} has no verdicts{f' of {judge}' if judge else ''}; judge it with `asap bench run --judge` or "
            f"`asap judge run --generations {folder / PICTURES} --out {folder / VERDICTS}/JUDGE`"
        )
    if len(named) > 1:
        raise InputError(f"{folder} has verdicts of {', '.join(path.name for path in named)}; say which with --judge")
    return named[0]
