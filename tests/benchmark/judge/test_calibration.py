import numpy as np
import pytest

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
    se, sp = measured_rates(found)
    assert (se.right, se.n, sp.right, sp.n) == (2, 4, 6, 8)


def test_without_known_defects_there_is_nothing_to_measure() -> None:
    with pytest.raises(InputError, match="known operations"):
        calibrate(data(["defect"], ["split"], [0], [1]), threshold=0, held_out=("split",), fingerprint="f", notes={})


def test_measured_rates_refuse_anything_else() -> None:
    with pytest.raises(StoreError):
        measured_rates({"auroc": 1})
