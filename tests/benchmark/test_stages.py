"""The whole way on drawn hands and a make-believe generator: train, calibrate, generate, judge, report."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from asap import backbones
from asap.backbones.fingerprint import model_fingerprint
from asap.backbones.protocol import TextCondition
from asap.benchmark.judge import JudgeSpec, weights
from asap.benchmark.suite import SuitePrompt
from asap.core.errors import InputError, StoreError, UnknownNameError
from asap.core.files import write_json
from asap.core.manifest import Instrument, Manifest, Parent
from asap.core.records import Edit, GateResult, PairRecord, SceneTruth
from asap.core.vocabulary import CATEGORIES
from asap.stores.pairs import PairStore, PairWriter
from asap.stores.verdicts import VerdictStore
from asap.workflows.evaluation import generate as generate_stage
from asap.workflows.evaluation import learned as judge_stage
from asap.workflows.evaluation import run_judge as judging
from asap.workflows.evaluation.compare import compare
from asap.workflows.evaluation.judged import open_judged
from asap.workflows.training.judge import JudgeTraining, train
from tests.backbones.fakes import FakeBackbone
from tests.benchmark.conftest import draw_pair

SPEC = JudgeSpec(size=64, widths=(8, 16, 24, 32))


class Fake(FakeBackbone):
    """Images are its latents; what it draws are hands, broken where the seed is odd and it is not aligned."""

    resolution, latent_shape = 64, (3, 64, 64)
    aligned = False

    def denoise(self, x_t: Tensor, t: Tensor, condition: TextCondition) -> Tensor:
        smooth = nn.functional.avg_pool2d(x_t, 3, 1, 1)
        return (x_t - smooth) / t[:, None, None, None]

    def sample(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        *,
        steps: int | None = None,
        guidance: float | None = None,
        height: int | None = None,
        width: int | None = None,
    ) -> np.ndarray[Any, np.dtype[np.uint8]]:
        rows: list[dict[str, Any]] = [draw_pair(seed % 10000, "defect", "x") for seed in seeds]
        broken = [seed % 2 == 1 and not self.aligned for seed in seeds]
        return np.stack([row["rejected" if bad else "chosen"] for row, bad in zip(rows, broken, strict=True)])

    def load_lora(self, folder: Path) -> None:
        del folder
        self.aligned = True


def record(index: int) -> PairRecord:
    row: dict[str, Any] = draw_pair(index, "null_pose" if index % 6 == 0 else "defect", f"p{index // 4}")
    edit = Edit(kind=row["kind"], part="hand", side="left", operation=row["operation"], severity=row["severity"])
    truth = SceneTruth(
        person=row["person"], category="basic_anatomy", caption="a hand", attributes=row["attributes"],
        visible_parts=("hand",), seed=index,
    )  # fmt: skip
    return PairRecord(
        uid=f"{index:08x}", index=index, prompt="a hand", chosen=row["chosen"], rejected=row["rejected"],
        mask=row["mask"], regions=row["regions"], edit=edit, truth=truth, box=(0, 0, 1, 1),
        gates=GateResult(values={}, reasons=()), keypoints=np.zeros((0, 3), np.float32),
        split=("train", "train", "train", "val", "test")[index // 4 % 5], recipe={},
    )  # fmt: skip


def make_pairs(folder: Path, count: int = 240, namespace: str = "judge") -> Path:
    config: dict[str, object] = {"seed": 0, "namespace": namespace}
    with PairWriter(folder, config, count) as writer:
        writer.write_chunk(0, [record(index) for index in range(count)], {}, 1.0)
        writer.finish(Manifest(kind="pairs", config=config))
    return folder


def make_run(folder: Path, manifest: Manifest | None) -> Path:
    """What a training run leaves, as far as generating looks at it."""
    (folder / "adapter").mkdir(parents=True)
    save_file({"a": torch.ones(2)}, str(folder / "adapter" / "lora.safetensors"))
    if manifest:
        manifest.write(folder / "manifest.json")
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A trained and calibrated judge, a suite, and an adapter with its lineage."""
    root = tmp_path_factory.mktemp("world")
    patch = pytest.MonkeyPatch()
    patch.setattr(judge_stage, "load", lambda *_: Fake())
    pairs = make_pairs(root / "pairs")
    settings = JudgeTraining(window_epochs=4, epochs=16, batch=16)
    train(root / "judge", pairs=pairs, model="fake", settings=settings, spec=SPEC)
    judge_stage.calibrate(root / "judge", pairs=pairs, model="fake")
    patch.undo()
    prompts = [
        SuitePrompt(id=f"{name}-{i}", prompt=f"{name} {i}", category=name, parts=("hand",), attributes={"skin": "dark"})
        for name in CATEGORIES
        for i in range(4)
    ]
    write_json(root / "suite.json", {"prompts": [asdict(row) for row in prompts]})
    make_run(root / "run", Manifest(kind="trained"))
    return {"root": root, "judge": root / "judge", "suite": root / "suite.json", "run": root / "run", "pairs": pairs}


