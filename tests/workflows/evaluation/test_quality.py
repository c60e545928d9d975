"""`asap bench run --quality`: measures beside the images, from the user's own folder of weights."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from asap.benchmark.quality import MEASURES, Scorer, scorer
from asap.cli.app import main
from asap.core.errors import InputError, StoreError, UnknownNameError
from asap.workflows.evaluation.compare import compare
from asap.workflows.evaluation.quality import Measures, measure_quality, read_quality
from tests.benchmark.quality.tiny import save_weights, tiny_clip
from tests.workflows.runs import make_run

NAMES = ("clipscore", "hpsv2.1", "imagereward", "fid", "kid")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_weights(tmp_path_factory.mktemp("weights"), tiny_clip())


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "base", lambda place, seed: place % 2 == 0)


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    folder, draw = tmp_path / "real", np.random.default_rng(0)
    folder.mkdir()
    for number in range(4):
        image = draw.integers(0, 255, (16 + 8 * (number % 2), 16, 3), dtype=np.uint8)
        Image.fromarray(image).save(folder / f"{number}.png")
    return folder


def test_what_is_there_is_measured_and_what_is_missing_named(
    run: Path, weights: Path, reference: Path, tmp_path: Path
) -> None:
    told: list[str] = []
    path = measure_quality(
        run / "pictures", Measures(names=NAMES, weights=weights, reference=reference), report=told.append
    )
    found = json.loads(path.read_text())
    assert path == run / "quality.json"
    assert {name for name, row in found.items() if row["value"] is None} == {"imagereward"}
    assert found["clipscore"]["n"] == 50
    assert found["clipscore"]["ci"][0] < found["clipscore"]["value"] < found["clipscore"]["ci"][1]
    assert found["hpsv2.1"]["value"] == pytest.approx(found["clipscore"]["value"] / 100, rel=1e-5)
    assert found["fid"]["value"] > 0
    assert any(line.startswith("quality imagereward is left blank: ") for line in told)
    compare([run], tmp_path / "out")
    text = (tmp_path / "out" / "compare.md").read_text()
    low, high = found["hpsv2.1"]["ci"]
    assert f"{found['hpsv2.1']['value']:.3f} [{low:.3f}, {high:.3f}]" in text
    assert "ImageReward (" in text[text.index("Not measured, so left blank: ") :]
    assert "CLIPScore" not in text[text.index("Not measured, so left blank: ") :]


def test_a_second_run_takes_only_what_lacks(run: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measure_quality(run / "pictures", Measures(names=("clipscore",), weights=weights))
    seen: list[str] = []

    def counted(name: str, folder: Path | None, device: str) -> Scorer:
        seen.append(name)
        return scorer(name, folder, device)

    monkeypatch.setattr("asap.benchmark.quality.table.scorer", counted)
    measure_quality(run / "pictures", Measures(names=("clipscore", "aesthetic"), weights=weights))
    assert seen == ["aesthetic"]
    assert set(read_quality(run / "quality.json", None)) == {"clipscore", "aesthetic"}


def test_measures_of_other_pictures_are_refused(run: Path, weights: Path, tmp_path: Path) -> None:
    measure_quality(run / "pictures", Measures(names=("clipscore",), weights=weights))
    other = make_run(tmp_path / "other" / "base", lambda place, seed: True, size=24)
    (other / "quality.json").write_bytes((run / "quality.json").read_bytes())
    with pytest.raises(StoreError, match="clipscore of other images"):
        compare([other], tmp_path / "out")
    (run / "quality.json").write_text('{"beauty": {"value": 1}}')
    with pytest.raises(StoreError, match=r"unknown measures beauty; known: .*hpsv2\.1"):
        compare([run], tmp_path / "out")
    (run / "quality.json").write_text("[]")
    with pytest.raises(StoreError, match="holds no measures"):
        compare([run], tmp_path / "out")


def test_faults_are_told_before_anything_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UnknownNameError):
        Measures(names=("hpsv9",))
    with pytest.raises(InputError, match=r"--reference .* is no folder"):
        Measures(names=("fid",), reference=tmp_path / "none")
    with pytest.raises(InputError, match="name them with --quality"):
        Measures(names=(), weights=tmp_path)
    words = ["bench", "run", "--model", "tiny", "--out", str(tmp_path / "run")]
    assert main([*words, "--quality", "clipscore,hpsv9"]) == 2
    error = capsys.readouterr().err
    assert "unknown hpsv9" in error
    assert all(name in error for name in MEASURES)
    assert not (tmp_path / "run").exists()


def test_from_the_command_line(tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", "run", "--model", "tiny", "--suite", "haf-mini", "--limit", "1", "--seeds", "1", "--steps", "1"]
    out = tmp_path / "run"
    assert main([*words, "--quality", "clipscore", "--weights", str(weights), "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert f"quality   {out / 'quality.json'}" in printed.out
    assert "quality clipscore 5/5" in printed.err
    assert json.loads((out / "quality.json").read_text())["clipscore"]["n"] == 5
