"""Alignment: pure losses, the policy against its reference, one step, one trainer."""

from asap.align.methods import METHODS, LossSettings, Method, PairErrors, pair_losses, resolve
from asap.align.trainer import Trainer, TrainSettings

__all__ = [
    "METHODS",
    "LossSettings",
    "Method",
    "PairErrors",
    "TrainSettings",
    "Trainer",
    "pair_losses",
    "resolve",
]
