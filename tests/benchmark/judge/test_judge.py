import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from asap.benchmark.judge import (
    JudgeNetwork,
    JudgePairs,
    JudgeSpec,
    attribute_classes,
    label_pair,
    load_judge,
    predict,
    read_calibration,
    save_judge,
    stack,
    verdicts,
)
from asap.benchmark.judge.attributes import fit_attributes
from asap.benchmark.judge.batches import Batcher
from asap.benchmark.judge.losses import judge_loss
from asap.benchmark.judge.network import JudgeOutput, freeze_statistics
from asap.core.errors import InputError, StoreError
from asap.core.vocabulary import PARTS, region_id
from asap.workflows.training.judge import JudgeTraining, TrainedJudge, specificity_threshold, train_judge
from asap.workflows.training.loop import Loop

Maker = Callable[[int, int], JudgePairs]
HAND, ARM, LEG = (PARTS.index(name) for name in ("hand", "arm", "leg"))
SPEC = JudgeSpec(
    size=64,
    widths=(8, 16, 24, 32),
    attributes=(("fingers", ("2", "3", "4")), ("skin", ("dark", "light"))),
)


def test_network_shapes_and_size() -> None:
    spec = JudgeSpec(attributes=(("fingers", ("0", "1", "none")),))
    network = JudgeNetwork(spec)
    assert sum(weight.numel() for weight in network.parameters()) <= 2_000_000
    out = network.eval()(torch.zeros(2, 3, 128, 128))
    assert out.fails.shape == (2,)
    assert out.wrong.shape == out.visible.shape == (2, len(PARTS))
    assert out.parts.shape == (2, len(PARTS), 32, 32)
    assert out.person.shape == out.defect.shape == (2, 32, 32)
    assert out.attributes["fingers"].shape == (2, 3)


def test_spec_survives_json() -> None:
    assert JudgeSpec.from_json(json.loads(json.dumps(SPEC.to_json()))) == SPEC
    with pytest.raises(StoreError):
        JudgeSpec.from_json({"size": 3})


def test_labels_of_a_defect() -> None:
    regions = np.zeros((64, 64), np.uint8)
    regions[:32] = region_id("hand.R")
    mask = np.zeros((64, 64), np.uint8)
    mask[:4, :2] = 255
    image = np.zeros((64, 64, 3), np.uint8)
    pair = label_pair(
        chosen=image, rejected=image, mask=mask, regions=regions, kind="defect", part="hand", operation="missing",
        severity=2, person="p", visible_parts=["hand", "arm"], attributes={"fingers": "5", "skin": ""},
        names=("fingers", "skin", "hair"), size=64,
    )  # fmt: skip
    assert pair.wrong[0].tolist() == [0] * 7
    assert (pair.wrong[1, HAND], pair.wrong[1, ARM], pair.wrong[1, LEG]) == (1, -1, 0)
    assert (pair.visible[0, HAND], pair.visible[0, ARM], pair.visible[0, LEG]) == (1, 1, 0)
    assert pair.visible[1, HAND] == -1
    assert pair.attributes.tolist() == [["5", "none", "?"], ["?", "none", "?"]]
    assert pair.touched[0, 0] == 128
    assert pair.touched.sum() == 128
    assert pair.parts[HAND].min() == 0
    assert pair.parts[-1][:8].min() == 255


def test_labels_of_null_edits_are_right() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    pair = label_pair(
        chosen=image, rejected=image, mask=image[..., 0], regions=image[..., 0], kind="null_pose", part="hand",
        operation="none", severity=0, person="p", visible_parts=["hand"], attributes={"fingers": "5"},
        names=("fingers",), size=64,
    )  # fmt: skip
    assert pair.fails.tolist() == [0, 0]
    assert not pair.wrong.any()
    assert pair.attributes.tolist() == [["5"], ["?"]]


def test_attribute_classes_drop_free_text_and_constants() -> None:
    rows = [{"skin": str(i % 2), "note": str(i), "sex": "x", "fingers": ""} for i in range(40)] + [{"fingers": "3"}]
    assert attribute_classes(rows, ("skin", "note", "sex", "fingers", "absent")) == (
        ("skin", ("0", "1")),
        ("fingers", ("3", "none")),
    )