@pytest.fixture(autouse=True)
def _fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge_stage, "load", lambda *_: Fake())
    monkeypatch.setattr(generate_stage, "load", lambda *_: Fake())


def judged(world: dict[str, Path], out: Path, adapter: Path | None = None) -> Path:
    pictures = generate_stage.generate(
        out / "pictures", model="fake", adapter=adapter, suite=world["suite"], seeds=2, batch=7
    )
    return judging.run(pictures, out / "verdicts", judge=world["judge"])


def test_calibration_is_kept_with_the_judge_and_counts_the_held_out(world: dict[str, Path]) -> None:
    found = judge_stage.calibrate(world["judge"])
    assert found["held_out_operations"] == ["split", "twisted"]
    assert set(found["by_operation"]) == {"extra", "split"}
    assert found["by_operation"]["split"]["held_out"]
    assert found["auroc"]["value"] > 0.8
    learned = json.loads((world["judge"] / "judge.json").read_text())
    assert learned["notes"]["training_pairs"] < 240 * 3 / 5


def test_training_again_goes_on_from_what_is_there(world: dict[str, Path]) -> None:
    settings = JudgeTraining(window_epochs=4, epochs=16, batch=16)
    found = train(world["judge"], pairs=world["pairs"], model="fake", settings=settings, spec=SPEC)
    assert found["fingerprint"] == judge_stage.calibrate(world["judge"])["fingerprint"]
    with pytest.raises(InputError, match="another"):
        train(world["judge"], pairs=world["pairs"], model="other", settings=settings, spec=SPEC)


def test_from_pictures_to_page(world: dict[str, Path], tmp_path: Path) -> None:
    base, aligned = judged(world, tmp_path / "base"), judged(world, tmp_path / "aligned", world["run"])
    found = compare({"base": base, "asap": aligned}, tmp_path / "out", pairs=world["pairs"])
    numbers = found["models"]["asap"]
    assert numbers["aer"]["value"] < found["models"]["base"]["aer"]["value"] - 0.2
    assert numbers["paired"]["difference"]["ci"][1] < 0
    assert numbers["aer_corrected"]["value"] is None, "the judge is calibrated on renders, not on generated images"
    assert Path(found["page"]).read_text().startswith("<!DOCTYPE html>")
    written = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert written["models"]["asap"]["aer"] == numbers["aer"]
    assert written["calibration"]["fingerprint"] == written["judge"]["fingerprint"]
    assert "| asap |" in (tmp_path / "out" / "compare.md").read_text()


def test_stopped_runs_go_on(world: dict[str, Path], tmp_path: Path) -> None:
    def stop(line: str) -> None:
        raise KeyboardInterrupt

    how: dict[str, Any] = {"model": "fake", "suite": world["suite"], "seeds": 2, "batch": 7}
    with pytest.raises(KeyboardInterrupt):
        generate_stage.generate(tmp_path / "cut" / "pictures", report=stop, **how)
    cut, whole = judged(world, tmp_path / "cut"), judged(world, tmp_path / "whole")
    assert VerdictStore.open(cut).content_hash == VerdictStore.open(whole).content_hash
    with pytest.raises(InputError):
        generate_stage.generate(tmp_path / "cut" / "pictures", **{**how, "seeds": 3})


def test_a_model_whose_pairs_the_judge_picked_is_refused(world: dict[str, Path], tmp_path: Path) -> None:
    fingerprint = judge_stage.calibrate(world["judge"])["fingerprint"]
    run = tmp_path / "run"
    gate = Instrument("pair_gate", "learned", fingerprint)
    make_run(run, Manifest(kind="trained", instruments=(gate,)))
    with pytest.raises(InputError, match="worthless"):
        judged(world, tmp_path / "out", run)
    assert not (tmp_path / "out" / "verdicts").exists()


