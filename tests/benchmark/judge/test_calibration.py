from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from asap.benchmark.domain import Domain
from asap.benchmark.judge import CalibrationSet, calibrate, measured_rates
from asap.core.errors import InputError, StoreError


def data(kinds: list[str], operations: list[str], chosen: list[float], rejected: list[float]) -> CalibrationSet:
    n = len(kinds)
    return CalibrationSet(
        chosen=np.array(chosen, np.float32),
        rejected=np.array(rejected, np.float32),
        kind=kinds,
        part=["hand", "leg"] * (n // 2) + ["hand"] * (n % 2),
        operation=operations,
        severity=["1"] * n,
        person=[f"p{i}" for i in range(n)],
    )


def test_counts_by_hand() -> None:
    found = calibrate(
        data(
            ["defect", "defect", "defect", "defect", "null_pose", "null_pose"],
            ["extra", "extra", "fused", "split", "none", "none"],
            [-1, -1, -1, 1, -1, -1],
            [2, -2, 3, -3, -1, 1],
        ),
        threshold=0.0,
        held_out=("split",),
        fingerprint="f",
        notes={"seed": 1},
    )
    assert found["sensitivity"]["value"] == pytest.approx(2 / 3)
    assert found["sensitivity"]["n"] == 3
    assert found["specificity"]["value"] == 1
    assert found["auroc"]["value"] == pytest.approx(2 / 3)
    assert found["held_out"]["sensitivity"]["value"] == 0
    assert found["all"]["sensitivity"]["right"] == 2
    assert found["all_clean"]["n"] == 8
    assert found["all_clean"]["right"] == 6
    assert set(found["by_operation"]) == {"extra", "fused", "split"}
    assert found["by_operation"]["split"]["held_out"] is True
    assert found["by_part"]["hand"]["sensitivity"]["n"] == 2
    assert found["null"]["null_failure_rate"]["value"] == 0.5
    assert found["null"]["clean_failure_rate"]["value"] == 0
    assert (found["domain"], found["measured_on"], found["rated"]) == ("unknown images", [], None)


def test_without_known_defects_there_is_nothing_to_measure() -> None:
    with pytest.raises(InputError, match="known operations"):
        calibrate(data(["defect"], ["split"], [0], [1]), threshold=0, held_out=("split",), fingerprint="f", notes={})


MINI = Domain(kind="generated", models=("mini",), generators=("a" * 64,), size=64)
RENDERS = Domain(kind="rendered", models=("mini",), size=64, scene="studio")


def calibration(*measured_on: Domain) -> dict[str, Any]:
    """Four defects, of which two are found; all clean images pass."""
    four = data(["defect"] * 4, ["extra"] * 4, [-1] * 4, [1, 1, -1, -1])
    return calibrate(four, threshold=0.0, held_out=(), fingerprint="f", notes={}, measured_on=measured_on)


def test_rates_hold_for_images_of_the_generator_they_were_measured_on() -> None:
    rates = measured_rates(calibration(MINI), MINI)
    assert rates is not None
    assert [(rate.right, rate.n) for rate in rates] == [(2, 4), (4, 4)]
    for other in (
        replace(MINI, generators=("b" * 64,)),
        replace(MINI, size=128),
        replace(MINI, kind="imported"),
        replace(MINI, generators=()),
    ):
        assert measured_rates(calibration(MINI), other) is None, other


def test_a_calibration_on_renders_or_on_unknown_images_holds_for_no_generated_image() -> None:
    assert measured_rates(calibration(RENDERS), MINI) is None
    assert measured_rates(calibration(), MINI) is None
    assert calibration(RENDERS)["domain"] == (
        "edited renders at 64 px, scene studio, passed through the autoencoder of mini"
    )


def test_rated_images_come_before_renders() -> None:
    """The rates of the block ``rated`` are those of its own domain, whatever the pairs of known truth say."""
    rated = {"sensitivity": {"right": 53, "n": 100}, "specificity": {"right": 66, "n": 100}}
    found = {**calibration(RENDERS), "rated": {**rated, "measured_on": [MINI.to_json()]}}
    rates = measured_rates(found, MINI)
    assert rates is not None
    assert [rate.value for rate in rates] == [0.53, 0.66]
    assert measured_rates(found, replace(MINI, generators=("b" * 64,))) is None


def test_a_judge_may_look_at_what_its_own_generator_draws() -> None:
    assert RENDERS.made_for(MINI)
    assert RENDERS.made_for(replace(MINI, models=("fused/model", "mini"), size=128))
    assert not RENDERS.made_for(replace(MINI, models=("sdxl",)))
    assert not RENDERS.made_for(replace(MINI, kind="imported"))


def test_measured_rates_refuse_anything_else() -> None:
    with pytest.raises(StoreError, match="not a calibration"):
        measured_rates({"auroc": 1}, MINI)
    with pytest.raises(StoreError, match="the kind of a domain is one of rendered"):
        Domain.from_json({**MINI.to_json(), "kind": "drawn"})
    with pytest.raises(StoreError, match="not the domain of a calibration"):
        Domain.from_json({"kind": "generated"})