def test_batches_treat_both_sides_alike_and_keep_equal_pairs_equal(make_pairs: Maker) -> None:
    pairs = make_pairs(8, 0)
    same = JudgePairs(**{**vars(pairs), "rejected": pairs.chosen})
    images, targets = Batcher(same, SPEC, 8, seed=3).train(0)
    assert torch.equal(*images.chunk(2))
    assert targets.fails.tolist()[:8] == [0.0] * 8
    other, _ = Batcher(same, SPEC, 8, seed=3).train(1)
    assert not torch.equal(images, other)


def test_defect_map_follows_the_image_when_mirrored(make_pairs: Maker) -> None:
    pairs = make_pairs(30, 1)
    images, targets = Batcher(pairs, SPEC, 30, seed=0).train(0)
    chosen, rejected = images.chunk(2)
    changed = torch.nn.functional.avg_pool2d((chosen - rejected).abs().amax(1), 4)
    defect = targets.defect.chunk(2)[1]
    inside = changed[defect > 0.5].mean()
    outside = changed[defect == 0].mean()
    assert inside > 10 * outside


def test_loss_by_hand() -> None:
    pairs, zero = 1, torch.zeros(2, 7)
    maps = torch.zeros(2, 7, 16, 16)
    output = JudgeOutput(
        fails=torch.zeros(2), visible=zero, wrong=zero, parts=maps, person=maps[:, 0], defect=maps[:, 0], attributes={}
    )
    stacked = _one_pair()
    _, targets = next(iter(Batcher(stacked, SPEC, pairs, seed=0).every()))
    total, terms = judge_loss(output, targets)
    for name in ("fails", "rank", "visible", "maps"):
        assert terms[name].item() == pytest.approx(np.log(2), rel=1e-5)
    # One of 13 known part labels is wrong (weight 4): (12 + 4) / 13 times ln 2.
    assert terms["wrong"].item() == pytest.approx(np.log(2) * 16 / 13, rel=1e-5)
    assert torch.isfinite(total)


def _one_pair() -> JudgePairs:
    regions = np.full((64, 64), region_id("hand.L"), np.uint8)
    image, mask = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64), np.uint8)
    pair = label_pair(
        chosen=image, rejected=image, mask=mask, regions=regions, kind="defect", part="hand", operation="extra",
        severity=1, person="p", visible_parts=[], attributes={}, names=("fingers", "skin"), size=64,
    )  # fmt: skip
    return stack([pair])


def test_threshold_passes_the_asked_share() -> None:
    scores = np.arange(10, dtype=np.float32)
    assert specificity_threshold(scores, 0.9) == 8.0
    assert (scores <= specificity_threshold(scores, 0.85)).mean() >= 0.85
    with pytest.raises(InputError):
        specificity_threshold(scores[:0], 0.9)


SETTINGS = JudgeTraining(window_epochs=6, epochs=14, batch=16, seed=1, save_every=5)


@pytest.fixture(scope="module")
def trained(make_pairs: Maker, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainedJudge, Path]:
    folder = tmp_path_factory.mktemp("judge")
    return train_judge(make_pairs(128, 0), make_pairs(48, 1000), SPEC, SETTINGS, folder=folder), folder


def test_it_learns_to_see_the_defect_in_seconds(trained: tuple[TrainedJudge, Path], make_pairs: Maker) -> None:
    judge, folder = trained
    pairs = make_pairs(60, 5000)
    wrong = pairs.fails[:, 1] == 1
    assert judge.auroc.value is not None
    assert judge.auroc.value > 0.9
    clean = predict(judge.network, pairs.chosen)
    broken = predict(judge.network, pairs.rejected[wrong])
    assert (broken.score > judge.threshold).mean() > (clean.score > judge.threshold).mean() + 0.5
    assert np.mean([a == b for a, b in zip(clean.attributes["skin"], pairs.attributes[:, 0, 1], strict=True)]) > 0.9
    assert len((folder / "log.jsonl").read_text().splitlines()) > 1


