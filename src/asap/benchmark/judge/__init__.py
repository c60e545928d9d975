"""The learned judge: network, training, calibration, verdicts, and its packaged weights."""

from asap.benchmark.judge.calibration import PLAIN, CalibrationSet, calibrate, measured_rates, rated_block
from asap.benchmark.judge.dataset import JudgePairs, LabelledPair, join, label_pair, stack
from asap.benchmark.judge.network import JudgeNetwork, JudgeSpec, attribute_classes
from asap.benchmark.judge.predict import Predictions, Verdict, predict, verdicts
from asap.benchmark.judge.weights import (
    CALIBRATION,
    PACKAGED,
    StoredJudge,
    judge_folder,
    load_judge,
    read_calibration,
    save_judge,
)

__all__ = [
    "CALIBRATION",
    "HELD_OUT",
    "PACKAGED",
    "PLAIN",
    "CalibrationSet",
    "JudgeNetwork",
    "JudgePairs",
    "JudgeSpec",
    "LabelledPair",
    "Predictions",
    "StoredJudge",
    "Verdict",
    "attribute_classes",
    "calibrate",
    "join",
    "judge_folder",
    "label_pair",
    "load_judge",
    "measured_rates",
    "predict",
    "rated_block",
    "read_calibration",
    "save_judge",
    "stack",
    "verdicts",
]

HELD_OUT = ("split", "twisted")
"""Operations never trained on: one that changes how many there are, one that changes how a part is turned, so that
both kinds of unfamiliar mistake are measured; each has a taught relative (fused, reversed_joint)."""