def lesson_run(world: dict[str, Path], folder: Path) -> Path:
    """A run that was aligned with the judge's own training pairs."""
    parent = Parent("pairs", str(world["pairs"]), PairStore.open(world["pairs"]).content_hash)
    return make_run(folder, Manifest(kind="trained", parents=(parent,)))


def test_a_model_aligned_with_the_judges_lessons_is_refused(world: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="was trained on the pairs"):
        judged(world, tmp_path / "out", lesson_run(world, tmp_path / "run"))
    assert not (tmp_path / "out" / "verdicts").exists()
    shutil.rmtree(tmp_path / "run")  # the images remember it, though their run is gone
    with pytest.raises(InputError, match="was trained on the pairs"):
        judging.run(tmp_path / "out" / "pictures", tmp_path / "out" / "verdicts", judge=world["judge"])


def test_a_comparison_refuses_verdicts_of_such_a_judge(
    world: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "refuse_own_examiner", lambda *_, **__: None)
    verdicts = judged(world, tmp_path / "out", lesson_run(world, tmp_path / "run"))
    with pytest.raises(InputError, match="was trained on the pairs"):
        open_judged(verdicts)


def test_a_judge_wants_people_of_its_own(tmp_path: Path) -> None:
    pairs = make_pairs(tmp_path / "pairs", 20, "pairs")
    with pytest.raises(InputError, match=r"identity pool 'judge', .* has 'pairs'"):
        train(tmp_path / "judge", pairs=pairs, model="fake", spec=SPEC)
    assert not (tmp_path / "judge").exists()


def test_a_new_calibration_goes_where_it_is_told_and_never_into_the_package(
    world: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.stat().st_mtime_ns for path in world["judge"].iterdir()}
    found = judge_stage.calibrate(world["judge"], pairs=world["pairs"], out=tmp_path / "new", model="fake", limit=8)
    assert json.loads((tmp_path / "new" / "calibration.json").read_text())["people"] == found["people"]
    assert found["people"] < judge_stage.calibrate(world["judge"])["people"]
    monkeypatch.setattr(weights, "PACKAGED", world["judge"])
    for judge, out in (("learned", None), (world["judge"], None), ("learned", world["judge"] / "work" / "..")):
        with pytest.raises(InputError, match="is not overwritten; name another folder"):
            judge_stage.calibrate(judge, pairs=world["pairs"], out=out, model="fake", limit=40)
    with pytest.raises(InputError, match="name the pair store"):
        judge_stage.calibrate("learned", out=tmp_path / "new")
    assert {path: path.stat().st_mtime_ns for path in world["judge"].iterdir()} == before


class Other(Fake):
    """The same name, other weights."""

    def __init__(self) -> None:
        super().__init__()
        self.denoiser = nn.Linear(1, 1)


def test_pictures_know_the_weights_and_not_only_their_name(
    world: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how: dict[str, Any] = {"model": "fake", "suite": world["suite"], "seeds": 1, "limit": 1}
    pictures = generate_stage.generate(tmp_path / "pictures", **how)
    manifest = Manifest.read(pictures / "manifest.json")
    fingerprint = model_fingerprint(Fake())
    assert manifest.instruments == (Instrument("generator", "fake", fingerprint),)
    assert manifest.config["fingerprint"] == fingerprint
    monkeypatch.setattr(generate_stage, "load", lambda *_: Other())
    with pytest.raises(InputError, match=f'fingerprint is "{fingerprint}", not'):
        generate_stage.generate(pictures, **how)


def test_an_unknown_model_leaves_no_folder(
    world: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate_stage, "load", backbones.load)
    with pytest.raises(UnknownNameError, match="unknown model 'nope'"):
        generate_stage.generate(tmp_path / "out", model="nope", suite=world["suite"])
    assert not (tmp_path / "out").exists()


def test_a_run_without_manifest_is_refused(world: dict[str, Path], tmp_path: Path) -> None:
    make_run(tmp_path / "a" / "b", None)
    with pytest.raises(StoreError, match=r"no manifest\.json"):
        judged(world, tmp_path / "out", tmp_path / "a" / "b" / "adapter")