@pytest.mark.parametrize("last", [2, 6])
def test_resumed_training_gives_the_same_weights(
    make_pairs: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    train, validation = make_pairs(32, 0), make_pairs(16, 900)
    settings = JudgeTraining(window_epochs=2, epochs=2, batch=16, save_every=3)
    whole = train_judge(train, validation, SPEC, settings, folder=tmp_path / "whole")

    original = Loop.step

    def stop(loop: Loop) -> dict[str, float | None]:
        if loop.done == last:
            raise KeyboardInterrupt
        return original(loop)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "step", stop)
        with pytest.raises(KeyboardInterrupt):
            train_judge(train, validation, SPEC, settings, folder=tmp_path / "cut")
    resumed = train_judge(train, validation, SPEC, settings, folder=tmp_path / "cut")
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name
    with pytest.raises(InputError, match="other settings"):
        train_judge(train, validation, SPEC, JudgeTraining(epochs=5), folder=tmp_path / "cut")


def test_a_log_that_cannot_be_read_is_reported(make_pairs: Maker, tmp_path: Path) -> None:
    settings = JudgeTraining(window_epochs=0, epochs=1, batch=8)
    train_judge(make_pairs(8, 0), make_pairs(8, 900), SPEC, settings, folder=tmp_path)
    (tmp_path / "log.jsonl").unlink()
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(StoreError, match=r"cannot read .*log\.jsonl: "):
        train_judge(make_pairs(8, 0), make_pairs(8, 900), SPEC, settings, folder=tmp_path)


def test_stored_judge_says_the_same(trained: tuple[TrainedJudge, Path], make_pairs: Maker, tmp_path: Path) -> None:
    judge, _ = trained
    name = save_judge(tmp_path, judge.network, judge.threshold, {"seed": 1})
    stored = load_judge(tmp_path)
    images = make_pairs(4, 7000).chosen
    assert np.array_equal(predict(stored.network, images).score, predict(judge.network, images).score)
    assert stored.fingerprint == name
    assert (tmp_path / "judge.safetensors").stat().st_size < 4_000_000
    (tmp_path / "judge.safetensors").write_bytes((tmp_path / "judge.safetensors").read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(StoreError, match="fingerprint"):
        load_judge(tmp_path)


def test_a_calibration_of_other_weights_is_not_used(trained: tuple[TrainedJudge, Path], tmp_path: Path) -> None:
    judge, _ = trained
    (tmp_path / "calibration.json").write_text('{"fingerprint": "old"}')
    with pytest.raises(StoreError, match="another judge"):
        read_calibration(tmp_path, "new")
    save_judge(tmp_path, judge.network, judge.threshold, {})
    assert not (tmp_path / "calibration.json").exists()


def test_missing_judge_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        load_judge(tmp_path)


def test_prediction_does_not_depend_on_the_batch(trained: tuple[TrainedJudge, Path], make_pairs: Maker) -> None:
    judge, _ = trained
    images = make_pairs(5, 300).chosen
    one = np.concatenate([predict(judge.network, image[None]).score for image in images])
    assert np.allclose(predict(judge.network, images).score, one, atol=0.05)


def test_prediction_is_symmetric_under_mirroring(trained: tuple[TrainedJudge, Path], make_pairs: Maker) -> None:
    judge, _ = trained
    images = make_pairs(4, 300).chosen
    plain, mirrored = predict(judge.network, images), predict(judge.network, images[:, :, ::-1].copy())
    assert np.allclose(plain.score, mirrored.score, atol=0.05)
    assert np.allclose(plain.person, mirrored.person[:, :, ::-1], atol=0.05)


def test_a_verdict_is_the_mean_of_ten_views(make_pairs: Maker) -> None:
    network, images = JudgeNetwork(SPEC).eval(), make_pairs(2, 0).chosen
    wide, (height, width) = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge"), images.shape[1:3]
    seen = []
    for row, column in ((1, 1), (0, 0), (0, 2), (2, 0), (2, 2)):
        part = wide[:, row : row + height, column : column + width]
        tensor = torch.from_numpy(np.ascontiguousarray(part)).permute(0, 3, 1, 2) / 127.5 - 1
        with torch.no_grad():
            seen += [network(tensor).fails, network(tensor.flip(3)).fails]
    found = predict(network, images)
    assert np.allclose(found.score, torch.stack(seen).mean(0).numpy(), atol=0.02)  # bfloat16 where there is some
    assert np.std([one.numpy() for one in seen], axis=0).max() > 0


def test_verdicts_leave_empty_images_unscored_and_name_hidden_parts(make_pairs: Maker) -> None:
    predictions = predict(JudgeNetwork(SPEC), make_pairs(2, 0).chosen)
    visible = np.zeros((2, 7), np.float32)
    visible[0, HAND] = 0.9
    person = np.zeros((2, 8, 8), np.float32)
    changed = type(predictions)(**{**vars(predictions), "visible": visible, "person": person})
    first, second = verdicts(changed, 0.0, [("hand", "arm"), ()])
    assert first.fails is not None
    assert first.not_visible == ("arm",)
    assert second.fails is None
    assert second.reason == "no person found"


def test_no_pictures_give_no_predictions() -> None:
    found = predict(JudgeNetwork(SPEC), np.zeros((0, 64, 64, 3), np.uint8))
    assert found.score.shape == (0,)
    assert found.attributes["skin"] == []


def test_windows_show_what_was_edited_and_both_sides_alike(make_pairs: Maker) -> None:
    batcher = Batcher(make_pairs(30, 2), SPEC, 30, seed=0)
    images, targets = batcher.windows(0)
    assert images.shape == (60, 3, 32, 32)
    assert targets.defect.shape == (60, 8, 8)
    wrong = targets.fails.chunk(2)[1] == 1
    assert (targets.defect.chunk(2)[1][wrong].amax((1, 2)) > 0.3).all()
    assert not targets.defect.chunk(2)[0].any()
    chosen, rejected = images.chunk(2)
    outside = torch.nn.functional.interpolate(targets.defect.chunk(2)[1][:, None], size=32)[wrong] == 0
    difference = (chosen - rejected).abs().amax(1, keepdim=True)[wrong]
    assert difference[outside].median() == 0
    assert difference[~outside].median() > 0


def test_frozen_statistics_stay() -> None:
    network = JudgeNetwork(SPEC).train()
    before = {name: value.clone() for name, value in network.state_dict().items() if "running" in name}
    freeze_statistics(network)
    network(torch.randn(4, 3, 64, 64))
    after = network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    network.train()(torch.randn(4, 3, 64, 64))
    assert not any(torch.equal(value, network.state_dict()[name]) for name, value in before.items())


def test_training_goes_on_from_a_judge(trained: tuple[TrainedJudge, Path], make_pairs: Maker, tmp_path: Path) -> None:
    judge, _ = trained
    still = JudgeTraining(window_epochs=0, epochs=1, batch=16, learning_rate=1e-12, weight_decay=0.0)
    again = train_judge(make_pairs(32, 0), make_pairs(16, 900), SPEC, still, folder=tmp_path, init=judge.network)
    for name, value in judge.network.named_parameters():
        if not name.startswith("attribute_"):
            assert torch.allclose(value, again.network.get_parameter(name), atol=1e-6), name
    with pytest.raises(InputError, match="other settings"):
        train_judge(make_pairs(32, 0), make_pairs(16, 900), SPEC, still, folder=tmp_path)


def test_attribute_heads_leave_the_verdict_alone(make_pairs: Maker) -> None:
    pairs = make_pairs(64, 0)
    with torch.random.fork_rng(devices=[]):
        network = JudgeNetwork(SPEC).eval()
    before, kept = predict(network, pairs.chosen), {name: value.clone() for name, value in network.state_dict().items()}
    fit_attributes(network, Batcher(pairs, SPEC, 16, seed=0), seed=0)
    after = predict(network, pairs.chosen)
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, kept[name])}
    assert all(name.startswith(("attribute_", "said_")) for name in changed)
    assert np.array_equal(before.score, after.score)
    truth = pairs.attributes[:, 0, 1]
    right = [np.mean([a == b for a, b in zip(p.attributes["skin"], truth, strict=True)]) for p in (before, after)]
    assert right[1] > max(0.9, right[0])
